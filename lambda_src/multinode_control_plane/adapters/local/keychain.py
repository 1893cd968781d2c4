"""The local deployment's keys: hashes of API keys, and the secret behind the workers' tokens, in one private file.

Only the caller has the text of an API key: a client that has lost it is given a new one.
"""

import base64
import fcntl
import hashlib
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from multinode_control_plane.adapters.local.data_dir import DataDirectoryError
from multinode_control_plane.adapters.local.private_files import JsonObject, read_json, write_json

MAX_KEYS = 10
"""Active keys at one time; another new one revokes the oldest."""
SECRET_BYTES = 32
_Stamp = tuple[int, int, int]


class LocalKeychain:
    """See `ports.Keychain`. Several processes may use one file: the others see at once what one of them adds."""

    def __init__(self, path: Path) -> None:
        """Read the file, creating it with a new token secret if necessary. Raises DataDirectoryError."""
        self._path = path
        self._lock = threading.Lock()
        self._read: tuple[_Stamp, JsonObject] | None = None
        with self._changing():
            if not path.exists():
                secret = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
                write_json(path, {"token_secret": secret, "keys": []}, durable=True)
        self._secret = base64.b64decode(str(self._document()["token_secret"]))

    def key_hashes(self, key_id: str) -> Sequence[str]:
        return [str(key["sha256"]) for key in self._keys() if key["id"] == key_id]

    def token_secret(self) -> bytes:
        return self._secret

    def accepts(self, api_key: str) -> bool:
        """Return True if this is the text of an active key."""
        digest = hashlib.sha256(api_key.encode()).hexdigest()
        return any(secrets.compare_digest(str(key["sha256"]), digest) for key in self._keys())

    def make_key(self) -> str:
        """Return the text of a new API key; only its hash is stored. If there are too many, the oldest is revoked."""
        key_id = secrets.token_hex(4)
        text = f"mn_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
        entry = {
            "id": key_id,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with self._changing():
            document = self._document()
            write_json(self._path, {**document, "keys": [*self._keys(), entry][-MAX_KEYS:]}, durable=True)
        return text

    def revoke(self, api_key: str) -> None:
        """Revoke a key; no error if it is unknown."""
        digest = hashlib.sha256(api_key.encode()).hexdigest()
        with self._changing():
            left = [key for key in self._keys() if key["sha256"] != digest]
            write_json(self._path, {**self._document(), "keys": left}, durable=True)

    def _keys(self) -> list[JsonObject]:
        keys = self._document()["keys"]
        return keys if isinstance(keys, list) else []

    def _document(self) -> JsonObject:
        """Return the file's content, read again only when it has been replaced."""
        with self._lock:
            try:
                status = self._path.stat()
                stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
                if self._read is None or self._read[0] != stamp:
                    document = read_json(self._path)
                    if document is None or not {"token_secret", "keys"} <= set(document):
                        raise ValueError(f"{self._path} is damaged")
                    self._read = (stamp, document)
            except (OSError, ValueError) as error:
                raise DataDirectoryError(
                    f"The keys in {self._path} cannot be read: {error}. Restore the file: without it no key is known."
                ) from error
            return self._read[1]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Keep every other process from changing the file."""
        try:
            descriptor = os.open(self._path.with_name("keys.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirectoryError(f"{self._path.parent} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

"""The keys of a deployment, from SSM parameters: the API key and the secret behind the workers' tokens.

The API key's parameter holds its text, encrypted, so that `multinode login --from-aws` can read it; only its hash
stays in memory. The parameter version with the label ``previous`` is accepted as well as the current one: label the old
version before a rotation, and remove the label to revoke it.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from botocore.exceptions import ClientError

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.core.tokens import MIN_SECRET_BYTES

logger = logging.getLogger(__name__)

FRESH_FOR_S = 60.0
"""A revoked key is refused after this long, at the latest."""
ASK_AGAIN_AFTER_S = 5.0
"""An unknown key may be a new one, but if each one were looked up in SSM, anybody could use up its quota."""
PREVIOUS = "previous"


class KeychainError(Exception):
    """A parameter has an invalid value; the message says which one, and how to fix it."""


class SsmKeychain:
    """See `ports.Keychain`. Safe to use from any thread."""

    def __init__(
        self,
        clients: Clients,
        *,
        api_key_parameter: str,
        token_secret_parameter: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = clients
        self._api_key_parameter = api_key_parameter
        self._token_secret_parameter = token_secret_parameter
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._hashes: Mapping[str, Sequence[str]] = {}
        self._read_at: float | None = None
        self._secret: bytes | None = None

    def key_hashes(self, key_id: str) -> Sequence[str]:
        with self._lock:
            age_s = None if self._read_at is None else self._monotonic() - self._read_at
            fresh_for_s = FRESH_FOR_S if key_id in self._hashes else ASK_AGAIN_AFTER_S
            if age_s is None or age_s >= fresh_for_s:
                read_at = self._monotonic()
                self._hashes = self._read_hashes()
                self._read_at = read_at
            return self._hashes.get(key_id, ())

    def token_secret(self) -> bytes:
        with self._lock:
            if self._secret is None:
                secret = (self._read(self._token_secret_parameter) or "").encode()
                if len(secret) < MIN_SECRET_BYTES:
                    raise KeychainError(
                        f"the parameter {self._token_secret_parameter} holds {len(secret)} bytes, fewer than "
                        f"{MIN_SECRET_BYTES}: apply the deployment's Terraform again"
                    )
                self._secret = secret
            return self._secret

    def _read_hashes(self) -> Mapping[str, Sequence[str]]:
        """Return the hashes of the active keys by key id. Raises KeychainError."""
        current = self._read(self._api_key_parameter)
        if current is None:
            raise KeychainError(
                f"the parameter {self._api_key_parameter} does not exist: apply the deployment's Terraform again"
            )
        previous = self._read(f"{self._api_key_parameter}:{PREVIOUS}")
        hashes: dict[str, list[str]] = {}
        for text in dict.fromkeys(key for key in (current, previous) if key is not None):
            parts = text.strip().split("_", 2)
            if len(parts) < 3 or parts[0] != "mn":
                raise KeychainError(f"the parameter {self._api_key_parameter} is not an API key (mn_<id>_<secret>)")
            hashes.setdefault(parts[1], []).append(hashlib.sha256(text.strip().encode()).hexdigest())
        return hashes

    def _read(self, name: str) -> str | None:
        """Return the decrypted text of a parameter, by name or ``name:label``; None if it does not exist."""
        try:
            return self._clients.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ParameterNotFound", "ParameterVersionNotFound"):
                return None
            raise

"""Where the control plane is: two environment variables, else the profile that a login wrote.

The profile is one JSON file, ``{"api_url", "api_key"}``. Whoever reads it may start code in the user's name, so it is
written with mode 0600 in a folder with mode 0700, and refused if another user may have written it or can read it.
"""

import contextlib
import ipaddress
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from multinode.errors import ControlPlaneNotConfiguredError, ParameterValidationError
from multinode_protocol.env_vars import API_KEY, API_URL

__all__ = [
    "ENVIRONMENT",
    "Connection",
    "checked_api_key",
    "checked_api_url",
    "connection",
    "delete_profile",
    "load_profile",
    "profile_path",
    "save_profile",
]

CONFIG_DIR = "MULTINODE_CONFIG_DIR"
ENVIRONMENT = "environment"
MAX_PROFILE_BYTES = 65_536


@dataclass(frozen=True)
class Connection:
    """A control plane and the key to it. `source` is ``environment``, or the path of the profile."""

    api_url: str
    api_key: str = field(repr=False)
    source: str


def connection(environ: Mapping[str, str] | None = None) -> Connection:
    """Return the connection that `environ` (default: the process's own) or else the profile names.

    The two variables are only used together: a profile's key is never sent to a URL from the environment.

    Raises: ControlPlaneNotConfiguredError when there is none, or it cannot be used.
    """
    environ = os.environ if environ is None else environ
    api_url, api_key = environ.get(API_URL, ""), environ.get(API_KEY, "")
    if api_url and api_key:
        try:
            return Connection(checked_api_url(api_url), checked_api_key(api_key), ENVIRONMENT)
        except ParameterValidationError as error:
            raise ControlPlaneNotConfiguredError(f"In {API_URL} and {API_KEY}: {error}") from error
    if api_url or api_key:
        there, missing = (API_URL, API_KEY) if api_url else (API_KEY, API_URL)
        raise ControlPlaneNotConfiguredError(f"{there} is set but {missing} is not: set both, or neither")
    profile = load_profile(environ)
    if profile is None:
        raise ControlPlaneNotConfiguredError(
            "No control plane is configured: run `multinode login` (or `multinode local start` for one on this "
            f"machine), or set {API_URL} and {API_KEY}"
        )
    return profile


def profile_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the path of the profile, whether or not it exists.

    ``$MULTINODE_CONFIG_DIR``, else ``$XDG_CONFIG_HOME/multinode``, else ``~/.config/multinode``; then ``profile.json``.

    Raises: ControlPlaneNotConfiguredError when there is no home folder.
    """
    environ = os.environ if environ is None else environ
    if chosen := environ.get(CONFIG_DIR):
        return Path(chosen) / "profile.json"
    # A relative XDG_CONFIG_HOME is to be ignored: XDG Base Directory Specification 0.8, "Basics".
    xdg = environ.get("XDG_CONFIG_HOME", "")
    if xdg.startswith("/"):
        return Path(xdg) / "multinode" / "profile.json"
    home = environ.get("HOME")
    if home:
        return Path(home) / ".config" / "multinode" / "profile.json"
    try:
        return Path.home() / ".config" / "multinode" / "profile.json"
    except RuntimeError as error:
        raise ControlPlaneNotConfiguredError(
            f"There is no home folder to keep a profile in: set HOME or {CONFIG_DIR}, or {API_URL} and {API_KEY}"
        ) from error


def load_profile(environ: Mapping[str, str] | None = None) -> Connection | None:
    """Return the profile's connection; None when there is no profile.

    Raises: ControlPlaneNotConfiguredError when there is one that cannot be read or must not be trusted.
    """
    path = profile_path(environ)
    try:
        text = _read_private(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror or error}") from error
    try:
        document = json.loads(text)
        return Connection(checked_api_url(document["api_url"]), checked_api_key(document["api_key"]), str(path))
    except ParameterValidationError as error:
        raise _unusable(path, f"is damaged: {error}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _unusable(path, "is damaged") from error


def save_profile(api_url: str, api_key: str, environ: Mapping[str, str] | None = None) -> Path:
    """Write the profile and return its path. It is written whole or not at all.

    Raises: ParameterValidationError for a URL or key that cannot be used, ControlPlaneNotConfiguredError when the file
    cannot be written.
    """
    document = {"api_url": checked_api_url(api_url), "api_key": checked_api_key(api_key)}
    path = profile_path(environ)
    try:
        if path.is_symlink():
            raise _unusable(path, "is a symbolic link, and is not replaced")
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".profile-")  # created with mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        raise ControlPlaneNotConfiguredError(
            f"The profile {path} cannot be written: {error.strerror or error}. "
            f"Fix that, or set {CONFIG_DIR} to another folder"
        ) from error
    return path


def delete_profile(environ: Mapping[str, str] | None = None) -> bool:
    """Remove the profile; True when there was one.

    Raises: ControlPlaneNotConfiguredError when it cannot be removed.
    """
    path = profile_path(environ)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ControlPlaneNotConfiguredError(
            f"The profile {path} cannot be removed: {error.strerror or error}"
        ) from error
    return True


def checked_api_url(text: str) -> str:
    """Return `text` without a trailing slash if a key may be sent there: https, or http to this machine.

    Raises: ParameterValidationError.
    """
    allowed = "allowed is https://host[:port][/path], and http:// for this machine only (127.0.0.1, localhost)"
    if not isinstance(text, str) or any(character <= " " or character == "\x7f" for character in text.strip()):
        raise ParameterValidationError(f"The URL {text!r} has blanks or control characters; {allowed}")
    text = text.strip()
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise ParameterValidationError(f"The URL {text!r} is malformed; {allowed}") from error
    if not host or parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ParameterValidationError(f"The URL {text!r} cannot be that of a control plane; {allowed}")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ParameterValidationError(f"The URL {text!r} would send the key unprotected; {allowed}")
    return text.rstrip("/")


def checked_api_key(text: str) -> str:
    """Return `text`, stripped, if it can stand in an HTTP header.

    Raises: ParameterValidationError, which never quotes it.
    """
    if not isinstance(text, str) or not text.strip():
        raise ParameterValidationError("The API key is empty")
    text = text.strip()
    if not all("!" <= character <= "~" for character in text):
        raise ParameterValidationError("The API key has characters that no key contains: copy it again")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761, section 6.3


def _read_private(path: Path) -> str:
    """Return the text of a regular file that only this user can read."""
    if path.is_symlink():
        raise _unusable(path, "is a symbolic link")
    # The opened file is checked, not its name: a name can lead to another file a moment later.
    # O_NONBLOCK keeps a FIFO from hanging the open.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _unusable(path, "is not a file")
        if status.st_uid != os.geteuid():
            raise _unusable(path, f"belongs to another user (id {status.st_uid})")
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise _unusable(path, f"is open to others (mode {stat.S_IMODE(status.st_mode):04o}, must be 0600)")
        return file.read(MAX_PROFILE_BYTES).decode("utf-8", "replace")


def _unusable(path: Path, why: str) -> ControlPlaneNotConfiguredError:
    return ControlPlaneNotConfiguredError(
        f"The profile {path} {why}. Run `multinode logout` and `multinode login` again"
    )

"""One request to the control plane: pooled connections, time-outs, retries, errors as exceptions.

Every request is idempotent: a start carries the invocation's id, a worker's report its nonce or sequence number. So a
failure that may be temporary is simply retried, after growing, random pauses.
"""

import contextlib
import json
import math
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from multinode.config import Connection
from multinode.errors import (
    API_ERRORS,
    ApiError,
    ControlPlaneUnreachableError,
    LimitIsReached,
    ParameterValidationError,
)
from multinode_protocol.backoff import Backoff
from multinode_protocol.error_codes import code_of, is_temporary

if TYPE_CHECKING:
    import urllib3

__all__ = ["Transport", "path", "shared"]

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 20.0
"""For the answer to begin, beyond what the request itself asks to wait."""
BACKOFF = Backoff(first_s=0.1, longest_s=5.0)
POOLED_CONNECTIONS = 64


def path(*segments: str) -> str:
    """Return ``/a/b/c``, each segment quoted: ``path("projects", name)``.

    Raises: ParameterValidationError for a segment that would change the path instead of being part of it.
    """
    for segment in segments:
        if segment in {"", ".", ".."}:
            raise ParameterValidationError(f"{segment!r} is not a name or an id")
    return "".join(f"/{quote(segment.encode('utf-8', 'replace'), safe='')}" for segment in segments)


@lru_cache(maxsize=8)
def shared(connection: Connection) -> "Transport":
    """Return the one transport of this process for `connection`, so that all functions share its pooled connections."""
    return Transport(connection)


@dataclass(frozen=True, slots=True)
class _TemporaryFailure:
    """A failed attempt that may succeed when it is repeated after `retry_after_s` seconds, as the server asked."""

    error: ApiError | ControlPlaneUnreachableError
    retry_after_s: float = 0.0


class Transport:
    """Sends requests over one connection's pool. Threads may share it, and a forked child may go on using it."""

    def __init__(
        self,
        connection: Connection,
        *,
        retry_for_s: float = 30.0,
        read_timeout_s: float = READ_TIMEOUT_S,
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        """`retry_for_s`: how long after a request's first attempt another may still begin; 0 is one attempt.

        `uniform` draws the jitter from 0 to 1.
        """
        self.connection = connection
        self._retry_for_s = retry_for_s
        self._read_timeout_s = read_timeout_s
        self._sleep = sleep
        self._monotonic = monotonic
        self._uniform = uniform
        self._pool: tuple[int, urllib3.PoolManager] | None = None

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        wait_s: float = 0,
        retry_for_s: float | None = None,
    ) -> dict[str, Any]:
        """Return the JSON object of the answer.

        `path` begins with a slash and is quoted, as `path()` makes it. `wait_s` > 0 asks the server to hold its answer
        for up to so many seconds (rounded up), until something changes. `retry_for_s` replaces the transport's own.
        `body` is sent as JSON; a lone surrogate, which UTF-8 cannot carry, becomes a question mark.

        Raises: the subclass of ApiError for the answer's code, ControlPlaneUnreachableError.
        """
        parameters = dict(query or {})
        if wait_s > 0:
            parameters["wait_s"] = math.ceil(wait_s)
        url = f"{self.connection.api_url}{path}{'?' + urlencode(parameters) if parameters else ''}"
        content = None if body is None else _json(body)
        give_up_at = self._monotonic() + (self._retry_for_s if retry_for_s is None else retry_for_s)
        attempt = 1
        while True:
            answer = self._attempt(method, url, path, content, wait_s)
            if not isinstance(answer, _TemporaryFailure):
                return answer
            pause_s = self._pause_s(attempt, answer, give_up_at - self._monotonic())
            if pause_s is None:
                raise answer.error
            self._sleep(pause_s)
            attempt += 1

    def _pause_s(self, attempt: int, failure: _TemporaryFailure, left_s: float) -> float | None:
        """Return seconds until the next attempt; `attempt` counts from 1. None: no time is left.

        As `BACKOFF` says, and never less than the server asked for.
        """
        if left_s <= 0 or failure.retry_after_s > left_s:
            return None
        return min(left_s, max(failure.retry_after_s, BACKOFF.pause_s(attempt, self._uniform())))

    def _attempt(
        self, method: str, url: str, path: str, content: bytes | None, wait_s: float
    ) -> dict[str, Any] | _TemporaryFailure:
        """Return the answer, or a failure that may pass. Raises: one that will not."""
        import urllib3

        try:
            response = self._connections().request(
                method,
                url,
                body=content,
                headers=self._headers(content),
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=self._read_timeout_s + wait_s),
                retries=False,
                redirect=False,
            )
        except (urllib3.exceptions.SSLError, urllib3.exceptions.LocationValueError) as error:
            raise self._unreachable(_reason(error)) from error
        except urllib3.exceptions.HTTPError as error:
            unreachable = self._unreachable(_reason(error))
            unreachable.__cause__ = error
            return _TemporaryFailure(unreachable)
        if 300 <= response.status < 400:
            # Following it would send the key to another server.
            location = response.headers.get("Location")
            raise self._unreachable(f"it redirects to {location!r}; if you trust that address, log in to it instead")
        document = _json_object(response.data)
        if response.status < 300:
            if document is None:
                raise self._unreachable("its answer is not a JSON object, so it is not a Multinode control plane")
            return document
        refusal = self._refusal(response.status, document, f"{method} {path}")
        # A limit of the deployment remains reached; API Gateway's own 429 only means "slower".
        if is_temporary(response.status) and not isinstance(refusal, LimitIsReached):
            return _TemporaryFailure(refusal, _retry_after_s(response.headers.get("Retry-After")))
        raise refusal

    def _headers(self, content: bytes | None) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {self.connection.api_key}",
            "Accept": "application/json",
            "User-Agent": "multinode-python",
        }
        return headers if content is None else headers | {"Content-Type": "application/json"}

    def _refusal(
        self, status: int, document: dict[str, Any] | None, request: str
    ) -> ApiError | ControlPlaneUnreachableError:
        if document is None:
            return self._unreachable(f"it answers HTTP {status} without a JSON object: another program, or a proxy")
        code = code_of(status, document)
        # API Gateway's own refusals have `message` where ours have `detail`.
        detail = document.get("detail") or document.get("message")
        request_id = document.get("request_id")
        return (API_ERRORS[code] if code is not None else ApiError)(
            str(detail) if detail else None,
            status=status,
            request=request,
            request_id=str(request_id) if request_id else None,
        )

    def _unreachable(self, why: str) -> ControlPlaneUnreachableError:
        url, source = self.connection.api_url, self.connection.source
        return ControlPlaneUnreachableError(
            f"The control plane at {url} (from {source}) cannot be reached: {why}. "
            "`multinode whoami` checks the connection"
        )

    def _connections(self) -> "urllib3.PoolManager":
        """Return the pool of this process: a forked child must not share its parent's sockets."""
        pid = os.getpid()
        if self._pool is None or self._pool[0] != pid:
            self._pool = (pid, _new_pool(self.connection.api_url))
        return self._pool[1]


def _new_pool(api_url: str) -> "urllib3.PoolManager":
    """Return a pool, through the proxy that the environment names for `api_url` if it names one."""
    import urllib3

    parts = urlsplit(api_url)
    if parts.scheme == "https":
        from urllib.request import getproxies_environment, proxy_bypass

        proxies = getproxies_environment()
        proxy = proxies.get("https") or proxies.get("all")
        if proxy and not proxy_bypass(parts.hostname or ""):
            login = urllib3.util.parse_url(proxy).auth
            headers = urllib3.make_headers(proxy_basic_auth=unquote(login)) if login else None
            return urllib3.ProxyManager(proxy, maxsize=POOLED_CONNECTIONS, proxy_headers=headers)
    return urllib3.PoolManager(maxsize=POOLED_CONNECTIONS)


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def _json_object(data: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _retry_after_s(header: str | None) -> float:
    """Return the seconds that a ``Retry-After`` header asks for (RFC 9110, section 10.2.3); 0 without a usable one."""
    if not header:
        return 0.0
    if header.strip().isascii() and header.strip().isdigit():
        return float(header.strip())
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        from email.utils import parsedate_to_datetime

        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    return 0.0


def _reason(error: Exception) -> str:
    """Return what went wrong in a few words, without the pool's own representation that urllib3 puts first."""
    text = str(error)
    return text.rsplit(": ", 1)[-1] if "object at 0x" in text else text

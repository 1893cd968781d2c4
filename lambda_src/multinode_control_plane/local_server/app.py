"""The ASGI application of the local server: reads requests, refuses bad ones, and runs the handler in threads."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from multinode_control_plane.api.dispatch import RequestHandler
from multinode_control_plane.api.http import Request, Response, failure, joined
from multinode_control_plane.core.errors import Refused
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.limits import MAX_BODY_BYTES

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]

QUICK_THREADS = 32
WAITING_THREADS = 400
CROWDED_PAUSE_S = 1.0
"""If no thread is left to wait in, a waiting request is answered without waiting, after this pause."""
DRAIN_BYTES = 32_000_000
"""How much of an oversized body is read and discarded, so that the client gets to read the answer."""
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


class LocalApp:
    """Runs `handle` once per request, in a thread. Waiting requests have threads of their own, so that they never hold
    up the others."""

    def __init__(
        self,
        handle: RequestHandler,
        *,
        quick_threads: int = QUICK_THREADS,
        waiting_threads: int = WAITING_THREADS,
        crowded_pause_s: float = CROWDED_PAUSE_S,
    ) -> None:
        self._handle = handle
        self._quick = ThreadPoolExecutor(quick_threads, thread_name_prefix="api")
        self._waiting = ThreadPoolExecutor(waiting_threads, thread_name_prefix="api-wait")
        self._most_waiting = waiting_threads
        self._crowded_pause_s = crowded_pause_s
        self._now_waiting = 0

    def close(self) -> None:
        """Release the threads; the end of the process cuts off what they are still doing."""
        self._quick.shutdown(wait=False, cancel_futures=True)
        self._waiting.shutdown(wait=False, cancel_futures=True)

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        request_id = uuid.uuid4().hex
        try:
            request = await _read(scope, receive, request_id)
            response = await self._answer(request)
        except Refused as refused:
            response = failure(refused, request_id)
        except Exception:
            logger.exception("request %s failed", request_id)
            response = failure(Refused(ErrorCode.INTERNAL_ERROR), request_id)
        await _send(response, request_id, send, only_head=scope["method"] == "HEAD")

    async def _answer(self, request: Request) -> Response:
        loop = asyncio.get_running_loop()
        if not _wants_to_wait(request):
            return await loop.run_in_executor(self._quick, self._handle, request)
        if self._now_waiting >= self._most_waiting:
            await asyncio.sleep(self._crowded_pause_s)
            return await loop.run_in_executor(self._quick, self._handle, _without_wait(request))
        self._now_waiting += 1
        try:
            return await loop.run_in_executor(self._waiting, self._handle, request)
        finally:
            self._now_waiting -= 1


def _wants_to_wait(request: Request) -> bool:
    return "wait_s" in request.query


def _without_wait(request: Request) -> Request:
    return replace(request, query={name: value for name, value in request.query.items() if name != "wait_s"})


async def _read(scope: Message, receive: Callable[[], Awaitable[Message]], request_id: str) -> Request:
    """Return the request. Raises Refused: REQUEST_IS_MALFORMED, REQUEST_IS_TOO_LARGE."""
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    body = await _read_body(receive)
    _check_host([value for name, value in headers if name == "host"])
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="replace")
    return Request(
        request_id=request_id,
        method=scope["method"].upper(),
        path=scope["raw_path"].decode("latin-1"),
        query=joined(query),
        headers=joined(headers),
        body=body,
    )


async def _read_body(receive: Callable[[], Awaitable[Message]]) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(ErrorCode.REQUEST_IS_MALFORMED, "the connection was closed before its end")
        size += len(message.get("body", b""))
        if size <= MAX_BODY_BYTES:
            chunks.append(message.get("body", b""))
        if not message.get("more_body", False) or size > DRAIN_BYTES:
            break
    if size > MAX_BODY_BYTES:
        raise Refused(ErrorCode.REQUEST_IS_TOO_LARGE, f"the body may have at most {MAX_BODY_BYTES} bytes")
    return b"".join(chunks)


def _check_host(hosts: list[str]) -> None:
    """Refuse requests from a web page whose host name points here (DNS rebinding)."""
    for host in hosts:
        name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
        if name.lower() not in LOOPBACK_HOSTS or not (port == "" or port.isdigit()):
            raise Refused(ErrorCode.REQUEST_IS_MALFORMED, "the Host header names another machine than this one")


async def _send(
    response: Response, request_id: str, send: Callable[[Message], Awaitable[None]], *, only_head: bool
) -> None:
    named = {**response.headers, "x-request-id": request_id, "content-length": str(len(response.body))}
    if response.status == 413:
        named["connection"] = "close"
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if only_head else response.body})

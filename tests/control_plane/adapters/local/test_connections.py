"""The sockets of the local server, and those of a client of it."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from multinode.config import Connection
from multinode.transport import Transport
from multinode_control_plane.local_server.serve import _listening, _Server


async def empty(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


def test_neither_server_nor_sdk_hold_small_packets_back() -> None:
    told: list[bool] = []
    with _listening(0) as listener, contextlib.ExitStack() as stack:
        server = _Server(empty, threading.Event().set, lambda: None)  # type: ignore[arg-type]

        def ask() -> None:
            transport = Transport(Connection(f"http://127.0.0.1:{listener.getsockname()[1]}", "key", "test"))
            transport.request("GET", "/")
            pool = transport._connections().connection_from_url(transport.connection.api_url)
            connection: Any = pool._get_conn()
            stack.callback(connection.close)
            told.append(connection.sock is not None and is_prompt(connection.sock))

        async def main() -> None:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await asyncio.to_thread(ask)
            (accepted,) = server.server_state.connections
            told.append(is_prompt(accepted.transport.get_extra_info("socket")))
            server.should_exit = True
            await serving

        asyncio.run(main())
    assert told == [True, True]


def is_prompt(connection: socket.socket) -> bool:
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

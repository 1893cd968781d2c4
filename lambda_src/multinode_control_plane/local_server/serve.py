"""Serving one data directory until a signal says stop."""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from multinode_control_plane.adapters.local.data_dir import DataDirectory
from multinode_control_plane.adapters.local.server_files import (
    ServerInfo,
    ServerLock,
    read_server_info,
    write_server_info,
)
from multinode_control_plane.api.dispatch import build
from multinode_control_plane.api.http import failure
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.local_server.app import LocalApp
from multinode_control_plane.wiring.local import LocalDeployment
from multinode_control_plane.wiring.settings import multinode_version
from multinode_protocol.error_codes import ErrorCode

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
DEFAULT_PORT = 8484
KEEP_ALIVE_S = 75
SHUTDOWN_S = 10
MAX_HEADER_BYTES = 262_144


class PortInUse(Exception):
    """Another program listens on the port."""


def serve(
    directory: DataDirectory, port: int | None, environ: Mapping[str, str], on_ready: Callable[[ServerInfo], None]
) -> None:
    """Serve `directory` until SIGTERM or SIGINT. `on_ready` is called once requests are answered.

    `port`: 0 takes any free port; None takes the port of the directory's last server, or else `DEFAULT_PORT`.
    Raises ServerAlreadyRuns, PortInUse, DataDirectoryError, SettingIsInvalid.
    """
    last = read_server_info(directory)
    with contextlib.closing(ServerLock(directory)), _listening(chosen_port(port, last)) as listener:
        info = ServerInfo(
            pid=os.getpid(),
            port=listener.getsockname()[1],
            url=f"http://{HOST}:{listener.getsockname()[1]}",
            started_at=time.time(),
            version=multinode_version(),
        )
        deployment = LocalDeployment(directory, info.url, environ)
        app = LocalApp(build(deployment.api_ports))

        def ready() -> None:
            write_server_info(directory, info)
            on_ready(info)

        try:
            deployment.start()
            _warn_of_moved_workers(deployment, last, info)
            _Server(app, ready, deployment.waiter.close).run(sockets=[listener])
        finally:
            deployment.stop()
            app.close()


def chosen_port(port: int | None, last: ServerInfo | None) -> int:
    """Return where to listen: workers that still run report to the port of the last server."""
    if port is not None:
        return port
    return DEFAULT_PORT if last is None else last.port


def _warn_of_moved_workers(deployment: LocalDeployment, last: ServerInfo | None, info: ServerInfo) -> None:
    running = len(deployment.compute.running())
    if running and last is not None and last.port != info.port:
        logger.warning(
            "%d workers of the last server report to %s, where no server listens now: their reports do not arrive. "
            "Start with --port %d to take them over.",
            running,
            last.url,
            last.port,
        )


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    # asyncio sets TCP_NODELAY on accepted sockets only if the protocol is named; without it, answers wait for 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(1024)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            what = "is in use by another program" if error.errno == errno.EADDRINUSE else "is not open to this user"
            raise PortInUse(
                f"Port {port} of {HOST} {what}. Choose another with --port, or use --port 0 for any free one."
            ) from error
        yield listener
    finally:
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn with error answers in our own format, and a stop that does not wait for waiting requests."""

    def __init__(self, app: LocalApp, ready: Callable[[], None], stopping: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=SHUTDOWN_S,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            )
        )
        self._ready = ready
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        await asyncio.get_running_loop().run_in_executor(None, self._ready)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at the first signal, and at once at the second. uvicorn itself would die of the signal."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


class _Protocol(H11Protocol):
    """HTTP/1.1 whose refusals have the format of every other error."""

    def send_400_response(self, msg: str) -> None:
        response = failure(Refused(ErrorCode.REQUEST_IS_MALFORMED, msg.rstrip(".")), "")
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        for event in (
            h11.Response(status_code=response.status, headers=headers, reason=b"Bad Request"),
            h11.Data(data=response.body),
            h11.EndOfMessage(),
        ):
            data = self.conn.send(event)
            if data:
                self.transport.write(data)
        self.transport.close()

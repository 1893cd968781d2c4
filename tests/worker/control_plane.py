"""A control plane of one execution over real HTTP, which writes down what the worker says and fails when told to."""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["EXECUTION", "Away", "ControlPlane", "Request"]

EXECUTION = "exe-" + "e" * 32
ROUTE = re.compile(
    r"/projects/demo/versions/ver-1/functions/(?P<function>\w+)/invocations/inv-1/executions/"
    + EXECUTION
    + "(?P<step>/start|/update|/finish|)"
)


class Away(Exception):
    """Raised by a script of a test: the request is answered by a closed connection."""


@dataclass(frozen=True)
class Request:
    step: str
    """``start``, ``update``, ``finish``, or ``read``."""
    body: dict[str, Any]
    at: float
    """On the monotonic clock."""


@dataclass
class ControlPlane:
    """Answers like the real one. `before` and `after`, per step, run around its own doing: they may raise Away to
    close the connection, or return (status, body) to answer that instead."""

    input: str = "[[],{}]"
    timeout_s: float = 60
    stop_reason: str | None = None
    before: dict[str, Callable[[Request], tuple[int, dict[str, Any]] | None]] = field(default_factory=dict)
    after: dict[str, Callable[[Request], tuple[int, dict[str, Any]] | None]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    nonce: str | None = None
    finished: dict[str, Any] | None = None
    terminated: bool = False
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def updates(self) -> list[Any]:
        """The progress values in the order in which they were reported, decoded."""
        return [json.loads(request.body["latest_output"]) for request in self.requests if request.step == "update"]

    @property
    def sequences(self) -> list[int]:
        return [request.body["sequence"] for request in self.requests if request.step == "update"]

    def count(self, step: str) -> int:
        return sum(request.step == step for request in self.requests)

    def forget(self) -> None:
        """Forget what was reported, for another worker."""
        self.nonce = self.finished = None
        self.requests.clear()

    def open(self) -> None:
        """Listen; again on the same port when it did before."""
        control_plane = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                control_plane.handle(self)

            do_PUT = do_GET

            def log_message(self, *args: object) -> None:
                pass

        ThreadingHTTPServer.daemon_threads = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop listening: connections are refused from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length", 0))
        body = json.loads(handler.rfile.read(length)) if length else {}
        match = ROUTE.fullmatch(handler.path)
        step = (match["step"][1:] or "read") if match else handler.path
        request = Request(step, body, time.monotonic())
        try:
            if self._server is None:  # closed, but this connection was kept alive
                raise Away
            self.requests.append(request)
            answer = self.before[step](request) if step in self.before else None
            answer = answer or self._answer(request)
            answer = (self.after[step](request) if step in self.after else None) or answer
        except Away:
            handler.close_connection = True
            handler.connection.close()
            return
        status, document = answer
        data = json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        if self.terminated:
            return refused("ExecutionIsAlreadyTerminated", "This execution has already terminated")
        if request.step == "start":
            nonce = request.body["worker_nonce"]
            if self.nonce not in (None, nonce):
                return refused("ExecutionHasAlreadyStarted", "This execution has already started")
            self.nonce = nonce
        if request.step == "finish":
            if self.finished not in (None, request.body):
                return refused("ExecutionHasAlreadyFinished", "This execution has already finished")
            self.finished = request.body
        return 200, {
            "execution_id": EXECUTION,
            "input": self.input,
            "stop_reason": self.stop_reason,
            "remaining_s": self.timeout_s,
            "execution_spec": {"timeout_seconds": 3600, "max_retries": 0},
            "resource_spec": {"virtual_cpus": 0.1, "memory_gbs": 0.25, "max_concurrency": 1},
        }


def refused(code: str, detail: str, status: int = 409) -> tuple[int, dict[str, Any]]:
    return status, {"code": code, "detail": detail}

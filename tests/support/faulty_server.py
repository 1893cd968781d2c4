"""A server over real HTTP whose answers can be made to go wrong.

`faults` are for the next requests, whichever they are; `on` is for one kind of them.
"""

import json
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from multinode_protocol.error_codes import ERRORS, ErrorCode

DEADLINE_S = 60.0


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Their names in lower case."""
    body: Any
    text: str
    """The body as it was sent."""
    query_text: str
    at: float
    """On the monotonic clock."""


@dataclass(frozen=True)
class Fault:
    """What a request meets instead of the handler's answer; `status` None: its connection is closed."""

    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    carried_out: bool = False
    """The handler carries the request out first: only its answer is lost."""


Step = Callable[[Request], object]
"""What a test does around a request; a Fault that it returns takes the answer's place."""


def cut(*, carried_out: bool = False) -> Fault:
    return Fault(carried_out=carried_out)


def says(status: int, document: object = None, **headers: str) -> Fault:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Fault(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def refuses(code: ErrorCode, detail: str | None = None, **more: str) -> Fault:
    """Answer as the real one refuses, without having asked it."""
    return says(ERRORS[code].status, {"detail": detail or ERRORS[code].message, "code": code.value, **more})


@dataclass
class Rule:
    method: str
    ending: str
    before: Step | None
    after: Step | None
    times: float

    def matches(self, request: Request) -> bool:
        return self.times > 0 and self.method in ("", request.method) and request.path.endswith(self.ending)


class FaultyServer(ABC):
    """What a test looks at first, then what it orders, then HTTP."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.accepted: list[Request] = []
        """Those that were carried out, whether or not the answer arrived."""
        self.faults: deque[Fault] = deque()
        self.changed = threading.Condition()
        self.away = False
        self.url = ""
        self._rules: list[Rule] = []
        self._server: ThreadingHTTPServer | None = None
        self._current = threading.local()

    @abstractmethod
    def carry_out(self, request: Request) -> Fault:
        """Return the true answer."""

    @property
    def asked(self) -> list[tuple[str, str]]:
        """What was asked, as (method, path)."""
        return [(request.method, request.path) for request in self.requests]

    @property
    def bodies(self) -> list[Any]:
        return [request.body for request in self.requests if request.body is not None]

    def sent(self, method: str, ending: str = "") -> list[Request]:
        return [request for request in self.requests if request.method == method and request.path.endswith(ending)]

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for what requests bring about."""
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE_S), "it did not come about"

    def until_requested(self) -> None:
        """Wait for one more request."""
        count = len(self.requests)
        self.until(lambda: len(self.requests) > count)

    # --- what goes wrong ---

    def on(
        self,
        method: str,
        ending: str = "",
        *,
        before: Step | None = None,
        after: Step | None = None,
        times: float = 1,
    ) -> None:
        """Take these steps around the next `times` requests of that kind; what is told last comes first."""
        self._rules.insert(0, Rule(method, ending, before, after, times))

    def go_away(self) -> None:
        """Close every connection from now on, waiting ones included."""
        with self.changed:
            self.away = True
            self.changed.notify_all()

    def come_back(self) -> None:
        self.away = False

    # --- HTTP ---

    def hold(self, over: Callable[[], bool], timeout_s: float) -> None:
        """Hold the current request, with `changed` in hand, until it is over, or until its client is to be cut off."""
        # A server that was closed may be open again, as another one, before this thread comes to look.
        asked = self._current.server
        self.changed.wait_for(lambda: self.away or self._server is not asked or over(), timeout_s)
        self._current.cut = self._server is not asked

    def open(self) -> None:
        """Listen on a loopback port: on the one before, if there was one."""
        self._server = _Server(("127.0.0.1", int(self.url.rpartition(":")[2] or 0)), _handler_of(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        """Stop listening: connections are refused from now on; those that are kept alive or wait are closed."""
        server, self._server = self._server, None
        with self.changed:
            self.changed.notify_all()
        if server is not None:
            server.shutdown()
            server.server_close()

    def _answer(self, request: Request) -> Fault:
        """Return what is sent, or that the connection is closed."""
        server = self._server
        if server is None:
            return cut()
        self._current.request, self._current.server, self._current.cut = request, server, False
        with self.changed:
            self.requests.append(request)
            fault = self.faults.popleft() if self.faults else None
            rules = [each for each in self._rules if each.matches(request)]
            for rule in rules:
                rule.times -= 1
            self.changed.notify_all()
        if self.away:
            return cut()
        fault = fault or _first_fault(request, [rule.before for rule in rules])
        if fault is not None and not fault.carried_out:
            return fault
        answer = self.carry_out(request)
        fault = fault or _first_fault(request, [rule.after for rule in rules])
        return cut() if self.away or self._current.cut else fault or answer

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        address = urlsplit(handler.path)
        content = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = Request(
            handler.command,
            address.path,
            dict(parse_qsl(address.query, keep_blank_values=True)),
            {name.lower(): value for name, value in handler.headers.items()},
            json.loads(content) if content else None,
            content.decode(),
            address.query,
            time.monotonic(),
        )
        answer = self._answer(request)
        if answer.status is None:
            handler.close_connection = True
            handler.connection.close()
            return
        handler.send_response(answer.status)
        for name, value in {"content-type": "application/json", **answer.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body)


def _first_fault(request: Request, steps: Sequence[Step | None]) -> Fault | None:
    """Take the steps until one of them gives a Fault, and return that."""
    taken = (step(request) for step in steps if step is not None)
    return next((done for done in taken if isinstance(done, Fault)), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


def _handler_of(server: FaultyServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet: two of them wait for each other's acknowledgement

        def serve(self) -> None:
            server.serve(self)

        do_GET = do_PUT = do_POST = do_DELETE = serve

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (OSError, ValueError):  # the client has ended meanwhile, or its connection was closed above
                self.close_connection = True

        def finish(self) -> None:
            with suppress(OSError, ValueError):
                super().finish()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    return Handler


S = TypeVar("S", bound=FaultyServer)


@contextmanager
def serving(server: S) -> Iterator[S]:
    """Listen on a loopback port while the block runs."""
    server.open()
    try:
        yield server
    finally:
        server.go_away()
        server.close()


def later(*steps: Callable[[], object]) -> threading.Thread:
    """Take the steps one after another in a thread, while the command runs."""

    def take() -> None:
        for step in steps:
            step()

    thread = threading.Thread(target=take)
    thread.start()
    return thread

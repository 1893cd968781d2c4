"""A control plane small enough to read: real HTTP, versions and invocations in memory, and troubles on order.

Nothing runs by itself: a test says how invocations end, with `finish` or beforehand with `answers`.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from multinode_protocol.failures import FAILURES, ErrorCode
from multinode_protocol.messages import ExecutionSummary, InvocationInfo
from multinode_protocol.status import InvocationStatus

KEY = "mn_0123abcd_" + "k" * 43
PROJECT = "shop"
CREATED_MS = 1_700_000_000_123


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Trouble:
    """What happens to the next request instead of its answer; `status` None: the connection is cut."""

    status: int | None = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    carried_out: bool = False
    """The request is carried out first: only its answer is lost."""


def cut(*, carried_out: bool = False) -> Trouble:
    return Trouble(carried_out=carried_out)


def says(status: int, document: object = None, **headers: str) -> Trouble:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Trouble(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class Refused(Exception):
    def __init__(self, code: ErrorCode) -> None:
        self.code = code


class Plane:
    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.troubles: deque[Trouble] = deque()
        self.versions: dict[str, dict[str, list[str] | None]] = {"ver-1": {"add": ["a", "b="], "free": None}}
        self.invocations: dict[str, InvocationInfo] = {}
        self.answers: Callable[[str, str], tuple[InvocationStatus, str | None]] | None = None
        """(function's name, input) -> how its invocations end, at once."""
        self.most_open = 0
        self.changed = threading.Condition()
        self.url = ""

    # ── for tests ───────────────────────────────────────────────────────────────────────────────────────────────────

    def sent(self, method: str, ending: str = "") -> list[Request]:
        return [request for request in self.requests if request.method == method and request.path.endswith(ending)]

    def finish(self, invocation_id: str, status: InvocationStatus, result: str | None = None, **more: Any) -> None:
        with self.changed:
            changes: Any = {"status": status, "status_reason": f"it {status.lower()}", "result": result, **more}
            self.invocations[invocation_id].update(changes)
            self.changed.notify_all()

    def await_invocations(self, count: int) -> list[str]:
        """Return the ids of all invocations once there are `count`."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.invocations) >= count, timeout=300)
            return list(self.invocations)

    def await_requests(self, count: int, method: str, ending: str = "") -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.sent(method, ending)) >= count, timeout=300)

    # ── routes ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def answer(self, request: Request) -> dict[str, Any]:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise Refused(ErrorCode.API_KEY_IS_INVALID)
        match [request.method, *map(unquote, request.path.strip("/").split("/"))]:
            case ["GET", "projects", project, "versions", version]:
                return self.version(project, version)
            case ["POST", "projects", project, "versions", version, "functions", function, "invocations"]:
                return dict(self.create(project, version, function, request.body))
            case ["GET", "projects", project, "versions", version, "functions", function, "invocations"]:
                return self.listing(project, version, function, request.query)
            case ["GET", "invocations", invocation_id]:
                return dict(self.read(invocation_id, float(request.query.get("wait_s", 0))))
            case ["PUT", "invocations", invocation_id, "cancel"]:
                return dict(self.cancel(invocation_id))
            case _:
                raise Refused(ErrorCode.ROUTE_DOES_NOT_EXIST)

    def version(self, project: str, version_id: str) -> dict[str, Any]:
        if project != PROJECT:
            raise Refused(ErrorCode.PROJECT_DOES_NOT_EXIST)
        chosen = list(self.versions)[-1] if version_id == "latest" else version_id
        if chosen not in self.versions:
            raise Refused(ErrorCode.VERSION_DOES_NOT_EXIST)
        functions = [{"function_name": n, "signature": s} for n, s in self.versions[chosen].items()]
        return {"project_name": project, "version_id": chosen, "creation_time": 1, "functions": functions}

    def create(self, project: str, version_id: str, function: str, body: Any) -> InvocationInfo:
        version = self.version(project, version_id)
        if function not in self.versions[version["version_id"]]:
            raise Refused(ErrorCode.FUNCTION_DOES_NOT_EXIST)
        with self.changed:
            invocation_id = body["invocation_id"]
            if invocation_id not in self.invocations:
                info = new_invocation(invocation_id, version["version_id"], function, body)
                if self.answers is not None:
                    status, result = self.answers(function, body["input"])
                    info.update({"status": status, "result": result})  # type: ignore[typeddict-item]
                self.invocations[invocation_id] = info
                opened = [i for i in self.invocations.values() if not InvocationStatus(i["status"]).finished]
                self.most_open = max(self.most_open, len(opened))
            self.changed.notify_all()
            return self.invocations[invocation_id]

    def read(self, invocation_id: str, wait_s: float) -> InvocationInfo:
        with self.changed:
            if invocation_id not in self.invocations:
                raise Refused(ErrorCode.INVOCATION_DOES_NOT_EXIST)
            self.changed.wait_for(
                lambda: InvocationStatus(self.invocations[invocation_id]["status"]).finished, timeout=wait_s
            )
            return self.invocations[invocation_id]

    def cancel(self, invocation_id: str) -> InvocationInfo:
        with self.changed:
            if InvocationStatus(self.invocations[invocation_id]["status"]).finished:
                raise Refused(ErrorCode.INVOCATION_IS_ALREADY_TERMINATED)
            self.finish(invocation_id, InvocationStatus.CANCELLED, error="The invocation was cancelled: by its caller")
            return self.invocations[invocation_id]

    def listing(self, project: str, version_id: str, function: str, query: dict[str, str]) -> dict[str, Any]:
        version = self.version(project, version_id)
        newest_first = [i for i in reversed(self.invocations.values()) if i["function_name"] == function]
        first = int(query.get("initial_offset", 0))
        more = len(newest_first) > first + 2
        return {
            "project_name": project,
            "version_id": version["version_id"],
            "function_name": function,
            "invocations": [{"invocation_id": i["invocation_id"]} for i in newest_first[first : first + 2]],
            "next_offset": str(first + 2) if more else None,
        }


def new_invocation(invocation_id: str, version_id: str, function: str, body: Any) -> InvocationInfo:
    parent = body.get("parent_invocation")
    return {
        "project_name": PROJECT,
        "version_id": version_id,
        "function_name": function,
        "invocation_id": invocation_id,
        "parent_invocation": parent and {**parent, **dict.fromkeys(_PARENT_FIELDS)},
        "resource_spec": {"virtual_cpus": 0.1, "memory_gbs": 0.25, "max_concurrency": 10},
        "execution_spec": {"max_retries": 0, "timeout_seconds": 3600},
        "function_status": "READY",
        "prepared_function_details": None,
        "input": body["input"],
        "cancellation_request_time": None,
        "invocation_status": "RUNNING",
        "creation_time": CREATED_MS // 1000,
        "last_update_time": CREATED_MS // 1000,
        "executions": [],
        "status": "PENDING",
        "status_reason": "waiting for a free slot: 10 of 10 running",
        "terminated": False,
        "num_failed_attempts": 0,
        "num_failed_launches": 0,
        "result": None,
        "error": None,
        "error_traceback": None,
        "creation_time_ms": CREATED_MS,
        "last_update_time_ms": CREATED_MS,
        "finish_time_ms": None,
        "revision": "1",
    }


_PARENT_FIELDS = ("cancellation_request_time", "invocation_status", "creation_time", "last_update_time")


def new_execution(execution_id: str, **changes: Any) -> ExecutionSummary:
    summary: Any = {
        "execution_id": execution_id,
        "worker_status": "RUNNING",
        "worker_details": None,
        "termination_signal_time": None,
        "outcome": None,
        "output": None,
        "error_message": None,
        "creation_time": CREATED_MS // 1000,
        "last_update_time": CREATED_MS // 1000,
        "execution_start_time": None,
        "execution_finish_time": None,
    }
    return {**summary, **changes}  # type: ignore[return-value]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # one packet per answer: two would wait for each other (Nagle, delayed acknowledgement)
    plane: Plane

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def serve(self) -> None:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        request = Request(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query)),
            {name.lower(): value for name, value in self.headers.items()},
            json.loads(content) if content else None,
        )
        plane = self.plane
        with plane.changed:
            plane.requests.append(request)
            trouble = plane.troubles.popleft() if plane.troubles else None
            plane.changed.notify_all()
        if trouble is None or trouble.carried_out:
            status, document = self.carry_out(request)
            self.send(status, json.dumps(document).encode(), {}) if trouble is None else self.cut()
        elif trouble.status is None:
            self.cut()
        else:
            self.send(trouble.status, trouble.body, trouble.headers)

    do_GET = do_POST = do_PUT = do_DELETE = serve

    def carry_out(self, request: Request) -> tuple[int, object]:
        try:
            return 200, self.plane.answer(request)
        except Refused as refused:
            failure = FAILURES[refused.code]
            return failure.status, {"detail": failure.message, "code": refused.code}

    def cut(self) -> None:
        self.close_connection = True

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def serving(plane: Plane, port: int = 0) -> Iterator[Plane]:
    """Serve `plane` on a loopback port while the block runs."""
    server = Server(("127.0.0.1", port), type("PlaneHandler", (Handler,), {"plane": plane}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    plane.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield plane
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Clock:
    """A clock that only `sleep` moves on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def eventually(condition: Callable[[], bool], within_s: float = 300.0) -> None:
    """Return once `condition` holds. For what real threads and processes do in their own time."""
    give_up_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come to hold"
        time.sleep(0.01)

"""A control plane of dictionaries behind real HTTP, for what a real one does too seldom, or takes too long to do.

It answers as docs and `multinode_protocol` say, and does nothing by itself: tests put in what has happened.
"""

import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from multinode_protocol.failures import FAILURES, ErrorCode
from tests.cli.records import CREATED, execution_id, function_info, invocation_id, version_id

KEY = "mn_0123abcd_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
LONGEST_WAIT_S = 2.0


class Refusal(Exception):
    def __init__(self, code: ErrorCode, detail: str | None = None) -> None:
        super().__init__(code)
        self.status = FAILURES[code].status
        self.body = {"detail": detail or FAILURES[code].message, "code": code.value}


@dataclass
class FakeControlPlane:
    """State first, then what tests do to it, then the routes. `requests`: what was asked, as (method, path)."""

    url: str = ""
    deployment: dict[str, Any] = field(
        default_factory=lambda: {"backend": "local", "api_version": 1, "multinode_version": "2.0.0"}
    )
    projects: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    invocations: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    refuse_next: list[Refusal] = field(default_factory=list)
    away: bool = False
    deleted_after: int = 2
    """How often a project under deletion still answers."""
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _asked: set[str] = field(default_factory=set)
    """What somebody is waiting for who has been told all that happened before: ``invocation``, ``logs``."""

    def add_project(self, name: str, *functions: dict[str, Any], versions: int = 1, **changes: Any) -> None:
        self.projects[name] = {"project_name": name, "creation_time": CREATED, "deletion_request_time": None} | changes
        self.versions[name] = [
            {
                "project_name": name,
                "version_id": version_id(number),
                "creation_time": CREATED + number,
                "functions": list(functions),
            }
            for number in range(versions, 0, -1)
        ]

    def add_invocation(self, number: int, project: str, function: str, status: str = "RUNNING", **changes: Any) -> str:
        identifier = invocation_id(number)
        ended = status in {"SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"}
        version = self.versions[project][0]
        self.invocations[identifier] = {
            "project_name": project,
            "version_id": version["version_id"],
            "function_name": function,
            "invocation_id": identifier,
            "parent_invocation": None,
            "resource_spec": version["functions"][0]["resource_spec"],
            "execution_spec": version["functions"][0]["execution_spec"],
            "function_status": "READY",
            "prepared_function_details": None,
            "input": "[[], {}]",
            "cancellation_request_time": None,
            "invocation_status": "TERMINATED" if ended else "RUNNING",
            "creation_time": CREATED,
            "last_update_time": CREATED,
            "executions": [],
            "status": status,
            "status_reason": "",
            "terminated": ended,
            "num_failed_attempts": 0,
            "num_failed_launches": 0,
            "result": None,
            "error": None,
            "error_traceback": None,
            "creation_time_ms": CREATED * 1000,
            "last_update_time_ms": CREATED * 1000,
            "finish_time_ms": CREATED * 1000 + 2500 if ended else None,
            "revision": "1",
        } | changes
        return identifier

    def change(self, identifier: str, **changes: Any) -> None:
        """Change an invocation, as the real control plane does when something has happened to it."""
        with self._changed:
            invocation = self.invocations[identifier]
            invocation.update(changes)
            invocation["revision"] = str(int(invocation["revision"]) + 1)
            if changes.get("status") in {"SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"}:
                invocation["terminated"] = True
                invocation["finish_time_ms"] = CREATED * 1000 + 2500
            self._asked.discard("invocation")
            self._changed.notify_all()

    def write(self, identifier: str, message: str, attempt: int = 1, stream: str = "stdout", ms: int = 0) -> None:
        """Write a log line of an invocation's attempt, `ms` milliseconds after its creation."""
        with self._changed:
            line = {
                "timestamp_ms": CREATED * 1000 + ms,
                "execution_id": execution_id(attempt),
                "attempt": attempt,
                "stream": stream,
                "message": message,
            }
            self.lines.setdefault(identifier, []).append(line)
            self._asked.discard("logs")
            self._changed.notify_all()

    def until_asked(self, *whats: str) -> None:
        """Wait until somebody waits for each of `whats`, having been told all that has happened so far."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._asked.issuperset(whats), timeout=300)

    def until_requested(self) -> None:
        """Wait for one more request."""
        with self._changed:
            count = len(self.requests)
            assert self._changed.wait_for(lambda: len(self.requests) > count, timeout=300)

    # --- routes ---

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        match (method, [unquote(part) for part in path.strip("/").split("/")]):
            case "GET", ["deployment"]:
                return self.deployment
            case "GET", ["projects"]:
                return {"projects": list(self.projects.values())}
            case "PUT", ["projects", name]:
                if name in self.projects:
                    raise Refusal(ErrorCode.PROJECT_ALREADY_EXISTS)
                self.add_project(name, versions=0)
                return self.projects[name]
            case "DELETE", ["projects", name]:
                self._project(name)["deletion_request_time"] = CREATED + 10
                return self.projects[name]
            case "GET", ["projects", name]:
                return self._remaining(name)
            case "GET", ["projects", name, "versions"]:
                self._project(name)
                listed = [{key: v[key] for key in ("version_id", "creation_time")} for v in self.versions[name]]
                return {"project_name": name, "versions": listed}
            case "POST", ["projects", name, "versions"]:
                return self._create_version(name, body)
            case "GET", ["projects", name, "versions", wanted]:
                return self._version(name, wanted)
            case "GET", ["projects", name, "versions", wanted, "functions", function, "invocations"]:
                return self._listing(name, wanted, function, query)
            case "POST", ["projects", name, "versions", wanted, "functions", function, "invocations"]:
                return self._start(name, wanted, function, body)
            case "GET", ["invocations", identifier]:
                return self._wait_for(identifier, query)
            case "PUT", ["invocations", identifier, "cancel"]:
                return self._cancel(identifier)
            case "GET", ["invocations", identifier, "logs"]:
                return self._logs(identifier, query)
        raise Refusal(ErrorCode.ROUTE_DOES_NOT_EXIST)

    def _project(self, name: str) -> dict[str, Any]:
        if name not in self.projects:
            raise Refusal(ErrorCode.PROJECT_DOES_NOT_EXIST)
        return self.projects[name]

    def _remaining(self, name: str) -> dict[str, Any]:
        """Return a project; one under deletion disappears when it has been asked for `deleted_after` times."""
        project = self._project(name)
        if project["deletion_request_time"] is not None:
            self.deleted_after -= 1
            if self.deleted_after < 0:
                del self.projects[name]
                raise Refusal(ErrorCode.PROJECT_DOES_NOT_EXIST)
        return project

    def _version(self, name: str, wanted: str) -> dict[str, Any]:
        self._project(name)
        for number, version in enumerate(self.versions[name]):
            if version["version_id"] == wanted or (wanted == "latest" and number == 0):
                return version
        raise Refusal(ErrorCode.VERSION_DOES_NOT_EXIST)

    def _create_version(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        self._project(name)
        number = len(self.versions[name]) + 1
        functions = [function_info(each["function_name"]) | each for each in body["functions"]]
        version = {
            "project_name": name,
            "version_id": version_id(number),
            "creation_time": CREATED + number,
            "functions": functions,
            "local_bundle": body.get("local_bundle"),
        }
        self.versions[name].insert(0, version)
        return version

    def _listing(self, name: str, wanted: str, function: str, query: dict[str, str]) -> dict[str, Any]:
        version = self._version(name, wanted)
        statuses = query["status"].split(",") if "status" in query else None
        found = [
            invocation
            for invocation in reversed(self.invocations.values())
            if (invocation["project_name"], invocation["function_name"]) == (name, function)
            and (statuses is None or invocation["status"] in statuses)
        ]
        start, count = int(query.get("initial_offset", 0)), int(query.get("max_results", 50))
        following = start + count
        return {
            "project_name": name,
            "version_id": version["version_id"],
            "function_name": function,
            "invocations": found[start:following],
            "next_offset": str(following) if following < len(found) else None,
        }

    def _start(self, name: str, wanted: str, function: str, body: dict[str, Any]) -> dict[str, Any]:
        self._version(name, wanted)
        number = int(body["invocation_id"].removeprefix("inv-"), 16)
        identifier = self.add_invocation(number, name, function, "PENDING", input=body["input"])
        return self.invocations[identifier]

    def _invocation(self, identifier: str) -> dict[str, Any]:
        if identifier not in self.invocations:
            raise Refusal(ErrorCode.INVOCATION_DOES_NOT_EXIST)
        return self.invocations[identifier]

    def _wait_for(self, identifier: str, query: dict[str, str]) -> dict[str, Any]:
        invocation = self._invocation(identifier)
        wait_s = min(float(query.get("wait_s", 0)), LONGEST_WAIT_S)
        with self._changed:
            if wait_s and invocation["revision"] == query.get("since", invocation["revision"]):
                self._now_asked("invocation")
            if "since" in query:
                self._changed.wait_for(lambda: self.away or invocation["revision"] != query["since"], wait_s)
            elif query.get("until") == "finished":
                self._changed.wait_for(lambda: self.away or invocation["terminated"], wait_s)
            return copy.deepcopy(invocation)

    def _now_asked(self, what: str) -> None:
        self._asked.add(what)
        self._changed.notify_all()

    def _cancel(self, identifier: str) -> dict[str, Any]:
        invocation = self._invocation(identifier)
        if invocation["terminated"]:
            raise Refusal(ErrorCode.INVOCATION_IS_ALREADY_TERMINATED)
        self.change(identifier, status="CANCELLED" if invocation["status"] == "PENDING" else "CANCELLING")
        return invocation

    def _logs(self, identifier: str, query: dict[str, str]) -> dict[str, Any]:
        invocation = self._invocation(identifier)
        start = int(query.get("offset", 0))
        with self._changed:
            if "wait_s" in query and len(self.lines.get(identifier, [])) <= start:
                self._now_asked("logs")
            self._changed.wait_for(
                lambda: self.away or len(self.lines.get(identifier, [])) > start or invocation["terminated"],
                min(float(query.get("wait_s", 0)), LONGEST_WAIT_S),
            )
            lines = self.lines.get(identifier, [])
            wanted = [
                line
                for line in lines[start:]
                if line["timestamp_ms"] >= int(query.get("since_ms", 0))
                and query.get("execution_id", line["execution_id"]) == line["execution_id"]
            ]
            if "tail" in query:
                wanted = wanted[len(wanted) - min(int(query["tail"]), len(wanted)) :]
            return {
                "invocation_id": identifier,
                "lines": wanted,
                "next_offset": str(len(lines)),
                "complete": invocation["terminated"],
            }

    # --- HTTP ---

    def serve_one(self, handler: BaseHTTPRequestHandler) -> None:
        address = urlsplit(handler.path)
        content = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        with self._changed:
            self.requests.append((handler.command, address.path))
            self._changed.notify_all()
        if self.away:
            handler.close_connection = True
            return
        try:
            if handler.headers.get("Authorization") != f"Bearer {KEY}":
                raise Refusal(ErrorCode.API_KEY_IS_INVALID)
            if self.refuse_next:
                raise self.refuse_next.pop(0)
            body = json.loads(content) if content else {}
            if content:
                self.bodies.append(body)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            status, answer = 200, self.answer(handler.command, address.path, query, body)
        except Refusal as refusal:
            status, answer = refusal.status, refusal.body
        if self.away:
            handler.close_connection = True
            return
        data = json.dumps(answer).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def go_away(self) -> None:
        """Drop every connection from now on, waiting ones included."""
        with self._changed:
            self.away = True
            self._asked.clear()
            self._changed.notify_all()

    def come_back(self) -> None:
        self.away = False


@contextmanager
def serving(plane: FakeControlPlane) -> Iterator[FakeControlPlane]:
    """Serve `plane` on a port of the loopback interface until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet: two of them wait for each other's acknowledgement

        def handle_any(self) -> None:
            try:
                plane.serve_one(self)
            except ConnectionError:
                self.close_connection = True  # the command has ended meanwhile

        do_GET = do_PUT = do_POST = do_DELETE = handle_any

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    server = Server(("127.0.0.1", 0), Handler)
    plane.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield plane
    finally:
        plane.go_away()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def later(*steps: Callable[[], object]) -> threading.Thread:
    """Take the steps one after another while the command runs."""

    def take() -> None:
        for step in steps:
            step()

    thread = threading.Thread(target=take)
    thread.start()
    return thread

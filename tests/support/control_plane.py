"""The one fake control plane: the real API handler on in-memory fakes, behind real HTTP, with faults on order.

Nothing runs by itself. A test says what has happened (`add_invocation`, `change`, `write`), and which requests go
wrong: `faults` are for the next requests, whichever they are; `on` is for one kind of them.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from multinode_control_plane.api import rendering
from multinode_control_plane.api.validation import version_request
from multinode_control_plane.core.keys import Key, key_of, project_key, version_key, versions_prefix
from multinode_control_plane.core.records import (
    Execution,
    Invocation,
    LocalBundle,
    Output,
    Project,
    Record,
    Version,
    WorkerDetails,
)
from multinode_control_plane.handlers import api as api_handler
from multinode_control_plane.ports import ABSENT, Delete, Put
from multinode_control_plane.services import details
from multinode_protocol.error_codes import ERRORS, ErrorCode
from multinode_protocol.messages import DeploymentInfo
from multinode_protocol.status import InvocationStatus, Outcome, WorkerStatus
from tests.support.api_client import event
from tests.support.bodies import CREATED, execution, function_info, invocation_id, version_id
from tests.support.fakes import FakeKeychain
from tests.support.world import World

KEY = "mn_0123abcd_" + "k" * 43
LONGEST_WAIT_S = 2.0
"""So long a request may wait here: a client that asks again is what most tests of waiting are about."""
DEADLINE_S = 60.0
FINISHED_MS = 2500
"""An invocation that has ended took so long, unless a test says otherwise."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Their names in lower case."""
    body: Any
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


class FakeControlPlane:
    """State first, then what tests do to it, then HTTP."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World(specs=None)
        self.world.clock.time = at(0)
        self.keychain = FakeKeychain((KEY,))
        self.deployment = DeploymentInfo(backend="local", api_version=1, multinode_version="2.0.0")
        self.requests: list[Request] = []
        self.accepted: list[Request] = []
        """Those that the handler carried out, whether or not its answer arrived."""
        self.faults: deque[Fault] = deque()
        self.ends: Callable[[str, str], tuple[InvocationStatus, str | None]] | None = None
        """(function's name, input) -> how its invocations end, as soon as they are started."""
        self.changed = threading.Condition()
        self.away = False
        self.longest_wait_s = LONGEST_WAIT_S
        self.looks_at_a_deletion = 2
        self.url = ""
        self._rules: list[Rule] = []
        self._facts: dict[str, dict[str, Any]] = {}
        """What tests told of each invocation; its records are made of that anew at each change."""
        self._asked: set[str] = set()
        """What somebody is waiting for who has been told all that happened before: ``invocation``, ``logs``."""
        self._current = threading.local()
        self._server: ThreadingHTTPServer | None = None
        self.on("DELETE", after=lambda request: self._gone_soon(request.path.rpartition("/")[2]), times=inf)
        ports = api_handler.ApiPorts(self.world.context, self.keychain, self.world.logs, self, self.deployment)
        self._handler = api_handler.build(ports)

    # --- what a test looks at ---

    @property
    def asked(self) -> list[tuple[str, str]]:
        """What was asked, as (method, path)."""
        return [(request.method, request.path) for request in self.requests]

    @property
    def bodies(self) -> list[Any]:
        return [request.body for request in self.requests if request.body is not None]

    def sent(self, method: str, ending: str = "") -> list[Request]:
        return [request for request in self.requests if request.method == method and request.path.endswith(ending)]

    @property
    def invocations(self) -> dict[str, dict[str, Any]]:
        """The invocations as the API shows them, oldest first."""
        return {each.invocation_id: self._shown(each) for each in self.world.store.records(Invocation)}

    @property
    def projects(self) -> dict[str, dict[str, Any]]:
        return {each.project_name: dict(rendering.project_info(each)) for each in self.world.store.records(Project)}

    def versions(self, project: str) -> list[dict[str, Any]]:
        """The versions of a project as the API shows them, newest first."""
        found = self.world.store.query(versions_prefix(project), newest_first=True)
        return [dict(rendering.version_info(each.record, with_backend=True)) for each in found]

    def version(self, project: str) -> Version:
        """The newest version of a project."""
        return self.world.store.query(versions_prefix(project), newest_first=True)[0].record

    def _shown(self, invocation: Invocation) -> dict[str, Any]:
        return dict(
            details.invocation_info(self.world.context, details.load(self.world.context, invocation.invocation_id))
        )

    # --- what a test says has happened ---

    def add_project(
        self,
        name: str,
        *functions: Mapping[str, Any],
        versions: int = 1,
        deleted_at: int | None = None,
        local_bundle: LocalBundle | None = None,
    ) -> None:
        """Add a project whose versions have these functions, as a deploy sends them."""
        deletion = None if deleted_at is None else datetime.fromtimestamp(deleted_at, UTC)
        self._put(Project(name, at(0), deletion))
        for number in range(1, versions + 1):
            self._put_version(name, number, functions, local_bundle)

    def add_version(self, project: str, *functions: Mapping[str, Any]) -> str:
        """Add the next version of a project and return its id."""
        number = len(self.versions(project)) + 1
        self._put_version(project, number, functions)
        return version_id(number)

    def _put_version(
        self, project: str, number: int, functions: Sequence[Mapping[str, Any]], bundle: LocalBundle | None = None
    ) -> None:
        definition: dict[str, object] = {
            "default_docker_image": "local",
            "functions": [_definition(each) for each in functions],
        }
        specs = version_request(definition).functions
        self._put(Version(project, version_id(number), at(number * 1000), "local", specs, bundle))
        counts = self.world.ids.counts
        counts["ver"] = max(counts.get("ver", 0), number)

    def delete_project(self, name: str) -> None:
        """Have somebody ask for a project's deletion."""
        self._put(Project(name, at(0), at(10_000)))
        self._gone_soon(name)

    def forget_project(self, name: str) -> None:
        """Let a project be gone."""
        stored = self.world.store.get(project_key(name))
        assert stored is not None
        self.world.store.commit([Delete(project_key(name), stored.version)])

    def _gone_soon(self, name: str) -> None:
        """Let a project that is being deleted be gone when it has been looked at `looks_at_a_deletion` times."""
        looks = iter(range(self.looks_at_a_deletion))

        def look(_request: Request) -> None:
            if next(looks, None) is None and name in self.projects:
                self.forget_project(name)

        self.on("GET", f"/projects/{name}", before=look, times=inf)

    def add_invocation(self, number: int, project: str, function: str, status: str = "RUNNING", **facts: Any) -> str:
        """Add an invocation of the newest version. `facts`: see `_records`, which makes records of them."""
        identifier = invocation_id(number)
        version = self.version(project)
        spec = version.function(function)
        assert spec is not None
        self._facts[identifier] = {"version": version, "spec": spec, "status": status, **facts}
        self._put(*_records(identifier, self._facts[identifier]))
        return identifier

    def change(self, identifier: str, **facts: Any) -> None:
        """Change an invocation, as a worker or the platform would."""
        with self.changed:
            if identifier not in self._facts:
                self._facts[identifier] = self._learned(identifier)
            self._facts[identifier].update(facts)
            self._put(*_records(identifier, self._facts[identifier]))
            self._has_changed("invocation")

    def write(self, identifier: str, message: str, attempt: int = 1, stream: str = "stdout", ms: int = 0) -> None:
        """Write a log line of an invocation's attempt, `ms` milliseconds after its creation."""
        with self.changed:
            owner = details.load(self.world.context, identifier).record
            written = next(each for each in owner.executions if each.attempt == attempt)
            self.world.logs.write(written, message, timestamp_ms=CREATED * 1000 + ms, stream=stream)
            self._has_changed("logs")

    def _learned(self, identifier: str) -> dict[str, Any]:
        """Return the facts of an invocation that was started over the API."""
        invocation = details.load(self.world.context, identifier).record
        stored = self.world.store.get(version_key(invocation.project_name, invocation.version_id))
        assert stored is not None
        shown = self._shown(invocation)
        return {
            "version": stored.record,
            "spec": stored.record.function(invocation.function_name),
            "status": shown["status"],
            "input": shown["input"],
            "parent": invocation.parent,
        }

    def _put(self, *records: Record) -> None:
        store = self.world.store
        for record in records:
            key: Key[Record] = key_of(record)
            stored = store.get(key)
            store.commit([Put(record, ABSENT if stored is None else stored.version)])

    def _has_changed(self, *whats: str) -> None:
        self._asked.difference_update(whats)
        self.changed.notify_all()

    # --- what a test waits for ---

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for what requests bring about."""
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE_S), "it did not come about"

    def until_asked(self, *whats: str) -> None:
        """Wait until somebody waits for each of `whats`, having been told all that has happened so far."""
        self.until(lambda: self._asked.issuperset(whats))

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
            self._asked.clear()
            self.changed.notify_all()

    def come_back(self) -> None:
        self.away = False

    # --- the port Waiter ---

    def wait(self, invocation_id: str, changed: Callable[[], bool], timeout_s: float) -> None:
        what = "logs" if self._current.path.endswith("/logs") else "invocation"
        with self.changed:
            if changed():
                return
            self._asked.add(what)
            self.changed.notify_all()
            self.changed.wait_for(
                lambda: self.away or self._server is None or changed(), min(timeout_s, self.longest_wait_s)
            )
            self._current.cut = self._server is None

    # --- HTTP ---

    def open(self, port: int = 0) -> None:
        """Listen on a loopback port: on the one before, if there was one."""
        self._server = _Server(("127.0.0.1", port or int(self.url.rpartition(":")[2] or 0)), _handler_of(self))
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

    def answer(self, request: Request, text: str | None) -> Fault:
        """Return what is sent, or that the connection is closed."""
        if self._server is None:
            return cut()
        self._current.path, self._current.cut = request.path, False
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
        answer = self._carry_out(request, text)
        fault = fault or _first_fault(request, [rule.after for rule in rules])
        return cut() if self.away or self._current.cut else fault or answer

    def _carry_out(self, request: Request, text: str | None) -> Fault:
        query = urlsplit(self._current.target).query
        result: Any = self._handler(
            event(request.method, request.path, body=text, query=query, headers=request.headers), None
        )
        with self.changed:
            if result["statusCode"] == 200:
                self.accepted.append(request)
            if request.method != "GET":
                self._has_changed("invocation")
        if (
            request.method == "POST"
            and request.path.endswith("/invocations")
            and self.ends
            and result["statusCode"] == 200
        ):
            started = json.loads(result["body"])
            status, value = self.ends(started["function_name"], started["input"])
            if not InvocationStatus(started["status"]).finished and status is not InvocationStatus.PENDING:
                self.change(started["invocation_id"], status=status, result=value)
        return Fault(result["statusCode"], result["body"].encode(), result["headers"])

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        address = urlsplit(handler.path)
        content = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = Request(
            handler.command,
            address.path,
            dict(parse_qsl(address.query, keep_blank_values=True)),
            {name.lower(): value for name, value in handler.headers.items()},
            json.loads(content) if content else None,
            time.monotonic(),
        )
        self._current.target = handler.path
        answer = self.answer(request, content.decode() if content else None)
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


def _handler_of(plane: FakeControlPlane) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet: two of them wait for each other's acknowledgement

        def serve(self) -> None:
            plane.serve(self)

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


@contextmanager
def serving(plane: FakeControlPlane, port: int = 0) -> Iterator[FakeControlPlane]:
    """Serve `plane` on a loopback port while the block runs."""
    plane.open(port)
    try:
        yield plane
    finally:
        plane.go_away()
        plane.close()


def later(*steps: Callable[[], object]) -> threading.Thread:
    """Take the steps one after another in a thread, while the command runs."""

    def take() -> None:
        for step in steps:
            step()

    thread = threading.Thread(target=take)
    thread.start()
    return thread


# --- records of what tests tell ---------------------------------------------------------------------------------------


def at(ms: float) -> datetime:
    """Return the moment that many milliseconds after the creation of everything."""
    return datetime.fromtimestamp(CREATED, UTC) + timedelta(milliseconds=ms)


def _definition(function: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a deploy sends of a function that a body of the API shows."""
    shown = {**function_info(str(function["function_name"])), **function}
    known = ("function_name", "resource_spec", "execution_spec", "description", "signature", "schedule")
    return {name: shown[name] for name in known if shown.get(name) is not None}


FACTS = {
    *("version", "spec", "parent", "input", "status", "status_reason", "updated_ms"),
    *("executions", "result", "error", "error_traceback"),
}


def _records(identifier: str, facts: Mapping[str, Any]) -> Sequence[Record]:
    """Return an invocation and its outputs as the store would have them.

    `executions` are as `bodies.execution` gives them; `result`, `error` and `error_traceback` are those of the last.
    """
    status = InvocationStatus(facts["status"])
    shown = list(facts.get("executions") or [_only_execution(status)])
    values = {
        "output": facts.get("result"),
        "error_message": facts.get("error"),
        "error_traceback": facts.get("error_traceback"),
    }
    shown[-1] = shown[-1] | {name: value for name, value in values.items() if value is not None}
    assert facts.keys() <= FACTS, f"no such facts: {facts.keys() - FACTS}"
    version: Version = facts["version"]
    spec = facts["spec"]
    invocation = Invocation(
        invocation_id=identifier,
        project_name=version.project_name,
        version_id=version.version_id,
        function_name=spec.function_name,
        parent=facts.get("parent"),
        depth=0 if facts.get("parent") is None else 1,
        resource_spec=spec.resource_spec,
        execution_spec=spec.execution_spec,
        input_digest=None,
        input_text=facts.get("input", "[[], {}]"),
        status=status,
        status_reason=facts.get("status_reason", ""),
        created_at=at(0),
        updated_at=at(facts.get("updated_ms", 0)),
        executions=tuple(_execution(each, status) for each in shown),
        finished_at=at(FINISHED_MS) if status.finished else None,
        cancellation_requested_at=at(0)
        if status in (InvocationStatus.CANCELLING, InvocationStatus.CANCELLED)
        else None,
        cancellation_cause=facts.get("status_reason") if status is InvocationStatus.CANCELLED else None,
        last_failure=facts.get("error"),
    )
    return [invocation, *(output for each in shown if (output := _output(identifier, each, status)) is not None)]


def _only_execution(status: InvocationStatus) -> dict[str, Any]:
    if status is InvocationStatus.PENDING:
        return execution(1, worker_status="PENDING", execution_start_time_ms=None)
    return execution(1)


def _execution(shown: Mapping[str, Any], status: InvocationStatus) -> Execution:
    started, finished = shown["execution_start_time_ms"], shown["execution_finish_time_ms"]
    outcome = shown["outcome"]
    if outcome is None and status is InvocationStatus.FAILED:
        outcome = Outcome.FAILED
    return Execution(
        execution_id=shown["execution_id"],
        attempt=shown["attempt"],
        # An invocation that has ended is terminated, so no container of it is left.
        worker_status=WorkerStatus.TERMINATED if status.finished else WorkerStatus(shown["worker_status"]),
        created_at=_moment(shown["creation_time_ms"]),
        updated_at=_moment(shown["creation_time_ms"]),
        worker=WorkerDetails(**shown["worker_details"]),
        worker_nonce="n",
        started_at=None if started is None else _moment(started),
        finished_at=None if finished is None else _moment(finished),
        outcome=None if outcome is None else Outcome(outcome),
        termination_signal_at=at(0) if status in (InvocationStatus.CANCELLED, InvocationStatus.TIMED_OUT) else None,
        error=shown["error_message"],
    )


def _output(identifier: str, shown: Mapping[str, Any], status: InvocationStatus) -> Output | None:
    texts = {name: shown[name] for name in ("error_message", "error_type", "error_traceback")}
    if shown["output"] is None and not any(texts.values()):
        return None
    return Output(identifier, shown["execution_id"], 1, shown["output"], final=status.finished, **texts)


def _moment(ms: int) -> datetime:
    return at(ms - CREATED * 1000)

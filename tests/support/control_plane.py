"""The one fake control plane: the real API handler on in-memory fakes, behind real HTTP, with faults on order.

Nothing runs by itself: a test says what has happened, with `add_project`, `add_invocation`, `change` and `write`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from typing import Any
from urllib.parse import parse_qsl

from multinode_control_plane.api import http, rendering
from multinode_control_plane.api.dispatch import build
from multinode_control_plane.api.ports import ApiPorts
from multinode_control_plane.api.validation import version_request
from multinode_control_plane.core.keys import Key, key_of, project_key, version_key, versions_prefix
from multinode_control_plane.core.records import Invocation, LocalBundle, Project, Record, Version
from multinode_control_plane.ports import ABSENT, Delete, Put
from multinode_control_plane.services import commit, details
from multinode_protocol.messages import DeploymentInfo
from multinode_protocol.status import InvocationStatus
from tests.support.bodies import CREATED, invocation_id, version_id
from tests.support.fakes import FakeKeychain
from tests.support.faulty_server import Fault, FaultyServer, Request
from tests.support.told_records import at, definition_of, records_of
from tests.support.world import World

KEY = "mn_0123abcd_" + "k" * 43
LONGEST_WAIT_S = 2.0
"""So long a request may wait here: a client that asks again is what most tests of waiting are about."""


class FakeControlPlane(FaultyServer):
    """State first, then what tests do to it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(specs=None)
        self.world.clock.time = at(0)
        self.keychain = FakeKeychain((KEY,))
        self.deployment = DeploymentInfo(backend="local", api_version=1, multinode_version="2.0.0")
        self.ends: Callable[[str, str], tuple[InvocationStatus, str | None]] | None = None
        """(function's name, input) -> how its invocations end, as soon as they are started."""
        self.longest_wait_s = LONGEST_WAIT_S
        self.looks_at_a_deletion = 2
        self._facts: dict[str, dict[str, Any]] = {}
        """What tests told of each invocation; its records are made of that anew at each change."""
        self._asked: set[str] = set()
        """What somebody is waiting for who has been told all that happened before: ``invocation``, ``logs``."""
        self.on("DELETE", after=lambda request: self._gone_soon(request.path.rpartition("/")[2]), times=inf)
        ports = ApiPorts(self.world.context, self.keychain, self.world.logs, self, self.deployment)
        self._handler = build(ports)

    # --- what a test looks at ---

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
            rendering.invocation_info(
                details.invocation_view(self.world.context, commit.load(self.world.context, invocation.invocation_id))
            )
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
            "functions": [definition_of(each) for each in functions],
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
        """Add an invocation of the newest version; `told_records.records_of` says what `facts` there may be."""
        identifier = invocation_id(number)
        version = self.version(project)
        spec = version.function(function)
        assert spec is not None
        self._facts[identifier] = {"version": version, "spec": spec, "status": status, **facts}
        self._put(*records_of(identifier, self._facts[identifier]))
        return identifier

    def change(self, identifier: str, **facts: Any) -> None:
        """Change an invocation, as a worker or the platform would."""
        with self.changed:
            if identifier not in self._facts:
                self._facts[identifier] = self._learned(identifier)
            self._facts[identifier].update(facts)
            self._put(*records_of(identifier, self._facts[identifier]))
            self._has_changed("invocation")

    def write(self, identifier: str, message: str, attempt: int = 1, stream: str = "stdout", ms: int = 0) -> None:
        """Write a log line of an invocation's attempt, `ms` milliseconds after its creation."""
        with self.changed:
            owner = commit.load(self.world.context, identifier).record
            written = next(each for each in owner.executions if each.attempt == attempt)
            self.world.logs.write(written, message, timestamp_ms=CREATED * 1000 + ms, stream=stream)
            self._has_changed("logs")

    def _learned(self, identifier: str) -> dict[str, Any]:
        """Return the facts of an invocation that was started over the API."""
        invocation = commit.load(self.world.context, identifier).record
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

    def until_asked(self, *whats: str) -> None:
        """Wait until somebody waits for each of `whats`, having been told all that has happened so far."""
        self.until(lambda: self._asked.issuperset(whats))

    # --- what the server and the handler ask ---

    def wait(self, invocation_id: str, changed: Callable[[], bool], timeout_s: float) -> None:
        """The port Waiter."""
        what = "logs" if self._current.request.path.endswith("/logs") else "invocation"
        with self.changed:
            if changed():
                return
            self._asked.add(what)
            self.changed.notify_all()
            self.hold(changed, min(timeout_s, self.longest_wait_s))

    def go_away(self) -> None:
        super().go_away()
        self._asked.clear()

    def carry_out(self, request: Request) -> Fault:
        asked = http.Request(
            "r",
            request.method,
            request.path,
            dict(parse_qsl(request.query_text)),
            request.headers,
            request.text.encode(),
        )
        response = self._handler(asked)
        done = response.status == 200
        with self.changed:
            if done:
                self.accepted.append(request)
            if request.method != "GET":
                self._has_changed("invocation")
        if done and self.ends is not None and request.method == "POST" and request.path.endswith("/invocations"):
            started = json.loads(response.body)
            status, value = self.ends(started["function_name"], started["input"])
            if not InvocationStatus(started["status"]).finished and status is not InvocationStatus.PENDING:
                self.change(started["invocation_id"], status=status, result=value)
        return Fault(response.status, response.body, dict(response.headers))

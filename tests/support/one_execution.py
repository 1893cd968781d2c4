"""The fake control plane as one worker meets it: one execution, launched, of which nothing has been heard yet."""

import json
from functools import cached_property
from typing import Any

from multinode_control_plane.core.records import Execution, Invocation
from multinode_control_plane.core.tokens import TokenScope, sign
from multinode_control_plane.services import invocations
from multinode_control_plane.services.reactor import Reactor
from tests.support.bodies import function_info
from tests.support.control_plane import FakeControlPlane
from tests.support.faulty_server import Request


class OneExecution(FakeControlPlane):
    """What is launched when `environment` is first looked at has this `function`, `input` and `timeout_s`."""

    def __init__(self) -> None:
        super().__init__()
        self.function = "work"
        self.input = "[[],{}]"
        self.timeout_s = 60
        world = self.world
        world.reactor = Reactor(world.context, world.compute, world.event_publisher, self._token, lambda: self.url)

    def _token(self, invocation: Invocation, execution: Execution) -> str:
        key = invocation.function_key
        scope = TokenScope(
            key.project_name, key.version_id, key.function_name, invocation.invocation_id, execution.execution_id
        )
        return sign(self.keychain.secret, scope)

    @cached_property
    def environment(self) -> dict[str, str]:
        """The variables of its container."""
        spec = {"max_retries": 0, "timeout_seconds": self.timeout_s}
        self.add_project("demo", function_info(self.function, execution_spec=spec))
        version = self.version("demo")
        invocations.create(
            self.world.context, version, self.function, invocation_id=None, input_text=self.input, parent=None
        )
        self.world.react()
        (container,) = self.world.compute.containers.values()
        return dict(container.request.environment)

    def forget(self) -> None:
        """Forget this execution: when `environment` is next looked at, another one is launched."""
        self.requests.clear()
        self.accepted.clear()
        self.world.compute.containers.clear()
        self.__dict__.pop("environment", None)

    @property
    def invocation_id(self) -> str:
        return self.environment["MULTINODE_INVOCATION_ID"]

    def of(self, step: str) -> list[Request]:
        """Return the requests of a step: ``start``, ``update``, ``finish``, or ``read``."""
        return [request for request in self.requests if step_of(request) == step]

    def count(self, step: str) -> int:
        return len(self.of(step))

    @property
    def steps(self) -> list[str]:
        return [step_of(request) for request in self.requests]

    @property
    def updates(self) -> list[Any]:
        """The progress values in the order in which they were reported, decoded."""
        return [json.loads(request.body["latest_output"]) for request in self.of("update")]

    @property
    def sequences(self) -> list[int]:
        return [request.body["sequence"] for request in self.of("update")]

    @property
    def finished(self) -> Any:
        """The report of the end that was taken; None before."""
        return next((request.body for request in reversed(self.accepted) if step_of(request) == "finish"), None)

    @property
    def nonce(self) -> str | None:
        """That of the worker whose start was taken."""
        return next((request.body["worker_nonce"] for request in self.accepted if step_of(request) == "start"), None)

    def cancels(self, _request: Request | None = None) -> None:
        """Somebody cancels the invocation: from now on its worker reads why it is to stop."""
        with self.changed:
            self.world.cancel(self.invocation_id)
            self.world.react()

    def times_out(self) -> None:
        """Its time and its grace are over, and the control plane has seen that it goes on."""
        with self.changed:
            self.world.advance(self.timeout_s + 1000)
            self.world.sweep()


def step_of(request: Request) -> str:
    return "read" if request.method == "GET" else request.path.rpartition("/")[2]

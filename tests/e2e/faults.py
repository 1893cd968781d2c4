"""Faults of ECS: what `RunTask` may answer instead of starting a container."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from multinode_protocol import env_vars
from tests.e2e.front import Answer, Forward, Request

Fault = Callable[[Request, Forward], Answer]


def no_capacity(request: Request, forward: Forward) -> Answer:
    """ECS answers with success, and has started nothing."""
    reason = "Capacity is unavailable at this time. Please try again later or in a different availability zone"
    return Answer.json({"tasks": [], "failures": [{"reason": reason}]})


def answer_lost(request: Request, forward: Forward) -> Answer:
    """ECS has started a container, and the caller does not come to know."""
    forward(request)
    return Answer.error("ServerException", "the connection was lost", status=500)


class Launches:
    """Answers `RunTask`: with the faults that were set for a function, one for each request, then with the emulator."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        """Every request, in order of its arrival."""
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._lock = threading.Lock()

    def fail(self, function_name: str, *faults: Fault) -> None:
        with self._lock:
            self._faults[function_name].extend(faults)

    def of(self, invocation_id: str) -> list[dict[str, Any]]:
        """Return the requests to launch a container for an invocation."""
        return [data for data in self.requests if variables(data)[env_vars.INVOCATION_ID] == invocation_id]

    def run_task(self, request: Request, forward: Forward) -> Answer:
        with self._lock:
            self.requests.append(request.data)
            faults = self._faults[variables(request.data)[env_vars.FUNCTION_NAME]]
            fault = faults.popleft() if faults else None
        return fault(request, forward) if fault else forward(request)


def variables(data: dict[str, Any]) -> dict[str, str]:
    """Return the environment that a `RunTask` request gives to the worker."""
    (container,) = data["overrides"]["containerOverrides"]
    return {variable["name"]: variable["value"] for variable in container["environment"]}

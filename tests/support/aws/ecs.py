"""A stand-in for the part of ECS that Multinode uses, which keeps to what moto does not: client tokens above all.

It answers botocore's clients in this process. What it knows is documented by AWS: a token repeated with the same
request gives the first answer again, with another request a ConflictException that names the task; unknown tasks are
`failures`; identifiers that are none, and more than a hundred of them, are refused.
"""

import json
import re
import threading
from dataclasses import dataclass, field
from typing import Any

TASK_ID = re.compile(r"(?:arn:aws:ecs:[a-z0-9-]+:\d{12}:task/[\w-]+/)?([0-9a-f]{32})")
STARTED_BY = re.compile(r"[A-Za-z0-9_/-]{1,128}")
OPERATIONS = ("RunTask", "StopTask", "DescribeTasks", "ListTasks")
CLUSTER = "arn:aws:ecs:eu-west-1:123456789012:cluster/fake"


class Refused(Exception):
    def __init__(self, code: str, message: str, **fields: object) -> None:
        super().__init__(message)
        self.code = code
        self.fields = fields


@dataclass
class Task:
    """One task: `detail` is what DescribeTasks tells of it."""

    detail: dict[str, Any]
    desired: str = "RUNNING"


@dataclass(frozen=True)
class Answer:
    """The one thing that botocore asks of an HTTP answer."""

    status_code: int


@dataclass
class FakeEcs:
    """One cluster. `failures` are what the next launches answer instead of a task, one each."""

    tasks: dict[str, Task] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _tokens: dict[str, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)

    def serve(self, *clients: Any) -> None:
        """Answer these clients from now on."""
        for client in clients:
            for operation in OPERATIONS:
                client.meta.events.register_first(f"before-call.ecs.{operation}", self._answer)

    def _answer(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[Answer, dict[str, Any]]:
        request = json.loads(params["body"])
        with self._turn:
            self.requests.append((model.name, request))
            try:
                if request.get("cluster") != CLUSTER:
                    raise Refused("ClusterNotFoundException", "Cluster not found.")
                parsed = getattr(self, f"_{model.name}")(request)
            except Refused as refused:
                error = {"Code": refused.code, "Message": str(refused)}
                return Answer(400), {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}, **refused.fields}
            # A copy, as everything that has come over a network.
            return Answer(200), json.loads(json.dumps(parsed))

    def _RunTask(self, request: dict[str, Any]) -> dict[str, Any]:
        token = request["clientToken"]
        known = self._tokens.get(token)
        if known is not None:
            if known[0] == request:
                return known[1]
            arns = [task["taskArn"] for task in known[1]["tasks"]]
            raise Refused("ConflictException", "The token was used with other parameters", resourceIds=arns)
        if self.failures:
            answer: dict[str, Any] = {"tasks": [], "failures": [self.failures.pop(0)]}
        else:
            answer = {"tasks": [self._started(request)], "failures": []}
        self._tokens[token] = (request, answer)
        return answer

    def _started(self, request: dict[str, Any]) -> dict[str, Any]:
        arn = f"arn:aws:ecs:eu-west-1:123456789012:task/fake/{len(self.tasks) + 1:032x}"
        detail = {
            "taskArn": arn,
            "clusterArn": CLUSTER,
            "lastStatus": "RUNNING",
            "desiredStatus": "RUNNING",
            "startedBy": request["startedBy"],
            "overrides": request["overrides"],
            "memory": request["overrides"]["memory"],
            "containers": [{"name": "worker", "lastStatus": "RUNNING"}],
            "version": 3,
        }
        self.tasks[arn] = Task(detail)
        return detail

    def _StopTask(self, request: dict[str, Any]) -> dict[str, Any]:
        task = self._known(request["task"])
        if task is None:
            raise Refused("InvalidParameterException", "The referenced task was not found.")
        if task.detail["lastStatus"] != "STOPPED":
            self.end(task.detail["taskArn"], "UserInitiated", request["reason"], exit_code=143)
        return {"task": task.detail}

    def _DescribeTasks(self, request: dict[str, Any]) -> dict[str, Any]:
        if not 1 <= len(request["tasks"]) <= 100:
            raise Refused("InvalidParameterException", "Tasks must have between 1 and 100 items.")
        found = [(name, self._known(name)) for name in request["tasks"]]
        return {
            "tasks": [task.detail for _, task in found if task is not None],
            "failures": [{"arn": name, "reason": "MISSING"} for name, task in found if task is None],
        }

    def _ListTasks(self, request: dict[str, Any]) -> dict[str, Any]:
        started_by = request.get("startedBy")
        if started_by is not None and not STARTED_BY.fullmatch(started_by):
            raise Refused("InvalidParameterException", "startedBy has invalid characters")
        status = request.get("desiredStatus", "RUNNING")
        arns = [
            arn
            for arn, task in self.tasks.items()
            if task.desired == status and started_by in (None, task.detail["startedBy"])
        ]
        start = int(request.get("nextToken", "0"))
        more = {"nextToken": str(start + 100)} if len(arns) > start + 100 else {}
        return {"taskArns": arns[start : start + 100], **more}

    def _known(self, name: str) -> Task | None:
        match = TASK_ID.fullmatch(name)
        if match is None:
            raise Refused("InvalidParameterException", "taskId length should be one of [32,36]")
        return next((task for arn, task in self.tasks.items() if arn.endswith(match[1])), None)

    def end(self, arn: str, stop_code: str, reason: str, *, exit_code: int) -> None:
        """Let a task end; the caller delivers the event, or loses it."""
        task = self.tasks[arn]
        task.desired = "STOPPED"
        task.detail |= {
            "lastStatus": "STOPPED",
            "desiredStatus": "STOPPED",
            "stopCode": stop_code,
            "stoppedReason": reason,
            "containers": [{"name": "worker", "lastStatus": "STOPPED", "exitCode": exit_code}],
            "version": task.detail["version"] + 1,
        }

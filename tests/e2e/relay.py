"""ECS's task events, which the emulator does not emit: made of what `DescribeTasks` says, as AWS's own samples look.

EventBridge takes no event of a source ``aws.*`` from anybody else, so the relay does its part too: it reads each rule
of the default bus from the emulator, and calls the rule's Lambda functions with an event that its pattern matches.
"""

import json
import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tests.terraform.patterns import matches

logger = logging.getLogger(__name__)

Event = Mapping[str, Any]
Delivery = Callable[[Sequence[Event]], Sequence[Event]]
EVERY_S = 0.3


class Relay:
    """Looks at the cluster's tasks again and again; each new `version` of a task is an event, delivered once."""

    def __init__(self, client: Callable[[str], Any], cluster_arn: str) -> None:
        self._ecs, self._events, self._lambda = client("ecs"), client("events"), client("lambda")
        self._cluster = cluster_arn
        self._seen: dict[str, int] = {}
        self._due: deque[Event] = deque()
        self._delivery: Delivery = list
        self._stopping = threading.Event()
        self.delivered: list[Event] = []
        """Every event that a function was called with, in order."""
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    @contextmanager
    def delivering(self, delivery: Delivery) -> Iterator[None]:
        """Within, `delivery` says which of the new events are delivered, how often and in which order."""
        self._delivery = delivery
        try:
            yield
        finally:
            self._delivery = list

    def delivered_of(self, execution_id: str) -> list[str]:
        """Return the last statuses of an execution's task, as they were delivered."""
        return [e["detail"]["lastStatus"] for e in self.delivered if e["detail"].get("startedBy") == execution_id]

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            try:
                self._due.extend(self._delivery(self._new_events()))
                while self._due:
                    self._deliver(self._due[0])
                    self._due.popleft()
            except Exception:
                logger.exception("the relay goes on")

    def _new_events(self) -> list[Event]:
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for page in self._ecs.get_paginator("list_tasks").paginate(cluster=self._cluster, desiredStatus=status)
            for arn in page["taskArns"]
        ]
        batches = [arns[start : start + 100] for start in range(0, len(arns), 100)]
        answers = [self._ecs.describe_tasks(cluster=self._cluster, tasks=batch) for batch in batches]
        news = []
        for task in (task for answer in answers for task in answer["tasks"]):
            if task["version"] > self._seen.get(task["taskArn"], 0):
                self._seen[task["taskArn"]] = task["version"]
                news.append(event_of(task))
        return news

    def _deliver(self, event: Event) -> None:
        for rule in self._events.list_rules()["Rules"]:
            if "EventPattern" not in rule or not matches(json.loads(rule["EventPattern"]), event):
                continue
            for target in self._events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                self._lambda.invoke(FunctionName=target["Arn"], InvocationType="Event", Payload=json.dumps(event))
                self.delivered.append(event)


def event_of(task: Mapping[str, Any]) -> Event:
    """Return the event that tells of a task as `DescribeTasks` gives it."""
    arn = task["taskArn"]
    _, _, _, region, account, _ = arn.split(":", 5)
    now = datetime.now(UTC)
    detail = json.loads(json.dumps({name: value for name, value in task.items() if name != "tags"}, default=_text))
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "account": account,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [arn],
        "detail": {**detail, "updatedAt": _text(now)},
    }


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""What an invocation and an idle month cost the control plane: units counted on the real requests, prices as published.

Prices of us-east-1, on demand, November 2026, without free tiers. DynamoDB Local tells the units of each request; it
leaves out the minimum of an empty read and the two units of each condition check in a transaction: added here. The test
runner shows the figures with -s.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.wiring import aws
from tests.aws.walk import Walk, walking

pytestmark = pytest.mark.slow

INV = "inv-0192f3a5b6c07a1b8c2d3e4f50617283"

# US dollars each.
WRITE_UNIT, READ_UNIT = 0.625e-6, 0.125e-6
HTTP_CALL = 1.00e-6
LAMBDA_CALL, LAMBDA_GB_S = 0.20e-6, 13.3334e-6
EVENT, QUEUE_CALL, LOG_KB = 1.00e-6, 0.40e-6, 0.50e-6
# A warm call of a handler, of which most is waiting for DynamoDB: 50 ms at 512 MiB. Its log and the API's access log.
LAMBDA_WARM_CALL = LAMBDA_CALL + 0.5 * 0.05 * LAMBDA_GB_S
KB_LOGGED_PER_LAMBDA_CALL, KB_LOGGED_PER_HTTP_CALL = 0.5, 0.5

READS = ("GetItem", "Query", "BatchGetItem")
WRITES = ("PutItem", "DeleteItem", "TransactWriteItems")


@dataclass
class Meter:
    """Units that DynamoDB would charge, and how often it was called."""

    reads: float = 0.0
    writes: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)

    def attach(self, clients: Clients) -> None:
        events = clients.dynamodb.meta.events
        for operation in (*READS, *WRITES):
            events.register(f"provide-client-params.dynamodb.{operation}", self._ask)
            events.register(f"after-call.dynamodb.{operation}", self._note)

    def _ask(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"
        if model.name == "TransactWriteItems":
            self.writes += 2 * sum("ConditionCheck" in item for item in params["TransactItems"])

    def _note(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls[model.name] += 1
        consumed = parsed["ConsumedCapacity"]
        total = sum(part["CapacityUnits"] for part in (consumed if isinstance(consumed, list) else [consumed]))
        if model.name in READS:
            # Every read here but that of an index is strongly consistent: at least one unit, of an index half a one.
            self.reads += max(total, 0.5)
        else:
            self.writes += total


@contextmanager
def metered() -> Iterator[tuple[Walk, Meter]]:
    with walking() as walk:
        meter = Meter()
        meter.attach(walk.clients)
        yield walk, meter


def run_to_the_end(walk: Walk) -> int:
    """Let one invocation run, and return how many changes of it the stream brought."""
    brought = 0
    consume = aws.StreamConsumer.consume

    def counted(consumer: aws.StreamConsumer, event: Any) -> Any:
        nonlocal brought
        brought += sum(record["dynamodb"]["Keys"]["sort"]["S"] == "INVOCATION" for record in event["Records"])
        return consume(consumer, event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws.StreamConsumer, "consume", counted)
        walk.start(INV)
        walk.settle()
        (task,) = walk.tasks()
        walk.task_event(task["startedBy"], lastStatus="RUNNING")
        walk.run(INV)
        walk.settle()
        walk.finish(INV)
        walk.settle()
        walk.ended(task["startedBy"])
        walk.settle()
    return brought


def test_an_invocation_takes_no_more_units_than_documented() -> None:
    with metered() as (walk, meter):
        changes = run_to_the_end(walk)
        announced = len(walk.announced)
    # Create, admit, launched, started, finished, ended.
    assert changes == 6
    # PENDING, RUNNING, SUCCEEDED.
    assert announced == 3
    assert meter.writes <= 40
    assert meter.reads <= 18
    http = 4  # start by the user, start and finish by the worker, the result read by the user
    lambdas = http + changes + 2  # and two task events
    dollars = {
        "DynamoDB writes": meter.writes * WRITE_UNIT,
        "DynamoDB reads": meter.reads * READ_UNIT,
        "HTTP API": http * HTTP_CALL,
        "Lambda": lambdas * LAMBDA_WARM_CALL,
        "EventBridge": announced * EVENT,
        "SQS": 2 * 3 * QUEUE_CALL,  # two task events: sent, received, deleted
        "logs": (lambdas * KB_LOGGED_PER_LAMBDA_CALL + http * KB_LOGGED_PER_HTTP_CALL) * LOG_KB,
    }
    total = 1000 * sum(dollars.values())
    print(f"\n{meter.writes:g} write units, {meter.reads:g} read units; 1,000 invocations: ${total:.4f}, of it")
    print("\n".join(f"  {name:16} ${1000 * each:.4f}" for name, each in dollars.items()))
    assert total <= 0.055


def test_an_idle_month_costs_less_than_a_dollar() -> None:
    sweeps = 60 * 730
    with metered() as (walk, meter):
        walk.sweep()
    assert meter.writes == 0
    assert meter.reads <= 4
    # A sweep of nothing: 150 ms at 512 MiB, 0.6 KB of log. Lambda's five pollers of the queue: one call in 20 s each.
    each = meter.reads * READ_UNIT + LAMBDA_CALL + 0.5 * 0.15 * LAMBDA_GB_S + 0.6 * LOG_KB
    polls = 5 * 3 * sweeps
    total = sweeps * each + polls * QUEUE_CALL
    print(f"\n{meter.reads:g} read units per sweep; an idle month: ${total:.2f}")
    assert total <= 1.00

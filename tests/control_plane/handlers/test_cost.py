"""What an invocation and an idle month cost the control plane: units counted on the real requests, prices as published.

Prices of us-east-1, on demand, November 2026, without free tiers. DynamoDB Local tells the units of reads, single
writes and index entries; what it leaves out is added by AWS's rule: the minimum of an empty read, and in a transaction
two units for each KB of each item. Log lines are counted where they are written. The runner shows the figures with -s.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.streams import StreamConsumer
from tests.support.aws.walk import Walk, walking

pytestmark = pytest.mark.slow

INV = "inv-0192f3a5b6c07a1b8c2d3e4f50617283"

# US dollars each.
WRITE_UNIT, READ_UNIT = 0.625e-6, 0.125e-6
HTTP_CALL = 1.00e-6
LAMBDA_CALL, LAMBDA_GB_S = 0.20e-6, 13.3334e-6
EVENT, LOG_KB = 1.00e-6, 0.50e-6
# A warm call of a handler, of which most is waiting for DynamoDB: 50 ms at 512 MiB.
LAMBDA_WARM_CALL = LAMBDA_CALL + 0.5 * 0.05 * LAMBDA_GB_S
# A line of the API's access log, with its 26 bytes of overhead; what Lambda adds to a line of a handler's log.
KB_PER_HTTP_CALL, KB_AROUND_A_LINE = 0.4, 0.3

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
        params["ReturnConsumedCapacity"] = "INDEXES"
        if model.name == "TransactWriteItems":
            puts = [item["Put"]["Item"] for item in params["TransactItems"] if "Put" in item]
            self.writes += 2 * (sum(map(_kb, puts)) + len(params["TransactItems"]) - len(puts))

    def _note(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls[model.name] += 1
        consumed = parsed["ConsumedCapacity"]
        parts = consumed if isinstance(consumed, list) else [consumed]
        total = sum(part["CapacityUnits"] for part in parts)
        if model.name in READS:
            # Every read here but that of an index is strongly consistent: at least one unit, of an index half a one.
            self.reads += max(total, 0.5)
        elif model.name == "TransactWriteItems":
            indexes = [index for part in parts for index in part.get("GlobalSecondaryIndexes", {}).values()]
            self.writes += sum(index["CapacityUnits"] for index in indexes)
        else:
            self.writes += total


def _kb(item: dict[str, Any]) -> int:
    """Return the KB that AWS charges for an item of texts, bytes and short numbers, rounded up."""
    return math.ceil(sum(len(name) + len(next(iter(value.values()))) for name, value in item.items()) / 1024)


@contextmanager
def metered() -> Iterator[tuple[Walk, Meter]]:
    with walking() as walk:
        meter = Meter()
        meter.attach(walk.clients)
        yield walk, meter


def run_to_the_end(walk: Walk) -> int:
    """Let one invocation run, and return how many changes of it the stream brought."""
    brought = 0
    consume = StreamConsumer.consume

    def counted(consumer: StreamConsumer, event: Any) -> Any:
        nonlocal brought
        brought += sum(record["dynamodb"]["Keys"]["sort"]["S"] == "INVOCATION" for record in event["Records"])
        return consume(consumer, event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamConsumer, "consume", counted)
        functions = "/projects/shop/versions/latest/functions/price/invocations"
        request(walk, "POST", functions, {"input": "[[7],{}]", "invocation_id": INV})
        walk.settle()
        (task,) = walk.tasks()
        execution = f"{functions.replace('latest', 'ver-1')}/{INV}/executions/{task['startedBy']}"
        token = walk.token(task)
        request(
            walk,
            "PUT",
            f"{execution}/start",
            {"worker_nonce": "n" * 32, "worker_identifier": task["taskArn"]},
            key=token,
        )
        walk.settle()
        request(walk, "PUT", f"{execution}/finish", {"outcome": "SUCCEEDED", "final_output": "42"}, key=token)
        walk.settle()
        walk.ended(task["startedBy"])
        walk.settle()
        assert request(walk, "GET", f"/invocations/{INV}")["result"] == "42"
    return brought


def request(walk: Walk, method: str, path: str, body: object = None, **key: str) -> Any:
    status, answer = walk.call(method, path, body, **key)
    assert status == 200
    return answer


def test_an_invocation_takes_no_more_units_than_documented(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with metered() as (walk, meter):
        changes = run_to_the_end(walk)
        announced = len(walk.announced)
    # Created with its slot, launched, started, finished, ended.
    assert changes == 5
    # PENDING, RUNNING, SUCCEEDED.
    assert announced == 3
    assert meter.writes <= 22
    assert meter.reads <= 19
    http = 4  # start by the user, start and finish by the worker, the result read by the user
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("multinode")]
    lambdas = http + changes + 1  # and one task event
    dollars = {
        "DynamoDB writes": meter.writes * WRITE_UNIT,
        "DynamoDB reads": meter.reads * READ_UNIT,
        "HTTP API": http * HTTP_CALL,
        "Lambda": lambdas * LAMBDA_WARM_CALL,
        "EventBridge": announced * EVENT,
        "logs": (sum(KB_AROUND_A_LINE + len(line) / 1024 for line in lines) + http * KB_PER_HTTP_CALL) * LOG_KB,
    }
    total = 1000 * sum(dollars.values())
    print(f"\n{meter.writes:g} write units, {meter.reads:g} read units; 1,000 invocations: ${total:.4f}, of it")
    print("\n".join(f"  {name:16} ${1000 * each:.4f}" for name, each in dollars.items()))
    assert total <= 0.030


def test_waiting_for_a_slot_costs_no_more_than_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    with metered() as (walk, at_once):
        run_to_the_end(walk)
    monkeypatch.setattr("multinode_control_plane.services.invocations.admit_at_once", lambda context, new: (new, []))
    with metered() as (walk, waiting):
        assert run_to_the_end(walk) == 6  # created, and then its slot
    more = [waiting.writes - at_once.writes, waiting.reads - at_once.reads]
    total = 1000 * (more[0] * WRITE_UNIT + more[1] * READ_UNIT + LAMBDA_WARM_CALL)
    print(
        f"\nwaiting for a slot: {more[0]:g} write units, {more[1]:g} read units more; 1,000 invocations: ${total:.4f}"
    )
    assert more[0] <= 10


def test_an_idle_month_costs_less_than_ten_cents() -> None:
    sweeps = 60 * 730
    with metered() as (walk, meter):
        walk.sweep()
    assert meter.writes == 0
    assert meter.reads <= 4
    # A sweep of nothing: 150 ms at 512 MiB, 0.6 KB of log. Nothing else is called by itself.
    each = meter.reads * READ_UNIT + LAMBDA_CALL + 0.5 * 0.15 * LAMBDA_GB_S + 0.6 * LOG_KB
    total = sweeps * each
    print(f"\n{meter.reads:g} read units per sweep; an idle month: ${total:.2f}")
    assert total <= 0.10

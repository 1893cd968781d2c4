"""Records of what a test tells of an invocation in the words of the API: what the store would have by then."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from multinode_control_plane.core.records import Execution, Invocation, Output, Record, Version, WorkerDetails
from multinode_protocol.status import InvocationStatus, Outcome, WorkerStatus
from tests.support.bodies import CREATED, execution, function_info

FINISHED_MS = 2500
"""An invocation that has ended took so long."""


def at(ms: float) -> datetime:
    """Return the moment that many milliseconds after the creation of everything."""
    return datetime.fromtimestamp(CREATED, UTC) + timedelta(milliseconds=ms)


def definition_of(function: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a deploy sends of a function that a body of the API shows."""
    shown = {**function_info(str(function["function_name"])), **function}
    known = ("function_name", "resource_spec", "execution_spec", "description", "signature", "schedule")
    return {name: shown[name] for name in known if shown.get(name) is not None}


FACTS = {
    *("version", "spec", "parent", "input", "status", "status_reason", "updated_ms"),
    *("executions", "result", "error", "error_traceback"),
}


def records_of(identifier: str, facts: Mapping[str, Any]) -> Sequence[Record]:
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

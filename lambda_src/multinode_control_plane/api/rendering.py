"""Records to the bodies of the REST API: pure functions.

The fields that the first generation's clients read have the values that `api.first_generation` gives them. The added
fields (``status``, ``*_ms``, ``num_failed_launches`` …) say the same directly.
"""

from datetime import datetime

from multinode_control_plane.api import first_generation
from multinode_control_plane.api.first_generation import is_shown, last_update_s, signal_s
from multinode_control_plane.core.records import (
    Execution,
    FunctionSpec,
    Invocation,
    LocalBundle,
    Output,
    ParentRef,
    Project,
    Version,
    WorkerDetails,
)
from multinode_control_plane.core.times import optional_ms, optional_s, whole_ms, whole_s
from multinode_control_plane.services.details import ExecutionView, InvocationView
from multinode_protocol import messages
from multinode_protocol.function_options import as_json
from multinode_protocol.schedules import Schedule
from multinode_protocol.status import AbortReason, InvocationStatus, Outcome

RUNNING = "RUNNING"
TERMINATED = "TERMINATED"
READY = "READY"
CONTAINER_BACKEND = "AWS_ECS"


# --- projects and versions ------------------------------------------------------------------------------------------


def project_info(project: Project) -> messages.ProjectInfo:
    return {
        "project_name": project.project_name,
        "deletion_request_time": optional_s(project.deletion_requested_at),
        "creation_time": whole_s(project.created_at),
    }


def version_info(version: Version, *, with_backend: bool) -> messages.VersionInfo:
    """Return the version's body; `with_backend` adds where the backend finds it, which its executions need not know."""
    info: messages.VersionInfo = {
        "project_name": version.project_name,
        "version_id": version.version_id,
        "creation_time": whole_s(version.created_at),
        "functions": [_function_info(version, spec) for spec in version.functions],
    }
    if with_backend:
        info["local_bundle"] = _local_bundle(version.local_bundle)
        info["task_definition"] = version.task_definition
    return info


def version_listing(version: Version) -> messages.VersionListing:
    return {"version_id": version.version_id, "creation_time": whole_s(version.created_at)}


def _function_info(version: Version, spec: FunctionSpec) -> messages.FunctionInfo:
    prepared: messages.PreparedFunctionDetails | None = None
    if version.task_definition is not None:
        prepared = {"type": CONTAINER_BACKEND, "identifier": version.task_definition}
    return {
        "function_name": spec.function_name,
        "docker_image": spec.docker_image_override or version.default_docker_image,
        "resource_spec": as_json(spec.resource_spec),
        "execution_spec": as_json(spec.execution_spec),
        "function_status": READY,
        "prepared_function_details": prepared,
        "description": spec.description,
        "signature": None if spec.signature is None else list(spec.signature),
        "schedule": _schedule_spec(spec.schedule),
    }


def _schedule_spec(schedule: Schedule | None) -> messages.ScheduleSpec | None:
    if schedule is None:
        return None
    if schedule.every_s is not None:
        return {"every_seconds": schedule.every_s}
    return {"cron": schedule.cron, "timezone": schedule.timezone}


def _local_bundle(bundle: LocalBundle | None) -> messages.LocalBundle | None:
    if bundle is None:
        return None
    return {"code_dir": bundle.code_dir, "python": bundle.python, "env_file": bundle.env_file}


# --- invocations ----------------------------------------------------------------------------------------------------


def invocation_listing(invocation: Invocation) -> messages.InvocationListing:
    return {
        "invocation_id": invocation.invocation_id,
        "parent_invocation": _parent_ref(invocation.parent),
        "cancellation_request_time": optional_s(invocation.cancellation_requested_at),
        "invocation_status": _old_status(invocation),
        "creation_time": whole_s(invocation.created_at),
        "last_update_time": last_update_s(invocation),
        "status": invocation.status,
        "status_reason": invocation.status_reason,
        "creation_time_ms": whole_ms(invocation.created_at),
        "finish_time_ms": optional_ms(invocation.finished_at),
        "num_failed_attempts": invocation.failed_attempts,
    }


def invocation_info(view: InvocationView) -> messages.InvocationInfo:
    """Return the whole body of an invocation."""
    invocation = view.invocation
    shown = [execution for execution in invocation.executions if is_shown(invocation, execution)]
    summaries = [_summary(invocation, execution, view.outputs.get(execution.execution_id)) for execution in shown]
    error, traceback = _error(view)
    return {
        "project_name": invocation.project_name,
        "version_id": invocation.version_id,
        "function_name": invocation.function_name,
        "invocation_id": invocation.invocation_id,
        "parent_invocation": _parent_info(view.parent),
        "resource_spec": as_json(invocation.resource_spec),
        "execution_spec": {
            **as_json(invocation.execution_spec),
            "max_retries": first_generation.spent_retries(invocation),
        },
        "function_status": READY,
        "prepared_function_details": None,
        "input": view.input_text,
        "cancellation_request_time": optional_s(invocation.cancellation_requested_at),
        "invocation_status": _old_status(invocation),
        "creation_time": whole_s(invocation.created_at),
        "last_update_time": last_update_s(invocation),
        "executions": summaries,
        "status": invocation.status,
        "status_reason": invocation.status_reason,
        "terminated": invocation.terminated,
        "num_failed_attempts": invocation.failed_attempts,
        "num_failed_launches": invocation.failed_launches,
        "result": _result(view),
        "error": error,
        "error_traceback": traceback,
        "creation_time_ms": whole_ms(invocation.created_at),
        "last_update_time_ms": whole_ms(invocation.updated_at),
        "finish_time_ms": optional_ms(invocation.finished_at),
        "revision": view.revision,
    }


def _parent_ref(parent: ParentRef | None) -> messages.ParentInvocation | None:
    if parent is None:
        return None
    return {"function_name": parent.function_name, "invocation_id": parent.invocation_id}


def _parent_info(parent: Invocation | None) -> messages.ParentInvocationInfo | None:
    if parent is None:
        return None
    return {
        "function_name": parent.function_name,
        "invocation_id": parent.invocation_id,
        "cancellation_request_time": optional_s(parent.cancellation_requested_at),
        "invocation_status": _old_status(parent),
        "creation_time": whole_s(parent.created_at),
        "last_update_time": last_update_s(parent),
    }


def _old_status(invocation: Invocation) -> str:
    return TERMINATED if invocation.terminated else RUNNING


def _result(view: InvocationView) -> str | None:
    """Return the output of the execution that succeeded, or else of the newest whose code started."""
    deciding = next((e for e in reversed(view.invocation.executions) if e.started_at is not None), None)
    output = None if deciding is None else view.outputs.get(deciding.execution_id)
    return None if output is None else output.text


def _error(view: InvocationView) -> tuple[str | None, str | None]:
    """Return the error and the traceback of a final status other than SUCCEEDED; once set, they never change."""
    invocation, current = view.invocation, view.invocation.current
    match invocation.status:
        case InvocationStatus.FAILED if current is not None and current.failed:
            output = view.outputs.get(current.execution_id)
            whole = None if output is None else output.error_message
            return whole or current.error, None if output is None else output.error_traceback
        case InvocationStatus.FAILED:
            return invocation.last_failure, None
        case InvocationStatus.TIMED_OUT if not invocation.attempts:
            limit_s = invocation.execution_spec.max_queue_s
            return f"The invocation waited longer than its max_queue_time of {limit_s} s", None
        case InvocationStatus.TIMED_OUT:
            return f"The invocation ran longer than its time-out of {invocation.execution_spec.timeout_s} s", None
        case InvocationStatus.CANCELLED:
            cause = str(invocation.cancellation_cause)
            return f"The invocation was {cause if cause.startswith('cancelled') else f'cancelled: {cause}'}", None
        case _:
            return None, None


# --- executions -----------------------------------------------------------------------------------------------------


def _summary(invocation: Invocation, execution: Execution, output: Output | None) -> messages.ExecutionSummary:
    outcome = first_generation.outcome(invocation, execution)
    return {
        "execution_id": execution.execution_id,
        "worker_status": execution.worker_status,
        "worker_details": _worker(execution.worker),
        "termination_signal_time": signal_s(invocation, execution),
        "outcome": outcome,
        "output": None if output is None else output.text,
        "error_message": _error_message(invocation, execution, output, outcome),
        "creation_time": whole_s(execution.created_at),
        "last_update_time": whole_s(execution.updated_at),
        "execution_start_time": optional_s(execution.started_at),
        "execution_finish_time": optional_s(execution.finished_at),
        "attempt": execution.attempt,
        "error_type": None if output is None else output.error_type,
        "error_traceback": None if output is None else output.error_traceback,
        "creation_time_ms": whole_ms(execution.created_at),
        "execution_start_time_ms": optional_ms(execution.started_at),
        "execution_finish_time_ms": optional_ms(execution.finished_at),
    }


def _error_message(
    invocation: Invocation, execution: Execution, output: Output | None, outcome: Outcome | None
) -> str | None:
    whole = None if output is None else output.error_message
    if whole is None and outcome is Outcome.FAILED:
        return execution.error or invocation.last_failure
    return whole


def execution_info(view: ExecutionView) -> messages.ExecutionInfo:
    """Return the body that a worker reads."""
    invocation, execution = view.invocation, view.execution
    return {
        **_summary(invocation, execution, view.output),
        "project_name": invocation.project_name,
        "version_id": invocation.version_id,
        "function_name": invocation.function_name,
        "invocation_id": invocation.invocation_id,
        "input": view.input_text,
        "cancellation_request_time": optional_s(invocation.cancellation_requested_at),
        "resource_spec": as_json(invocation.resource_spec),
        "execution_spec": as_json(invocation.execution_spec),
        "function_status": READY,
        "prepared_function_details": None,
        "invocation_creation_time": whole_s(invocation.created_at),
        "stop_reason": _stop_reason(invocation, execution),
        "remaining_s": _remaining_s(invocation, execution, view.now),
    }


def _stop_reason(invocation: Invocation, execution: Execution) -> str | None:
    """Return why the worker was told to stop: CANCELLED, TIMED_OUT, or None if we did not stop it."""
    if execution.stop_reason in (AbortReason.CANCELLED, AbortReason.TIMED_OUT):
        return execution.stop_reason
    return None if invocation.cancellation_requested_at is None else AbortReason.CANCELLED


def _remaining_s(invocation: Invocation, execution: Execution, now: datetime) -> float | None:
    if execution.started_at is None:
        return None
    return max(0.0, invocation.execution_spec.timeout_s - (now - execution.started_at).total_seconds())


def _worker(worker: WorkerDetails | None) -> messages.WorkerDetails | None:
    if worker is None:
        return None
    return {"type": worker.type, "identifier": worker.identifier, "logs_identifier": worker.logs_identifier}

"""Routes of executions: a worker's reports, and the log lines that it wrote."""

import re

from multinode_control_plane.api import rendering
from multinode_control_plane.api.queries import execution_logs_query
from multinode_control_plane.api.routing import Access, Call, Route
from multinode_control_plane.api.validation import finish_report, progress, start_request
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.names import is_execution_id
from multinode_control_plane.core.records import Execution, Invocation
from multinode_control_plane.services import access, details, executions, log_reading
from multinode_protocol import messages
from multinode_protocol.error_codes import ErrorCode


def _invocation(call: Call) -> Invocation:
    """Return the invocation in the path."""
    access.require_project(call.caller, call["project_name"])
    return details.load_at(
        call.context, call["project_name"], call["version"], call["function_name"], call["invocation_id"]
    ).record


def _own_execution(call: Call) -> Invocation:
    """Return the invocation in the path, if the caller may report for the execution in the path."""
    invocation = _invocation(call)
    access.require_own_execution(call.caller, invocation, call["execution_id"])
    return invocation


def _info(call: Call, invocation: Invocation) -> messages.ExecutionInfo:
    return rendering.execution_info(details.execution_view(call.context, invocation, call["execution_id"]))


def get_execution(call: Call) -> messages.ExecutionInfo:
    return _info(call, _own_execution(call))


def put_start(call: Call) -> messages.ExecutionInfo:
    invocation, execution_id = _own_execution(call), call["execution_id"]
    request = start_request(call.request.json())
    started = executions.start(
        call.context,
        invocation.invocation_id,
        execution_id,
        worker_nonce=request.worker_nonce,
        worker_identifier=_own_container(execution_id, request.worker_identifier),
    )
    return _info(call, started)


def _own_container(execution_id: str, identifier: str | None) -> str | None:
    """Return the identifier, unless it plainly names another execution's container, which would be stopped instead."""
    if identifier is None or identifier.startswith("arn:"):
        return identifier
    return identifier if re.fullmatch(re.escape(execution_id) + r"-[0-9]{1,6}", identifier) else None


def put_update(call: Call) -> messages.ExecutionInfo:
    invocation, execution_id = _own_execution(call), call["execution_id"]
    report = progress(call.request.json())
    updated = executions.update(
        call.context, invocation.invocation_id, execution_id, text=report.text, sequence=report.sequence
    )
    return _info(call, updated)


def put_finish(call: Call) -> messages.ExecutionInfo:
    invocation, execution_id = _own_execution(call), call["execution_id"]
    report = finish_report(call.request.json())
    finished = executions.finish(call.context, invocation.invocation_id, execution_id, report)
    return _info(call, finished)


def get_logs(call: Call) -> messages.ExecutionLogs:
    query = execution_logs_query(call.request.query)
    invocation = _invocation(call)
    access.require_child(call.caller, invocation)
    lines, next_offset = log_reading.read_execution(call.ports.logs, _execution(invocation, call), query)
    return {
        "project_name": invocation.project_name,
        "version_id": invocation.version_id,
        "function_name": invocation.function_name,
        "invocation_id": invocation.invocation_id,
        "execution_id": call["execution_id"],
        "log_lines": list(lines),
        "next_offset": next_offset,
    }


def _execution(invocation: Invocation, call: Call) -> Execution:
    execution = invocation.execution(call["execution_id"]) if is_execution_id(call["execution_id"]) else None
    if execution is None:
        raise Refused(ErrorCode.EXECUTION_DOES_NOT_EXIST)
    return execution


EXECUTION = (
    "/projects/<project_name>/versions/<version>/functions/<function_name>"
    "/invocations/<invocation_id>/executions/<execution_id>"
)

ROUTES = (
    Route("GET", EXECUTION, Access.LIVING, get_execution),
    Route("PUT", f"{EXECUTION}/start", Access.REPORTING, put_start),
    Route("PUT", f"{EXECUTION}/update", Access.REPORTING, put_update),
    Route("PUT", f"{EXECUTION}/finish", Access.REPORTING, put_finish),
    Route("GET", f"{EXECUTION}/logs", Access.LIVING, get_logs),
)

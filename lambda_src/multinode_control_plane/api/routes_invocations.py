"""Routes of invocations, addressed by their function or by their id alone."""

from collections.abc import Callable
from dataclasses import replace

from multinode_control_plane.api import rendering
from multinode_control_plane.api.queries import listing_query, logs_query, wait_query
from multinode_control_plane.api.routing import Access, Call, Route
from multinode_control_plane.api.validation import invocation_request
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.names import is_invocation_id
from multinode_control_plane.core.records import FunctionKey, Invocation
from multinode_control_plane.ports import Stored
from multinode_control_plane.services import access, commit, details, invocations, log_reading, projects
from multinode_control_plane.services.listing import list_invocations
from multinode_protocol import messages
from multinode_protocol.error_codes import ErrorCode

CANCELLED_BY_REQUEST = "cancelled on request"
CANCELLED_BY_PARENT = "cancelled by its parent"

Find = Callable[[Call], Stored[Invocation]]


def _info(call: Call, stored: Stored[Invocation]) -> messages.InvocationInfo:
    return rendering.invocation_info(details.invocation_view(call.context, stored))


def post_invocation(call: Call) -> messages.InvocationInfo:
    access.require_project(call.caller, call["project_name"])
    request = invocation_request(call.request.json())
    parent = access.parent_for(call.caller, request.parent)
    version, _ = projects.load_function(call.context, call["project_name"], call["version"], call["function_name"])
    created = invocations.create(
        call.context,
        version,
        call["function_name"],
        invocation_id=request.invocation_id,
        input_text=request.input_text,
        parent=parent,
    )
    return _info(call, commit.load(call.context, created.invocation_id))


def get_invocations(call: Call) -> messages.InvocationsList:
    access.require_project(call.caller, call["project_name"])
    query = listing_query(call.request.query)
    query = replace(query, parent=access.parent_for(call.caller, query.parent))
    version, spec = projects.load_function(call.context, call["project_name"], call["version"], call["function_name"])
    key = FunctionKey(version.project_name, version.version_id, spec.function_name)
    page = list_invocations(call.context, key, query)
    return {
        "project_name": key.project_name,
        "version_id": key.version_id,
        "function_name": key.function_name,
        "invocations": [rendering.invocation_listing(invocation) for invocation in page.invocations],
        "next_offset": page.next_offset,
    }


def by_path(call: Call) -> Stored[Invocation]:
    """Return the invocation in the path, if the caller may see it."""
    access.require_project(call.caller, call["project_name"])
    stored = details.load_at(
        call.context, call["project_name"], call["version"], call["function_name"], call["invocation_id"]
    )
    access.require_child(call.caller, stored.record)
    return stored


def by_id(call: Call) -> Stored[Invocation]:
    """Return the invocation with this id, if the caller may see it."""
    if not is_invocation_id(call["invocation_id"]):
        raise Refused(ErrorCode.INVOCATION_DOES_NOT_EXIST)
    stored = commit.load(call.context, call["invocation_id"])
    access.require_child(call.caller, stored.record)
    return stored


def get_invocation(find: Find) -> Callable[[Call], messages.InvocationInfo]:
    def endpoint(call: Call) -> messages.InvocationInfo:
        wait = wait_query(call.request.query)
        return rendering.invocation_info(details.invocation_view(call.context, find(call), call.ports.waiter, wait))

    return endpoint


def cancel_invocation(find: Find) -> Callable[[Call], messages.InvocationInfo]:
    def endpoint(call: Call) -> messages.InvocationInfo:
        invocation_id = find(call).record.invocation_id
        cause = CANCELLED_BY_REQUEST if call.caller.scope is None else CANCELLED_BY_PARENT
        invocations.cancel(call.context, invocation_id, cause)
        return _info(call, commit.load(call.context, invocation_id))

    return endpoint


def get_logs(call: Call) -> messages.InvocationLogs:
    query = logs_query(call.request.query)
    query = replace(query, wait_s=min(query.wait_s, call.ports.longest_log_wait_s))
    invocation_id = by_id(call).record.invocation_id
    page = log_reading.read_invocation(call.context, call.ports.logs, call.ports.waiter, invocation_id, query)
    return {
        "invocation_id": invocation_id,
        "lines": list(page.lines),
        "next_offset": page.next_offset,
        "complete": page.complete,
    }


INVOCATIONS = "/projects/<project_name>/versions/<version>/functions/<function_name>/invocations"

ROUTES = (
    Route("POST", INVOCATIONS, Access.LIVING, post_invocation),
    Route("GET", INVOCATIONS, Access.LIVING, get_invocations),
    Route("GET", f"{INVOCATIONS}/<invocation_id>", Access.LIVING, get_invocation(by_path)),
    Route("PUT", f"{INVOCATIONS}/<invocation_id>/cancel", Access.LIVING, cancel_invocation(by_path)),
    Route("GET", "/invocations/<invocation_id>", Access.LIVING, get_invocation(by_id)),
    Route("PUT", "/invocations/<invocation_id>/cancel", Access.LIVING, cancel_invocation(by_id)),
    Route("GET", "/invocations/<invocation_id>/logs", Access.LIVING, get_logs),
)

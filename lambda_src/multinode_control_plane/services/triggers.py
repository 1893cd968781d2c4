"""Starting the invocation that an event asks for, once the event has been read."""

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.records import Invocation
from multinode_control_plane.core.triggers import TriggerRequest
from multinode_control_plane.services import invocations, projects
from multinode_control_plane.services.context import Context


class NotStarted(Exception):
    """The function that an event is for was not started. The text names it and says why."""


def start(context: Context, request: TriggerRequest) -> Invocation:
    """Return the invocation for the request's event; the same event again returns the same one.

    Raises NotStarted, StoreUnavailable.
    """
    try:
        version = projects.load_version(context, request.project_name, request.version_reference)
        return invocations.create(
            context,
            version,
            request.function_name,
            invocation_id=request.invocation_id,
            input_text=request.input_text,
            parent=None,
        )
    except Refused as refused:
        raise NotStarted(
            f"{request.project_name}/{request.function_name} (version {request.version_reference}) was not started "
            f"as {request.invocation_id}: {refused.message}"
        ) from refused

"""The REST API: one request in, one response out.

A client's mistake is answered with a 4xx, whatever it sent. A failure on our side is a 5xx with the request's id, under
which the log has the details.
"""

import logging
from collections.abc import Callable

from multinode_control_plane.api import routes_executions, routes_invocations, routes_projects
from multinode_control_plane.api.http import Request, Response, answer, failure
from multinode_control_plane.api.ports import ApiPorts
from multinode_control_plane.api.routing import Access, Call, MethodNotAllowed, Router
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.ports import StoreUnavailable
from multinode_control_plane.services import access
from multinode_control_plane.services.access import Caller
from multinode_protocol.error_codes import ErrorCode

logger = logging.getLogger(__name__)

RequestHandler = Callable[[Request], Response]

ROUTES = (*routes_projects.ROUTES, *routes_invocations.ROUTES, *routes_executions.ROUTES)


def build(ports: ApiPorts) -> RequestHandler:
    """Return the function that answers requests. It may be called from several threads at once."""
    router = Router(ROUTES)

    def handle(request: Request) -> Response:
        request_id = request.request_id
        try:
            return answer(200, _call(router, ports, request))
        except MethodNotAllowed as refused:
            return failure(refused, request_id, headers={"allow": ", ".join(refused.allowed)})
        except Refused as refused:
            return failure(refused, request_id)
        except StoreUnavailable:
            logger.warning("request %s: the store did not answer", request_id, exc_info=True)
            return failure(Refused(ErrorCode.CONTROL_PLANE_IS_BUSY), request_id)
        except Exception:
            logger.exception("request %s failed", request_id)
            detail = f"quote the request id {request_id} when you report it"
            return failure(Refused(ErrorCode.INTERNAL_ERROR, detail), request_id)

    return handle


def _call(router: Router, ports: ApiPorts, request: Request) -> dict[str, object]:
    match = router.match(request)
    caller = Caller()
    if match.route.access is not Access.ANYONE:
        caller = _admit(ports, match.route.access, request.headers.get("authorization"))
    body = match.route.endpoint(Call(ports, request, match.parameters, caller))
    return dict(body)


def _admit(ports: ApiPorts, needed: Access, authorization: str | None) -> Caller:
    """Return the caller, if it may call such a route. Raises Refused(API_KEY_IS_INVALID)."""
    caller = access.identify(ports.keychain, authorization)
    if needed is Access.KEY:
        access.require_key(caller)
    if needed is Access.LIVING:
        access.require_living_execution(ports.context, caller)
    return caller

"""② The REST API: one event of API Gateway (HTTP API, payload format 2.0) in, one answer out.

On AWS `handler` is the Lambda function's entry; the local server calls what `build` returns, in as many threads as it
likes. Whatever a client sends is answered with a 4xx; what goes wrong on our side is a 5xx with the request's id, under
which the log has the rest.
"""

import functools
import logging
import os
from collections.abc import Callable

from multinode_control_plane.api import routes_executions, routes_invocations, routes_projects
from multinode_control_plane.api.http import Event, answer, failure, read_request, request_id_of
from multinode_control_plane.api.ports import ApiPorts
from multinode_control_plane.api.routing import DEFAULT_STAGE, Access, Call, MethodNotAllowed, Router
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.ports import StoreUnavailable
from multinode_control_plane.services import access
from multinode_control_plane.services.access import Caller
from multinode_protocol.error_codes import ErrorCode

logger = logging.getLogger(__name__)

ROUTES = (*routes_projects.ROUTES, *routes_invocations.ROUTES, *routes_executions.ROUTES)


def build(ports: ApiPorts) -> Callable[[Event, object], Event]:
    """Return the handler of API events. It may be called from several threads at once."""
    router = Router(ROUTES)

    def handle(event: Event, lambda_context: object) -> Event:
        request_id = request_id_of(event, lambda_context)
        try:
            return answer(200, _call(router, ports, event))
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


def _call(router: Router, ports: ApiPorts, event: Event) -> dict[str, object]:
    request = read_request(event)
    match = router.match(request, _stage(event))
    caller = Caller()
    if match.route.access is not Access.ANYONE:
        caller = _admit(ports, match.route.access, request.headers.get("authorization"))
    body = match.route.endpoint(Call(ports, request, match.parameters, caller))
    return dict(body)


def _admit(ports: ApiPorts, needed: Access, authorization: str | None) -> Caller:
    """Return who calls, if they may call such a route. Raises Refused(API_KEY_IS_INVALID)."""
    caller = access.identify(ports.keychain, authorization)
    if needed is Access.KEY:
        access.require_key(caller)
    if needed is Access.LIVING:
        access.require_living_execution(ports.context, caller)
    return caller


def _stage(event: Event) -> str:
    context = event.get("requestContext")
    return str(context.get("stage", DEFAULT_STAGE)) if isinstance(context, dict) else DEFAULT_STAGE


def handler(event: Event, lambda_context: object) -> Event:
    """The Lambda function's entry."""
    return _on_aws()(event, lambda_context)


@functools.cache
def _on_aws() -> Callable[[Event, object], Event]:
    """Return the handler over AWS's adapters, which the local server neither needs nor has the dependencies of."""
    from multinode_control_plane.wiring import aws

    return build(aws.api_ports())


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # While a Lambda function starts it has a whole processor, at its first event perhaps a third of one.
    _on_aws()

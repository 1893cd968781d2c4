"""The Lambda function behind API Gateway: answers its events (HTTP API, payload format 2.0) as REST requests.

Source: "Working with AWS Lambda proxy integrations for HTTP APIs" in the API Gateway developer guide.
"""

import base64
from collections.abc import Mapping
from typing import cast

from multinode_control_plane.api.dispatch import RequestHandler, build
from multinode_control_plane.api.http import Request, failure
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.wiring import aws
from multinode_control_plane.wiring.start_up import at_start
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.limits import MAX_BODY_BYTES

Event = dict[str, object]

DEFAULT_STAGE = "$default"
"""The stage that is not part of the path."""
UNKNOWN = "unknown"

_api = at_start(lambda: build(aws.api_ports()))


def handler(event: Event, lambda_context: object) -> Event:
    """The Lambda function's entry point."""
    return answer_event(_api(), event, lambda_context)


def answer_event(handle: RequestHandler, event: Event, lambda_context: object) -> Event:
    """Return the answer in API Gateway's format."""
    given = _object(event, "requestContext").get("requestId") or getattr(lambda_context, "aws_request_id", None)
    request_id = str(given or UNKNOWN)
    try:
        request = _request(event, request_id)
    except Refused as refused:
        response = failure(refused, request_id)
    else:
        response = handle(request)
    return {
        "statusCode": response.status,
        "headers": dict(response.headers),
        "body": response.body.decode(),
        "isBase64Encoded": False,
    }


def _request(event: Event, request_id: str) -> Request:
    """Return the request in an event. Raises Refused: REQUEST_IS_TOO_LARGE, REQUEST_IS_MALFORMED."""
    context = _object(event, "requestContext")
    stage = str(context.get("stage", DEFAULT_STAGE))
    path = str(event.get("rawPath", ""))
    return Request(
        request_id=request_id,
        method=str(_object(context, "http").get("method", "")).upper(),
        path=path if stage == DEFAULT_STAGE else path.removeprefix(f"/{stage}"),
        query={name: str(value) for name, value in _object(event, "queryStringParameters").items()},
        headers={name.lower(): str(value) for name, value in _object(event, "headers").items()},
        body=_body(event),
    )


def _body(event: Event) -> bytes:
    text = event.get("body")
    if not isinstance(text, str):
        return b""
    if not event.get("isBase64Encoded"):
        # A character takes at least one byte: no need to encode what is too long anyway.
        _check_size(len(text))
        body = text.encode("utf-8", "surrogatepass")
    else:
        _check_size(len(text) // 4 * 3 - 2)
        try:
            body = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise Refused(ErrorCode.REQUEST_IS_MALFORMED, "the body is not base64 as announced") from error
    _check_size(len(body))
    return body


def _check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise Refused(ErrorCode.REQUEST_IS_TOO_LARGE, f"a body may have at most {MAX_BODY_BYTES} bytes")


def _object(data: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = data.get(name)
    return cast(Mapping[str, object], value) if isinstance(value, dict) else {}

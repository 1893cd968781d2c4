"""② API Gateway events (HTTP API, payload format 2.0) to requests, and bodies to answers."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from multinode_control_plane.api.json_text import JsonObject, read_object
from multinode_control_plane.core.errors import Refused
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.limits import MAX_BODY_BYTES

Event = dict[str, object]

BUSY_RETRY_AFTER_S = "1"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `query` is percent-decoded, `path` may be; names of `headers` are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> JsonObject:
        """Return the body's JSON object, {} for none. Raises Refused as `core.json_text.read_object`."""
        encoding = self.headers.get("content-encoding", "identity")
        if self.body and encoding.lower() != "identity":
            raise Refused(ErrorCode.REQUEST_IS_MALFORMED, "a Content-Encoding is not supported; send plain JSON")
        return read_object(self.body)


def read_request(event: Event) -> Request:
    """Return the request in an event. Raises Refused: REQUEST_IS_TOO_LARGE, REQUEST_IS_MALFORMED."""
    http = _object(_object(event, "requestContext"), "http")
    return Request(
        method=str(http.get("method", "")).upper(),
        path=str(event.get("rawPath", "")),
        query={name: str(value) for name, value in _object(event, "queryStringParameters").items()},
        headers={name.lower(): str(value) for name, value in _object(event, "headers").items()},
        body=_body(event),
    )


def request_id_of(event: Event, lambda_context: object) -> str:
    """Return the id under which logs and answers name a request."""
    given = _object(event, "requestContext").get("requestId") or getattr(lambda_context, "aws_request_id", None)
    return str(given or UNKNOWN)


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


def answer(status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Event:
    """Return the event that answers with a JSON body."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", "cache-control": "no-store", **(headers or {})},
        "body": text.encode("utf-8", "replace").decode(),
        "isBase64Encoded": False,
    }


def failure(refused: Refused, request_id: str, *, headers: Mapping[str, str] | None = None) -> Event:
    """Return the event that answers with an error; a fault of ours carries the request's id."""
    body = {"detail": refused.message, "code": str(refused.code)}
    if refused.status >= 500:
        body["request_id"] = request_id
    retry = {"retry-after": BUSY_RETRY_AFTER_S} if refused.code is ErrorCode.CONTROL_PLANE_IS_BUSY else {}
    return answer(refused.status, body, {**retry, **(headers or {})})

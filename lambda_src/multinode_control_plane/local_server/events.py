"""② HTTP as API Gateway tells it to a Lambda, payload format 2.0, so that one handler serves both.

Source: "Working with AWS Lambda proxy integrations for HTTP APIs" in the API Gateway developer guide.
"""

import base64
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from multinode_control_plane.core.errors import Refused
from multinode_protocol.messages import ErrorBody


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as it came: names of headers in lower case, `path` and `query` still percent-encoded."""

    method: str
    path: str
    query: str
    headers: Iterable[tuple[str, str]]
    body: bytes
    source: str


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def event_of(request: HttpRequest, request_id: str) -> dict[str, object]:
    """Return the event that API Gateway would make of the request."""
    headers = _joined(request.headers)
    now = time.time()
    body, is_base64 = _text(request.body)
    event: dict[str, object] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": headers.get("host", ""),
            "domainPrefix": "",
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.source,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": is_base64,
    }
    parameters = _joined(parse_qsl(request.query, keep_blank_values=True, errors="replace"))
    if parameters:
        event["queryStringParameters"] = parameters
    if request.body:
        event["body"] = body
    return event


def response_of(result: Mapping[str, object], request_id: str) -> HttpResponse:
    """Return the response that API Gateway would send for a handler's result of format 2.0."""
    body = result.get("body") or ""
    payload = base64.b64decode(str(body)) if result.get("isBase64Encoded") else str(body).encode()
    headers = result.get("headers")
    named = dict(headers) if isinstance(headers, Mapping) else {}
    cookies = result.get("cookies")
    lines = [(str(name).lower(), str(value)) for name, value in named.items()]
    lines += [("set-cookie", str(cookie)) for cookie in (cookies if isinstance(cookies, list) else [])]
    return HttpResponse(int(str(result["statusCode"])), (*lines, ("x-request-id", request_id)), payload)


def refusal(refused: Refused, request_id: str) -> HttpResponse:
    """Return the answer to a request that does not get as far as the handler."""
    body = ErrorBody(detail=refused.message, code=refused.code.value)
    if refused.status >= 500:
        body["request_id"] = request_id
    headers = (("content-type", "application/json"), ("x-request-id", request_id))
    return HttpResponse(refused.status, headers, json.dumps(body).encode())


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the pairs as a mapping; the values of a name that comes more than once are joined by commas."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _text(body: bytes) -> tuple[str, bool]:
    """Return the body as text, and whether it had to be encoded as base64 for that."""
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True

"""Requests and answers of the REST API, as values that do not depend on the server."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from multinode_control_plane.api.json_text import JsonObject, read_object
from multinode_control_plane.core.errors import Refused
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.messages import ErrorBody

BUSY_RETRY_AFTER_S = "1"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `request_id` identifies it in logs and answers.

    `query` is percent-decoded, and `path` may be. Names of `headers` are in lower case. The values of a name that
    occurs more than once are joined by commas.
    """

    request_id: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> JsonObject:
        """Return the body's JSON object, {} for an empty body. Raises Refused like `json_text.read_object`."""
        encoding = self.headers.get("content-encoding", "identity")
        if self.body and encoding.lower() != "identity":
            raise Refused(ErrorCode.REQUEST_IS_MALFORMED, "a Content-Encoding is not supported; send plain JSON")
        return read_object(self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. The names of its headers are in lower case; its body is JSON in UTF-8."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the pairs as a mapping; the values of a name that occurs more than once are joined by commas."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {name: ",".join(given) for name, given in values.items()}


def answer(status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer with a JSON body."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(
        status,
        {"content-type": "application/json", "cache-control": "no-store", **(headers or {})},
        text.encode("utf-8", "replace"),
    )


def failure(refused: Refused, request_id: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer for an error; for a failure on our side it has the request's id."""
    body = ErrorBody(detail=refused.message, code=str(refused.code))
    if refused.status >= 500:
        body["request_id"] = request_id
    retry = {"retry-after": BUSY_RETRY_AFTER_S} if refused.code is ErrorCode.CONTROL_PLANE_IS_BUSY else {}
    return answer(refused.status, body, {**retry, **(headers or {})})

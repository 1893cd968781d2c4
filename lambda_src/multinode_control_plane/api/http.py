"""A request of the REST API and its answer: values that know nothing of the server that they came through."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from multinode_control_plane.api.json_text import JsonObject, read_object
from multinode_control_plane.core.errors import Refused
from multinode_protocol.error_codes import ErrorCode

BUSY_RETRY_AFTER_S = "1"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `request_id` is what logs and answers call it.

    `query` is percent-decoded, `path` may be; names of `headers` are in lower case. The values of a name that came more
    than once are joined by commas.
    """

    request_id: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> JsonObject:
        """Return the body's JSON object, {} for none. Raises Refused as `json_text.read_object`."""
        encoding = self.headers.get("content-encoding", "identity")
        if self.body and encoding.lower() != "identity":
            raise Refused(ErrorCode.REQUEST_IS_MALFORMED, "a Content-Encoding is not supported; send plain JSON")
        return read_object(self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer: its headers' names are in lower case, its body is JSON in UTF-8."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the pairs as a mapping; the values of a name that comes more than once are joined by commas."""
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
    """Return the answer that tells of an error; a fault of ours carries the request's id."""
    body = {"detail": refused.message, "code": str(refused.code)}
    if refused.status >= 500:
        body["request_id"] = request_id
    retry = {"retry-after": BUSY_RETRY_AFTER_S} if refused.code is ErrorCode.CONTROL_PLANE_IS_BUSY else {}
    return answer(refused.status, body, {**retry, **(headers or {})})

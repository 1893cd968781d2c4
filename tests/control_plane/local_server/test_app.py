"""The ASGI application with a stand-in for the handler: what reaches it, and who waits for whom."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from multinode_control_plane.api.dispatch import RequestHandler
from multinode_control_plane.api.http import Request, Response
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.local_server.app import DRAIN_BYTES, LocalApp
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.limits import MAX_BODY_BYTES


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: LocalApp,
    method: str = "GET",
    target: str = "/",
    headers: Sequence[tuple[str, str]] = (("host", "127.0.0.1:8484"),),
    body: Sequence[bytes] = (b"",),
    *,
    cut_off: bool = False,
) -> Answer:
    """Send one request, its body in the given pieces; with `cut_off` the client goes away in the middle."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 50000),
    }
    pieces: list[dict[str, object]] = [
        {"type": "http.request", "body": piece, "more_body": cut_off or index < len(body) - 1}
        for index, piece in enumerate(body)
    ]
    if cut_off:
        pieces.append({"type": "http.disconnect"})
    answer = Answer()

    async def receive() -> dict[str, object]:
        return pieces.pop(0)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message["body"]

    await app(scope, receive, send)
    return answer


def once(handle: RequestHandler, **request: Any) -> Answer:
    app = LocalApp(handle)
    try:
        return asyncio.run(ask(app, **request))
    finally:
        app.close()


def empty(request: Request) -> Response:
    return Response(200, {}, b"")


def never(request: Request) -> Response:
    raise AssertionError("the handler was not to be called")


def received(**request: Any) -> Request:
    """Return the request that the handler is given."""
    given: list[Request] = []

    def handle(request: Request) -> Response:
        given.append(request)
        return Response(200, {}, b"")

    assert once(handle, **request).status == 200
    return given[0]


def test_a_request_is_handed_on_with_names_in_lower_case_and_its_query_decoded() -> None:
    request = received(
        method="post",
        target="/projects/a%2Fb?x=1&x=2&y=%20z+&empty=&wait%5fs=1&bad=%ff",
        headers=[("Host", "localhost"), ("X-Twice", "a"), ("x-twice", "b"), ("User-Agent", "test")],
        body=[b'{"a":', b"1}"],
    )
    assert (request.method, request.path) == ("POST", "/projects/a%2Fb")
    assert request.query == {"x": "1,2", "y": " z ", "empty": "", "wait_s": "1", "bad": "\ufffd"}
    assert request.headers == {"host": "localhost", "x-twice": "a,b", "user-agent": "test"}
    assert request.json() == {"a": 1}


def test_a_body_that_is_no_text_is_handed_on_as_it_is() -> None:
    assert received(method="POST", body=[b"\xff\x00"]).body == b"\xff\x00"


def test_a_request_without_headers_is_handed_on() -> None:
    assert received(headers=[]).headers == {}


def test_an_answer_has_the_requests_id_and_the_handlers_status_headers_and_body() -> None:
    seen: list[str] = []

    def handle(request: Request) -> Response:
        seen.append(request.request_id)
        return Response(201, {"content-type": "text/plain"}, b"\xff")

    answer = once(handle)
    assert (answer.status, answer.body) == (201, b"\xff")
    assert answer.headers == {"content-type": "text/plain", "x-request-id": seen[0], "content-length": "1"}


def test_the_answer_to_head_has_no_body_but_its_length() -> None:
    answer = once(lambda request: Response(200, {}, b"12345"), method="HEAD")
    assert (answer.body, answer.headers["content-length"]) == (b"", "5")


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 10_000_000, DRAIN_BYTES + 10])
def test_a_body_that_is_too_large_is_read_to_its_end_or_enough_of_it_and_refused(size: int) -> None:
    piece = b"x" * 65_536
    answer = once(never, method="POST", body=[piece] * (size // len(piece)) + [b"x" * (size % len(piece))])
    assert (answer.status, answer.json["code"], answer.headers["connection"]) == (413, "RequestIsTooLarge", "close")


def test_the_largest_body_is_passed_on() -> None:
    assert len(received(method="POST", body=[b"x" * (MAX_BODY_BYTES - 1), b"x"]).body) == MAX_BODY_BYTES


def test_a_client_that_goes_away_in_the_middle_of_its_body_reaches_no_handler() -> None:
    assert once(never, method="POST", body=[b"x"], cut_off=True).status == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8484", "localhost", "LOCALHOST:1", "[::1]", "[::1]:8484"])
def test_names_of_this_machine_are_let_in(host: str) -> None:
    assert once(empty, headers=[("host", host)]).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8484",
        "127.0.0.1.evil.example",
        "localhost.",
        "127.0.0.1:x",
        "",
        ":8484",
        "[::2]:1",
    ],
)
def test_a_web_page_that_points_a_name_of_its_own_here_is_refused(host: str) -> None:
    answer = once(never, headers=[("host", host)])
    assert (answer.status, answer.json["code"]) == (400, "RequestIsMalformed")


def test_a_fault_of_the_handler_is_a_500_with_the_requests_id_and_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    def handle(request: Request) -> Response:
        raise RuntimeError("secret detail")

    answer = once(handle)
    assert (answer.status, answer.json["code"]) == (500, "InternalError")
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert b"secret" not in answer.body
    assert any(answer.json["request_id"] in message for message in caplog.messages)


def test_a_refusal_of_ours_and_one_of_the_handlers_look_the_same() -> None:
    ours = once(never, headers=[("host", "evil.example")]).json
    assert set(ours) == {"detail", "code"}
    assert ours["detail"].startswith(Refused(ErrorCode.REQUEST_IS_MALFORMED).message)


class Hall:
    """A handler whose waiting requests stay until they are let go; it counts those inside."""

    def __init__(self) -> None:
        self.inside = 0
        self.lock = threading.Lock()
        self.open = threading.Event()

    def handle(self, request: Request) -> Response:
        if "wait_s" in request.query:
            with self.lock:
                self.inside += 1
            assert self.open.wait(300)
        return Response(200, {}, json.dumps(request.query).encode())


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(30_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about within five minutes")


def run(app: LocalApp, scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    try:
        asyncio.run(main())
    finally:
        app.close()


@pytest.mark.parametrize("query", ["wait_s=20", "wait%5fs=20", "%77ait%5Fs=20", "a+b=c&wait_s=1&wait_s=20"])
def test_two_hundred_waiting_requests_do_not_keep_another_from_being_answered(query: str) -> None:
    hall = Hall()
    app = LocalApp(hall.handle, quick_threads=1)

    async def scenario() -> None:
        waiting = [asyncio.create_task(ask(app, target=f"/{number}?{query}")) for number in range(200)]
        await until(lambda: hall.inside == 200)
        assert (await ask(app, target="/quick")).status == 200
        hall.open.set()
        assert {answer.status for answer in await asyncio.gather(*waiting)} == {200}

    run(app, scenario)


def test_without_a_free_thread_a_waiting_request_is_answered_after_a_pause() -> None:
    hall = Hall()
    app = LocalApp(hall.handle, waiting_threads=1, crowded_pause_s=0.01)

    async def scenario() -> None:
        first = asyncio.create_task(ask(app, target="/?wait_s=20"))
        await until(lambda: hall.inside == 1)
        second = await ask(app, target="/?since=a%20b&wait%5Fs=20")
        assert second.json == {"since": "a b"}
        hall.open.set()
        assert (await first).json == {"wait_s": "20"}
        assert (await ask(app, target="/?wait_s=20")).json == {"wait_s": "20"}

    run(app, scenario)

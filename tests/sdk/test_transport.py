"""Requests over real HTTP: retries, time-outs, refusals, and what is no control plane at all."""

import os
import socket
import threading
from email.utils import formatdate
from typing import Any

import pytest

from multinode.config import Connection
from multinode.errors import (
    ApiError,
    ApiKeyIsInvalid,
    ControlPlaneIsBusy,
    ControlPlaneUnreachableError,
    InternalError,
    LimitIsReached,
    MethodIsNotAllowed,
    ParameterValidationError,
    ProjectDoesNotExist,
)
from multinode.transport import Transport, _new_pool, path, shared
from multinode_protocol.error_codes import ERRORS, ErrorCode
from tests.support.bodies import version_id
from tests.support.control_plane import KEY, FakeControlPlane
from tests.support.fakes import FakeClock
from tests.support.faulty_server import Fault, cut, says

FIRST = version_id(1)
VERSION = f"/projects/shop/versions/{FIRST}"


def transport(
    plane: FakeControlPlane, clock: FakeClock | None = None, *, retry_for_s: float = 30.0, uniform: float = 0.0
) -> Transport:
    clock = clock or FakeClock()
    return Transport(
        Connection(plane.url, KEY, "environment"),
        retry_for_s=retry_for_s,
        sleep=clock.sleep,
        monotonic=clock.monotonic,
        uniform=lambda: uniform,
    )


def busy(**headers: str) -> Fault:
    return says(503, {"detail": "The control plane is busy", "code": "ControlPlaneIsBusy"}, **headers)


def test_the_answer_is_the_json_object_of_the_body(plane: FakeControlPlane) -> None:
    assert transport(plane).request("GET", VERSION)["version_id"] == FIRST


def test_the_key_goes_into_the_authorization_header(plane: FakeControlPlane) -> None:
    transport(plane).request("GET", VERSION)
    assert plane.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_body_is_sent_as_json_in_utf_8(plane: FakeControlPlane) -> None:
    plane.faults.append(says(200, {}))
    transport(plane).request("POST", "/x", body={"text": "żółć \U0001f600", "none": None})
    assert plane.requests[0].body == {"text": "żółć \U0001f600", "none": None}
    assert plane.requests[0].headers["content-type"] == "application/json"


def test_a_lone_surrogate_in_a_body_becomes_a_question_mark(plane: FakeControlPlane) -> None:
    plane.faults.append(says(200, {}))
    transport(plane).request("PUT", "/x", body={"error": "file \udcff"})
    assert plane.requests[0].body == {"error": "file ?"}


def test_a_query_is_quoted(plane: FakeControlPlane) -> None:
    plane.faults.append(says(200, {}))
    transport(plane).request("GET", "/x", query={"initial_offset": "a&b=c/ü", "max_results": 5})
    assert plane.requests[0].query == {"initial_offset": "a&b=c/ü", "max_results": "5"}


def test_wait_s_is_sent_in_whole_seconds_rounded_up(plane: FakeControlPlane) -> None:
    plane.faults.append(says(200, {}))
    transport(plane).request("GET", "/x", query={"since": "r1"}, wait_s=1.2)
    assert plane.requests[0].query == {"since": "r1", "wait_s": "2"}


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_trouble_is_tried_again(plane: FakeControlPlane, status: int) -> None:
    plane.faults.extend([says(status, {"detail": "later"})] * 3)
    assert transport(plane).request("GET", VERSION)["version_id"] == FIRST
    assert len(plane.requests) == 4


def test_a_connection_that_is_cut_is_tried_again(plane: FakeControlPlane) -> None:
    plane.faults.extend([cut(), cut()])
    assert transport(plane).request("GET", VERSION)["version_id"] == FIRST
    assert len(plane.requests) == 3


def test_pauses_double_and_keep_a_random_half_back(plane: FakeControlPlane) -> None:
    plane.faults.extend([busy()] * 8)
    shortest, longest = FakeClock(), FakeClock()
    transport(plane, shortest, uniform=0.0).request("GET", VERSION)
    plane.faults.extend([busy()] * 8)
    transport(plane, longest, uniform=1.0).request("GET", VERSION)
    # 0.1 * 2**n, at most 5; drawn between a half of it and the whole.
    assert longest.slept == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])
    assert shortest.slept == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.5, 2.5])


def test_retry_after_in_seconds_makes_a_pause_longer(plane: FakeControlPlane) -> None:
    clock = FakeClock()
    plane.faults.extend([busy(Retry_After="7"), busy(Retry_After="0")])
    transport(plane, clock, uniform=1.0).request("GET", VERSION)
    assert clock.slept == pytest.approx([7.0, 0.2])


def test_retry_after_as_a_date_that_has_passed_adds_nothing(plane: FakeControlPlane) -> None:
    clock = FakeClock()
    plane.faults.append(busy(Retry_After=formatdate(0, usegmt=True)))
    transport(plane, clock, uniform=1.0).request("GET", VERSION)
    assert clock.slept == pytest.approx([0.1])


@pytest.mark.parametrize("nonsense", ["soon", "-5", "1e3", "²", "Mon, 99 Foo 2020"])
def test_retry_after_that_means_nothing_is_ignored(plane: FakeControlPlane, nonsense: str) -> None:
    clock = FakeClock()
    plane.faults.append(says(503, {}, Retry_After=nonsense.encode("utf-8").decode("latin-1")))
    transport(plane, clock, uniform=1.0).request("GET", VERSION)
    assert clock.slept == pytest.approx([0.1])


def test_retry_after_beyond_the_patience_ends_the_request_at_once(plane: FakeControlPlane) -> None:
    clock = FakeClock()
    plane.faults.append(busy(Retry_After="31"))
    with pytest.raises(ControlPlaneIsBusy):
        transport(plane, clock).request("GET", VERSION)
    assert clock.slept == []


def test_the_last_trouble_is_raised_when_the_patience_is_over(plane: FakeControlPlane) -> None:
    clock = FakeClock()
    plane.faults.extend([cut(), *[says(500, {"detail": "boom", "code": "InternalError", "request_id": "r-9"})] * 99])
    with pytest.raises(InternalError, match=r"boom.*HTTP 500.*request r-9") as caught:
        transport(plane, clock, retry_for_s=2.0, uniform=1.0).request("GET", VERSION)
    # 0.1 + 0.2 + 0.4 + 0.8 = 1.5, then the 0.5 that is left, then a last attempt.
    assert clock.slept == pytest.approx([0.1, 0.2, 0.4, 0.8, 0.5])
    assert len(plane.requests) == 6
    assert caught.value.request_id == "r-9"


def test_retry_for_s_of_a_request_replaces_the_transports_own(plane: FakeControlPlane) -> None:
    plane.faults.extend([busy(), busy()])
    with pytest.raises(ControlPlaneIsBusy):
        transport(plane).request("GET", VERSION, retry_for_s=0)
    assert len(plane.requests) == 1


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_refusal_raises_the_exception_of_its_code(plane: FakeControlPlane, code: ErrorCode) -> None:
    failure = ERRORS[code]
    plane.faults.append(says(failure.status, {"detail": failure.message, "code": code}))
    with pytest.raises(ApiError) as caught:
        transport(plane, retry_for_s=0).request("GET", "/projects/p")
    assert type(caught.value).__name__ == code
    assert (caught.value.code, caught.value.status) == (code, failure.status)
    assert caught.value.detail == failure.message


def test_a_refusal_of_the_first_generation_is_known_by_its_message(plane: FakeControlPlane) -> None:
    plane.faults.append(says(404, {"detail": "A project with this name does not exist"}))
    with pytest.raises(ProjectDoesNotExist):
        transport(plane).request("GET", "/projects/p")


def test_a_refusal_of_an_unknown_code_is_an_api_error_with_what_was_said(plane: FakeControlPlane) -> None:
    plane.faults.append(says(418, {"detail": "I am a teapot", "code": "TeapotIsHot"}))
    with pytest.raises(ApiError) as caught:
        transport(plane).request("GET", "/tea")
    assert (type(caught.value), caught.value.code, caught.value.status) == (ApiError, None, 418)
    assert str(caught.value) == "I am a teapot [HTTP 418, GET /tea]"


def test_a_gateways_own_refusal_is_an_api_error_with_its_message(plane: FakeControlPlane) -> None:
    plane.faults.append(says(403, {"message": "Forbidden"}))
    with pytest.raises(ApiError, match=r"Forbidden \[HTTP 403"):
        transport(plane).request("GET", "/x")


def test_a_refusal_is_not_tried_again(plane: FakeControlPlane) -> None:
    with pytest.raises(ProjectDoesNotExist):
        transport(plane).request("GET", "/projects/nope/versions/latest")
    assert len(plane.requests) == 1


def test_a_limit_of_the_deployment_is_not_tried_again(plane: FakeControlPlane) -> None:
    plane.faults.append(says(429, {"detail": "A limit is reached: 20 deep", "code": "LimitIsReached"}))
    with pytest.raises(LimitIsReached, match="20 deep"):
        transport(plane, retry_for_s=1).request("GET", VERSION)
    assert len(plane.requests) == 1


def test_a_wrong_key_says_how_to_log_in_and_does_not_show_the_key(plane: FakeControlPlane) -> None:
    wrong = Transport(Connection(plane.url, "mn_wrong_key", "environment"))
    with pytest.raises(ApiKeyIsInvalid, match="multinode login") as caught:
        wrong.request("GET", VERSION)
    assert "mn_wrong_key" not in str(caught.value)


def test_a_redirect_is_not_followed_with_the_key(plane: FakeControlPlane) -> None:
    plane.faults.append(says(307, {}, Location="http://127.0.0.1:1/elsewhere"))
    with pytest.raises(ControlPlaneUnreachableError, match=r"redirects to 'http://127.0.0.1:1/elsewhere'"):
        transport(plane).request("GET", VERSION)
    assert len(plane.requests) == 1


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000])
def test_an_answer_that_is_no_json_object_is_no_control_plane(plane: FakeControlPlane, body: bytes) -> None:
    plane.faults.append(says(200, body))
    with pytest.raises(ControlPlaneUnreachableError, match="not a Multinode control plane"):
        transport(plane).request("GET", VERSION)


def test_a_refusal_that_is_no_json_object_is_no_control_plane(plane: FakeControlPlane) -> None:
    plane.faults.append(says(404, b"<h1>nginx</h1>"))
    with pytest.raises(ControlPlaneUnreachableError, match="HTTP 404 without a JSON object"):
        transport(plane).request("GET", VERSION)


def test_a_gateway_page_of_a_passing_trouble_is_tried_again(plane: FakeControlPlane) -> None:
    plane.faults.append(says(502, b"<h1>Bad Gateway</h1>"))
    assert transport(plane).request("GET", VERSION)["version_id"] == FIRST


def test_nobody_at_the_address_says_so_with_the_url_and_where_it_came_from() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        clock = FakeClock()
        nobody = Transport(Connection(url, KEY, "/home/me/profile.json"), sleep=clock.sleep, monotonic=clock.monotonic)
        with pytest.raises(ControlPlaneUnreachableError, match="Connection refused") as caught:
            nobody.request("GET", "/")
    assert url in str(caught.value)
    assert "/home/me/profile.json" in str(caught.value)
    assert "0x" not in str(caught.value)
    assert sum(clock.slept) == pytest.approx(30.0)


def test_a_server_that_never_answers_is_given_up_after_the_read_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        waiting = Transport(Connection(url, KEY, "environment"), retry_for_s=0, read_timeout_s=0.05)
        with pytest.raises(ControlPlaneUnreachableError, match=r"[Rr]ead timed out"):
            waiting.request("GET", "/")


def test_a_url_with_a_path_keeps_it(plane: FakeControlPlane) -> None:
    plane.faults.append(says(200, {}))
    Transport(Connection(f"{plane.url}/prod", KEY, "environment")).request("GET", "/projects")
    assert plane.requests[0].path == "/prod/projects"


def test_path_quotes_what_would_end_a_segment() -> None:
    assert path("projects", "a/b?c#d e%") == "/projects/a%2Fb%3Fc%23d%20e%25"


def test_path_carries_a_name_in_any_script() -> None:
    assert path("projects", "ü") == "/projects/%C3%BC"


@pytest.mark.parametrize("segment", ["", ".", ".."])
def test_path_refuses_what_would_change_the_path(segment: str) -> None:
    with pytest.raises(ParameterValidationError):
        path("projects", segment)


def test_a_quoted_segment_arrives_as_it_was_sent(plane: FakeControlPlane) -> None:
    with pytest.raises(ProjectDoesNotExist):
        transport(plane).request("GET", path("projects", "../shop", "versions", "ver-1"))
    assert plane.requests[0].path == "/projects/..%2Fshop/versions/ver-1"


def test_connections_are_kept_and_shared_by_threads(plane: FakeControlPlane) -> None:
    one = transport(plane)
    failures = []

    def read() -> None:
        try:
            for _ in range(20):
                assert one.request("GET", VERSION)["version_id"] == FIRST
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(plane.requests) == 160


def test_a_forked_child_has_connections_of_its_own(plane: FakeControlPlane) -> None:
    one = transport(plane)
    one.request("GET", VERSION)
    before = one._connections()
    child = os.fork()
    if child == 0:
        try:
            right = one.request("GET", VERSION)["version_id"] == FIRST and one._connections() is not before
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert one.request("GET", VERSION)["version_id"] == FIRST
    assert one._connections() is before


def test_one_transport_serves_all_users_of_a_connection(connection: Connection) -> None:
    assert shared(connection) is shared(Connection(connection.api_url, KEY, "environment"))


def test_a_proxy_of_the_environment_is_used_for_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://user:p%40ss@proxy.example:3128")
    monkeypatch.setenv("no_proxy", "internal.example")
    proxied: Any = _new_pool("https://api.example/prod")
    assert (proxied.proxy.host, proxied.proxy.port) == ("proxy.example", 3128)
    # base64 of user:p@ss
    assert proxied.proxy_headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"
    assert _new_pool("https://internal.example").proxy is None
    assert _new_pool("http://127.0.0.1:8000").proxy is None


def test_an_unknown_method_is_refused_by_name(plane: FakeControlPlane) -> None:
    failure = ERRORS[ErrorCode.METHOD_IS_NOT_ALLOWED]
    plane.faults.append(says(405, {"detail": failure.message, "code": "MethodIsNotAllowed"}))
    with pytest.raises(MethodIsNotAllowed, match="GET /x"):
        transport(plane).request("GET", "/x")

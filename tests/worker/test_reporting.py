"""What answers mean to the worker, and how long it goes on asking."""

from itertools import islice
from math import inf
from pathlib import Path
from typing import Any, Never

import pytest

from multinode.config import Connection
from multinode.worker.identity import Identity
from multinode.worker.progress import ProgressReporter, ProgressUpdate
from multinode.worker.reporting import ControlPlane, OwnershipLost, Rejected, Unavailable, keep_trying, pauses
from multinode_protocol.error_codes import ERRORS
from multinode_protocol.status import AbortReason
from tests.support.fakes import FakeClock
from tests.support.faulty_server import refuses, says
from tests.support.one_execution import OneExecution


@pytest.fixture
def client(control_plane: OneExecution):
    told = control_plane.environment
    fields = ("project_name", "version_id", "function_name", "invocation_id", "execution_id")
    ids: dict[str, Any] = {name: told[f"MULTINODE_{name.upper()}"] for name in fields}
    identity = Identity(**ids, code_dir=Path("/code"))
    return ControlPlane(identity, Connection(control_plane.url, told["MULTINODE_API_KEY"], "environment"))


@pytest.mark.parametrize("code", list(ERRORS))
def test_each_code_is_passing_or_the_end_or_about_the_request(
    client: ControlPlane, control_plane: OneExecution, code
) -> None:
    failure = ERRORS[code]
    control_plane.on("PUT", "/update", before=lambda _: refuses(code), times=inf)
    ownership_lost = failure.status == 409 or code.value in {
        "ApiKeyIsInvalid",
        "ProjectDoesNotExist",
        "VersionDoesNotExist",
        "FunctionDoesNotExist",
        "InvocationDoesNotExist",
        "ExecutionDoesNotExist",
    }
    passing = code.value in {"ControlPlaneIsBusy", "InternalError", "LimitIsReached"}
    with pytest.raises(
        OwnershipLost if ownership_lost else Unavailable if passing else Rejected, match=failure.message.split(" ")[0]
    ):
        client.update("1", 1)
    assert control_plane.count("update") == 1


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(403, Unavailable), (404, Unavailable), (409, Unavailable), (502, Unavailable), (400, Rejected), (413, Rejected)],
)
def test_an_answer_without_a_code_of_ours_comes_from_something_between(
    client: ControlPlane, control_plane: OneExecution, status, meaning
) -> None:
    control_plane.on("PUT", "/finish", before=lambda _: says(status, {"message": "from a proxy"}), times=inf)
    with pytest.raises(meaning):
        client.finish({"outcome": "SUCCEEDED", "final_output": "1"})
    assert control_plane.finished is None


def test_no_answer_is_away(client: ControlPlane, control_plane: OneExecution) -> None:
    control_plane.close()
    with pytest.raises(Unavailable):
        client.start("nonce", None)
    assert control_plane.nonce is None


def test_the_reason_of_a_stop_is_read_from_the_execution(client: ControlPlane, control_plane: OneExecution) -> None:
    client.start("nonce", None)
    assert client.stop_reason() is None
    control_plane.cancels()
    assert client.stop_reason() is AbortReason.CANCELLED


def test_that_its_time_is_over_is_read_from_the_execution(client: ControlPlane, control_plane: OneExecution) -> None:
    client.start("nonce", None)
    control_plane.times_out()
    assert client.stop_reason() is AbortReason.TIMED_OUT


def test_a_reason_that_this_worker_does_not_know_is_none(client: ControlPlane, control_plane: OneExecution) -> None:
    control_plane.faults.append(says(200, {"stop_reason": "SOMETHING_NEW"}))
    assert client.stop_reason() is None


def test_pauses_double_to_three_seconds_and_after_ten_minutes_to_thirty() -> None:
    waits = list(islice(pauses(lambda: 1.0), 300))
    assert waits[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0]
    late = waits.index(6.0)
    # 0.1 + 0.2 + 0.4 + 0.8 + 1.6 = 3.1; 199 pauses of three seconds more are 600.1, the first sum past ten minutes
    assert late == 5 + 199
    assert waits[late:] == [6.0, 12.0, 24.0] + [30.0] * (300 - late - 3)


def test_half_of_each_pause_is_random() -> None:
    assert list(islice(pauses(lambda: 0.0), 2)) == [0.05, 0.1]


def trying(outcomes, *, patience_s=60.0, give_up=lambda: False):
    """Return what keep_trying makes of a call with these outcomes, the last for ever, and what it said."""
    said: list[str] = []
    clock, left = FakeClock(), list(outcomes)

    def call():
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    result = keep_trying(
        call,
        patience_s=patience_s,
        monotonic=clock.monotonic,
        sleep=clock.sleep,
        say=said.append,
        give_up=give_up,
    )
    return result, said, clock.monotonic()


def test_a_call_that_works_says_nothing_and_waits_for_nothing() -> None:
    assert trying([5]) == (5, [], 0.0)


def test_a_control_plane_that_is_away_is_remarked_on_once_and_again_when_it_is_back() -> None:
    result, said, _ = trying([Unavailable("it is away"), Unavailable("still"), 5])
    assert result == 5
    assert said == ["it is away; trying again until it answers", "the control plane answers again"]


def test_patience_ends() -> None:
    with pytest.raises(Unavailable, match="gone"):
        trying([Unavailable("gone")], patience_s=60.0)


def test_giving_up_ends_it_after_the_attempt_under_way() -> None:
    with pytest.raises(Unavailable, match="gone"):
        trying([Unavailable("gone")], give_up=lambda: True)


@pytest.mark.parametrize("refusal", [OwnershipLost("no"), Rejected("no")])
def test_a_refusal_is_not_repeated(refusal) -> None:
    with pytest.raises(type(refusal)):
        trying([refusal, 5])


# ── progress ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Listener:
    """A control plane that does what it is told at each call, and writes down what it was sent."""

    def __init__(self, *outcomes) -> None:
        self.outcomes = list(outcomes)
        self.updates: list[tuple[str, int]] = []

    def update(self, text, sequence) -> None:
        self.updates.append((text, sequence))
        self._do()

    def stop_reason(self):
        self._do()
        return AbortReason.CANCELLED

    def _do(self) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        if callable(outcome):
            outcome()


def reporter(listener):
    said: list[str] = []
    return ProgressReporter(listener, changed=lambda: None, say=said.append, min_interval_s=0), said


def test_of_several_values_the_newest_is_sent_with_its_number() -> None:
    listener = Listener()
    reporting, _ = reporter(listener)
    listener.outcomes = [reporting.stop]
    for text in ("1", "2", "3"):
        reporting.put(text)
    reporting.run()
    assert listener.updates == [("3", 3)]
    assert reporting.unsent is None


def test_a_value_that_came_during_the_request_is_still_to_be_sent() -> None:
    listener = Listener()
    reporting, _ = reporter(listener)
    listener.outcomes = [lambda: (reporting.put("2"), reporting.stop())]
    reporting.put("1")
    reporting.run()
    assert listener.updates == [("1", 1)]
    assert reporting.unsent == ProgressUpdate("2", 2)


def test_a_value_that_did_not_arrive_is_sent_again_or_a_newer_one_in_its_place() -> None:
    listener = Listener()
    reporting, said = reporter(listener)

    def lose() -> Never:
        reporting.put("2")
        raise Unavailable("gone")

    listener.outcomes = [lose, Unavailable("still"), reporting.stop]
    reporting.put("1")
    reporting.run()
    assert listener.updates == [("1", 1), ("2", 2), ("2", 2)]
    assert said == ["gone; the function goes on, and the report follows", "the control plane answers again"]


def test_a_value_that_is_refused_is_dropped_with_a_remark() -> None:
    listener = Listener()
    reporting, said = reporter(listener)
    listener.outcomes = [lambda: _stop_and_refuse(reporting)]
    reporting.put("1")
    reporting.run()
    assert reporting.unsent is None
    assert said == ["the control plane did not take the progress value number 1: too large"]


def _stop_and_refuse(reporting) -> Never:
    reporting.stop()
    raise Rejected("too large")


def test_a_question_goes_before_progress() -> None:
    listener = Listener()
    reporting, _ = reporter(listener)
    listener.outcomes = [reporting.stop]
    reporting.put("1")
    reporting.ask()
    reporting.run()
    assert reporting.answer == (AbortReason.CANCELLED,)
    assert listener.updates == []


def test_a_question_does_not_wait_for_the_pause_between_updates_which_goes_on() -> None:
    listener = Listener()
    plane: Any = listener
    reporting = ProgressReporter(plane, changed=lambda: reporting.stop(), say=print, min_interval_s=3600)
    listener.outcomes = [reporting.ask]
    reporting.put("1")
    reporting.start()
    reporting.join(30)
    reporting.put("2")
    assert reporting.answer == (AbortReason.CANCELLED,)
    assert reporting.close(30) == ProgressUpdate("2", 2)
    assert listener.updates == [("1", 1)]


def test_the_thread_ends_when_the_execution_is_not_ours() -> None:
    changes: list[int] = []
    plane: Any = Listener(OwnershipLost("ended"))
    reporting = ProgressReporter(plane, changed=lambda: changes.append(1), say=print)
    reporting.put("1")
    reporting.run()
    assert reporting.ownership_lost == "ended"
    assert changes == [1]

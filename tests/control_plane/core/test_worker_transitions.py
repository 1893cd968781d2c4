"""The fence: which worker's reports count, and what a repeated one does."""

import pytest

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.external_transitions import ExitKind
from multinode_control_plane.core.keys import output_key
from multinode_control_plane.core.records import Output
from multinode_control_plane.core.worker_transitions import FinishReport
from multinode_control_plane.services import commit, details, executions
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.status import AbortReason, InvocationStatus, Outcome
from tests.support.world import FAILURE, SUCCESS, World, function_spec


def code_of(action) -> ErrorCode:  # type: ignore[no-untyped-def]
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.code


def output(world: World, invocation_id: str) -> Output | None:
    stored = world.store.get(output_key(invocation_id, world.execution_id(invocation_id)))
    return None if stored is None else stored.record


def final_output(world: World, invocation_id: str) -> str | None:
    """Return what a reader is shown as the final value of the execution."""
    found = commit.load(world.context, invocation_id).record
    output = details.execution_view(world.context, found, world.execution_id(invocation_id)).output
    return None if output is None else output.text


def test_the_same_worker_may_repeat_its_start_and_no_other_may() -> None:
    world = World()
    created = world.started()
    version = world.store.items[f"INV#{created}", "INVOCATION"][0]
    assert world.start(created, nonce="n").status is InvocationStatus.RUNNING
    assert world.store.items[f"INV#{created}", "INVOCATION"][0] == version
    assert code_of(lambda: world.start(created, nonce="other")) is ErrorCode.EXECUTION_HAS_ALREADY_STARTED


def test_a_worker_without_a_nonce_may_not_repeat_its_start() -> None:
    world = World()
    created = world.create()
    world.react()
    execution = world.execution_id(created)
    executions.start(world.context, created, execution, worker_nonce=None)
    again = code_of(lambda: executions.start(world.context, created, execution, worker_nonce=None))
    assert again is ErrorCode.EXECUTION_HAS_ALREADY_STARTED


def test_a_start_tells_the_container_when_the_launchs_answer_was_lost() -> None:
    world = World()
    created = world.create()
    lost = world.store.changes.copy()
    world.store.changes.clear()
    execution = world.execution_id(created)
    executions.start(world.context, created, execution, worker_nonce="n", worker_identifier="arn:aws:ecs:task/1")
    worker = world.get(created).executions[0].worker
    assert worker is not None
    assert (worker.type, worker.identifier, worker.logs_identifier) == ("AWS_ECS", "arn:aws:ecs:task/1", "")
    assert len(lost) == 1


def test_an_unknown_execution_is_refused_by_every_report() -> None:
    world = World()
    created = world.started()
    for report in (
        lambda: executions.start(world.context, created, "exe-x", worker_nonce="n"),
        lambda: executions.update(world.context, created, "exe-x", text="1", sequence=1),
        lambda: executions.finish(world.context, created, "exe-x", SUCCESS),
    ):
        assert code_of(report) is ErrorCode.EXECUTION_DOES_NOT_EXIST


def test_reports_before_the_start_are_refused() -> None:
    world = World()
    created = world.create()
    world.react()
    execution = world.execution_id(created)
    early = lambda: executions.update(world.context, created, execution, text="1", sequence=1)  # noqa: E731
    assert code_of(early) is ErrorCode.EXECUTION_HAS_NOT_STARTED
    assert code_of(lambda: world.finish(created)) is ErrorCode.EXECUTION_HAS_NOT_STARTED


def test_progress_is_shown_and_never_goes_back() -> None:
    world = World()
    created = world.started()
    execution = world.execution_id(created)
    for sequence, text in ((1, "a"), (3, "c"), (2, "b"), (3, "again")):
        executions.update(world.context, created, execution, text=text, sequence=sequence)
    assert output(world, created) == Output(created, execution, 3, "c")


def test_progress_without_a_number_counts_as_newest() -> None:
    world = World()
    created = world.started()
    execution = world.execution_id(created)
    for text in ("a", "b"):
        executions.update(world.context, created, execution, text=text, sequence=None)
    assert output(world, created) == Output(created, execution, 2, "b")


def test_progress_after_the_end_is_refused() -> None:
    world = World()
    created = world.started()
    world.finish(created)
    execution = world.execution_id(created)
    late = lambda: executions.update(world.context, created, execution, text="1", sequence=9)  # noqa: E731
    assert code_of(late) is ErrorCode.EXECUTION_HAS_ALREADY_FINISHED


def test_progress_of_a_lost_execution_is_refused() -> None:
    world = World((function_spec(max_retries=1),))
    created = world.started()
    old = world.execution_id(created)
    world.container_ends(created, ExitKind.INTERRUPTED, "lost", None)
    late = lambda: executions.update(world.context, created, old, text="1", sequence=1)  # noqa: E731
    assert code_of(late) is ErrorCode.EXECUTION_IS_ALREADY_TERMINATED


@pytest.mark.parametrize("value", ["42", "x" * 1000], ids=["kept with the execution", "kept by itself"])
def test_progress_that_meets_the_final_value_changes_nothing(value: str) -> None:
    world = World()
    created = world.started()
    execution = world.execution_id(created)
    end = FinishReport(Outcome.SUCCEEDED, final_output=value)
    world.store.before("get", lambda _: world.finish(created, end), when=lambda key: key.sort.startswith("OUTPUT"))
    executions.update(world.context, created, execution, text="late", sequence=5)
    assert final_output(world, created) == value


def test_the_same_end_again_is_answered_and_another_is_refused() -> None:
    world = World()
    created = world.started()
    world.finish(created, SUCCESS)
    assert world.finish(created, FinishReport(Outcome.SUCCEEDED, final_output="43")).status == "SUCCEEDED"
    assert final_output(world, created) == "42"
    assert code_of(lambda: world.finish(created, FAILURE)) is ErrorCode.EXECUTION_HAS_ALREADY_FINISHED
    world.container_ends(created)
    assert world.finish(created, SUCCESS).status is InvocationStatus.SUCCEEDED


def test_a_zombies_result_is_refused() -> None:
    world = World((function_spec(max_retries=1),))
    created = world.started()
    old = world.execution_id(created)
    world.container_ends(created, ExitKind.INTERRUPTED, "lost", None)
    world.react()
    world.start(created)
    late = lambda: executions.finish(world.context, created, old, SUCCESS)  # noqa: E731
    assert code_of(late) is ErrorCode.EXECUTION_IS_ALREADY_TERMINATED
    assert world.get(created).status is InvocationStatus.RUNNING


def test_an_old_execution_cannot_start_after_it_ended() -> None:
    world = World()
    created = world.create()
    world.react()
    old = world.execution_id(created)
    world.container_ends(created, ExitKind.START_FAILED, "no image", None)
    late = lambda: executions.start(world.context, created, old, worker_nonce="n")  # noqa: E731
    assert code_of(late) is ErrorCode.EXECUTION_IS_ALREADY_TERMINATED


def test_a_failed_end_keeps_the_progress_and_the_whole_error() -> None:
    world = World()
    created = world.started()
    execution = world.execution_id(created)
    executions.update(world.context, created, execution, text="half", sequence=1)
    long = "E: " + "x" * 9_000
    world.finish(created, FinishReport(Outcome.FAILED, error_message=long, error_type="E", error_traceback="tb"))
    assert output(world, created) == Output(created, execution, 1, "half", True, long, "E", "tb")
    short = world.get(created).executions[0].error
    assert short is not None
    assert len(short) == 500


def test_a_cancelled_end_with_a_value_keeps_the_value() -> None:
    world = World()
    created = world.started()
    world.cancel(created)
    ended = world.finish(created, FinishReport(Outcome.ABORTED, final_output='"tidied up"'))
    assert ended.status is InvocationStatus.CANCELLED
    assert ended.executions[0].abort_reason is AbortReason.CANCELLED
    assert final_output(world, created) == '"tidied up"'

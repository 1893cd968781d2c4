"""Every Compute: one container per token, told truly what became of it, and every call may be made again."""

from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.records import WorkerDetails
from multinode_control_plane.ports import ContainerState
from tests.control_plane.contract.computes import ComputeUnderTest
from tests.support.waiting import until


def state_of(under_test: ComputeUnderTest, worker: WorkerDetails) -> ContainerState:
    (state,) = under_test.compute.describe([worker])
    return state


def exit_of(under_test: ComputeUnderTest, worker: WorkerDetails) -> ContainerExit:
    ended = until(lambda: state_of(under_test, worker).exit, "the container to end", every_s=0.02)
    assert ended is not None
    return ended


def test_a_launched_container_is_described_found_and_listed(compute_under_test: ComputeUnderTest) -> None:
    request = compute_under_test.request(1)
    worker = compute_under_test.compute.launch(request)
    expected = ContainerState(worker, request.execution.execution_id, None, request.invocation.invocation_id)
    assert list(compute_under_test.compute.describe([worker])) == [expected]
    assert list(compute_under_test.compute.find(request.execution.execution_id)) == [expected]
    assert list(compute_under_test.compute.running()) == [expected]


def test_the_same_token_never_starts_a_second_container(compute_under_test: ComputeUnderTest) -> None:
    request = compute_under_test.request(1)
    worker = compute_under_test.compute.launch(request)
    assert [compute_under_test.compute.launch(request) for _ in range(3)] == [worker] * 3
    assert len(compute_under_test.compute.running()) == 1


def test_the_token_of_a_container_that_has_ended_starts_none(compute_under_test: ComputeUnderTest) -> None:
    request = compute_under_test.request(1)
    worker = compute_under_test.compute.launch(request)
    compute_under_test.end(worker)
    exit_of(compute_under_test, worker)
    assert compute_under_test.compute.launch(request) == worker
    assert list(compute_under_test.compute.running()) == []
    assert compute_under_test.launches() == 1


def test_each_token_has_a_container_of_its_own(compute_under_test: ComputeUnderTest) -> None:
    workers = [compute_under_test.compute.launch(compute_under_test.request(number)) for number in (1, 2, 3)]
    assert len({worker.identifier for worker in workers}) == 3
    found = {state.worker.identifier for state in compute_under_test.compute.running()}
    assert found == {worker.identifier for worker in workers}


def test_a_container_that_ended_by_itself_is_described_and_found_but_not_running(
    compute_under_test: ComputeUnderTest,
) -> None:
    request = compute_under_test.request(1)
    worker = compute_under_test.compute.launch(request)
    compute_under_test.end(worker)
    ended = exit_of(compute_under_test, worker)
    assert (ended.kind, ended.exit_code) == (ExitKind.EXITED, 0)
    (found,) = compute_under_test.compute.find(request.execution.execution_id)
    assert found.exit == ended
    assert list(compute_under_test.compute.running()) == []


def test_unknown_containers_are_left_out(compute_under_test: ComputeUnderTest) -> None:
    worker = compute_under_test.compute.launch(compute_under_test.request(1))
    strangers = [
        WorkerDetails(worker.type, name, "") for name in ("exe-0-1", "", "..", "../../etc/passwd", "a/b", "\0", "é")
    ]
    described = compute_under_test.compute.describe([*strangers, worker])
    assert [state.worker for state in described] == [worker]


def test_an_execution_that_was_never_launched_has_no_containers(compute_under_test: ComputeUnderTest) -> None:
    compute_under_test.compute.launch(compute_under_test.request(1))
    for execution_id in (compute_under_test.request(2).execution.execution_id, "exe-", "exe-*", "", "../exe-1"):
        assert list(compute_under_test.compute.find(execution_id)) == []


def test_stopping_what_is_gone_or_unknown_is_no_error(compute_under_test: ComputeUnderTest) -> None:
    worker = compute_under_test.compute.launch(compute_under_test.request(1))
    compute_under_test.end(worker)
    before = exit_of(compute_under_test, worker)
    compute_under_test.compute.stop(worker, 0)
    compute_under_test.compute.stop(WorkerDetails("TEST", "exe-9-1", ""), 0)
    assert state_of(compute_under_test, worker).exit == before


def test_forgetting_a_project_may_be_repeated_and_touches_no_container(compute_under_test: ComputeUnderTest) -> None:
    worker = compute_under_test.compute.launch(compute_under_test.request(1))
    for name in ("shop", "shop", "never-heard-of"):
        compute_under_test.compute.forget_project(name)
    assert state_of(compute_under_test, worker).exit is None

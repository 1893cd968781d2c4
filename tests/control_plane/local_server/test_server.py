"""The local deployment as a whole: real server, real workers, over HTTP."""

import json
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.local_server import PROJECT, LocalServer, spec
from tests.support.waiting import until

pytestmark = pytest.mark.slow(about_s=25)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_a_function_runs_and_gives_result_and_logs(server: LocalServer) -> None:
    server.deploy(spec("add"))
    invocation_id = server.start_function("add", 2, 3)
    ended = server.terminated(invocation_id)
    assert (ended["status"], ended["result"], ended["num_failed_attempts"]) == ("SUCCEEDED", "5", 0)
    printed = [line for line in server.logs(invocation_id) if line["stream"] == "stdout"]
    assert [line["message"] for line in printed] == ["adding 2 and 3"]


def test_each_execution_has_a_process_of_its_own_and_nothing_of_another(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.deploy(spec("surroundings"))
    ids = [server.start_function("surroundings") for _ in range(3)]
    results = [json.loads(server.terminated(invocation_id)["result"]) for invocation_id in ids]
    assert [result["calls"] for result in results] == [1, 1, 1]
    assert len({result["pid"] for result in results}) == 3
    assert {result["cwd"] for result in results} == {str(PROJECT)}
    assert all(result["modules"] == [] for result in results)
    tokens = {result["environment"]["MULTINODE_EXECUTION_ID"] for result in results}
    assert len(tokens) == 3


def test_a_worker_has_the_projects_values_and_nothing_of_the_servers_environment(tmp_path: Path) -> None:
    env_file = tmp_path / "values.json"
    env_file.write_text(json.dumps({"GREETING": "hello", "MULTINODE_FUNCTION_NAME": "evil"}))
    server = LocalServer(tmp_path / "server", environ={"AWS_SECRET_ACCESS_KEY": "secret", "PYTHONPATH": "/nowhere"})
    server.start()
    try:
        server.deploy(spec("surroundings"), env_file=str(env_file))
        result = json.loads(server.terminated(server.start_function("surroundings"))["result"])
    finally:
        server.stop()
    environment = result["environment"]
    assert environment["GREETING"] == "hello"
    assert environment["MULTINODE_FUNCTION_NAME"] == "surroundings"
    assert not {"AWS_SECRET_ACCESS_KEY", "PYTHONPATH"} & set(environment)
    assert server.api_key not in environment.values()
    assert environment["HOME"] == os.environ["HOME"]


def test_no_more_than_the_limit_run_at_the_same_time_and_the_oldest_first(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("narrow", max_concurrency=2))
    ids = [server.start_function("narrow", str(path), f"{number}", 0.3) for number in range(6)]
    ended = [server.terminated(invocation_id) for invocation_id in ids]
    assert [invocation["status"] for invocation in ended] == ["SUCCEEDED"] * 6
    running = most = 0
    for line in lines(path):
        running += 1 if line.startswith("begin") else -1
        most = max(most, running)
    assert (running, most) == (0, 2)
    admitted_ms = [invocation["executions"][0]["creation_time_ms"] for invocation in ended]
    assert admitted_ms == sorted(admitted_ms)


def test_a_failing_function_is_tried_again_as_often_as_it_may(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "tries"
    server.deploy(spec("third_time_lucky", max_retries=2))
    ended = server.terminated(server.start_function("third_time_lucky", str(path)))
    assert (ended["status"], ended["result"], ended["num_failed_attempts"]) == ("SUCCEEDED", "3", 2)
    assert lines(path) == ["try"] * 3


def test_a_function_that_takes_too_long_is_timed_out(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("too_slow", timeout_seconds=1, max_retries=3))
    ended = server.terminated(server.start_function("too_slow", str(path)))
    assert (ended["status"], len(ended["executions"])) == ("TIMED_OUT", 1)
    assert lines(path) in ([], ["begin"])  # its second may be over before its first line runs


def test_what_has_waited_too_long_for_its_start_never_starts(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("impatient", max_concurrency=1, max_queue_seconds=1))
    first = server.start_function("impatient", str(path))
    until(lambda: lines(path), "the start of the first")
    second = server.start_function("impatient", str(path))
    ended = server.terminated(second)
    assert (ended["status"], ended["executions"]) == ("TIMED_OUT", [])
    (tmp_path / "notes.go").touch()
    assert server.terminated(first)["status"] == "SUCCEEDED"
    assert lines(path) == ["begin"]


def test_a_cancel_interrupts_the_function_and_is_final(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("until_cancelled", max_retries=3))
    invocation_id = server.start_function("until_cancelled", str(path))
    until(lambda: lines(path), "the start")
    assert server.cancel(invocation_id)["status"] == "CANCELLING"
    assert server.terminated(invocation_id)["status"] == "CANCELLED"
    assert lines(path) == ["begin", "cancelled"]


def test_a_function_that_will_not_end_is_killed_after_its_grace(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("stubborn", grace_seconds=10))  # the worker kills it after half of that
    invocation_id = server.start_function("stubborn", str(path))
    until(lambda: lines(path), "the start")
    server.cancel(invocation_id)
    assert server.terminated(invocation_id)["status"] == "CANCELLED"
    assert "refused" in lines(path)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.requires("linux")
def test_nothing_that_a_function_started_outlives_it(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "pids"
    server.deploy(spec("family"))
    invocation_id = server.start_function("family", str(path))
    until(lambda: len(lines(path)) == 2, "two children")
    pids = [int(line) for line in lines(path)]
    assert all(alive(pid) for pid in pids)
    server.cancel(invocation_id)
    server.terminated(invocation_id)
    assert not any(alive(pid) for pid in pids)


def test_cancelling_a_parent_cancels_its_children(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("parent"), spec("until_cancelled"))
    parent = server.start_function("parent", str(path), 2)
    until(lambda: sorted(lines(path)) == ["begin", "begin", "parent"], "all three running")
    listing = server.get("/projects/tests/versions/latest/functions/until_cancelled/invocations")
    children = [invocation["invocation_id"] for invocation in listing["invocations"]]
    server.cancel(parent)
    assert [server.terminated(one)["status"] for one in [parent, *children]] == ["CANCELLED"] * 3
    assert lines(path).count("cancelled") == 2


def test_undeploying_ends_what_runs_and_leaves_nothing(server: LocalServer, tmp_path: Path) -> None:
    path, secrets = tmp_path / "notes", server.directory.secrets / "tests"
    secrets.mkdir()
    (secrets / "1.json").write_text("{}")
    server.deploy(spec("until_cancelled", max_concurrency=1), env_file=str(secrets / "1.json"))
    running = server.start_function("until_cancelled", str(path))
    server.start_function("until_cancelled", str(path))
    until(lambda: lines(path), "the start")
    assert server.logs(running) == []
    status, _ = server.send("DELETE", "/projects/tests")
    assert status == 200
    until(lambda: server.send("GET", "/projects/tests")[0] == 404, "the end of the project")
    assert lines(path) == ["begin", "cancelled"]
    assert server.send("GET", f"/invocations/{running}")[0] == 404
    assert not secrets.exists()
    assert list(server.directory.logs.iterdir()) == []
    assert list(server.directory.workers.iterdir()) == []
    until(lambda: not list_of_items(server), "an empty store")


def list_of_items(server: LocalServer) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(server.directory.state)) as connection:
        found: list[tuple[str, str]] = connection.execute(
            "SELECT partition, sort FROM items UNION ALL SELECT partition, item_sort FROM index_entries "
            "UNION ALL SELECT invocation_id, seq FROM changes"
        ).fetchall()
    return found


def test_a_bundle_that_is_gone_fails_the_invocation_with_what_to_do(server: LocalServer) -> None:
    server.deploy(spec("add"), env_file="/nonexistent/values.json")
    ended = server.terminated(server.start_function("add", 1, 2))
    assert ended["status"] == "FAILED"
    assert "deploy the project again" in ended["status_reason"]


@pytest.mark.requires("linux")
def test_a_stop_answers_those_who_wait_instead_of_waiting_for_them(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("until_cancelled"))
    invocation_id = server.start_function("until_cancelled", str(path))
    until(lambda: lines(path), "the start")
    revision = server.invocation(invocation_id)["revision"]
    answers: list[str] = []

    def wait() -> None:
        answers.append(server.get(f"/invocations/{invocation_id}?wait_s=20&since={revision}")["revision"])

    threads = [threading.Thread(target=wait) for _ in range(30)]
    before = threads_of(server)
    for thread in threads:
        thread.start()
    until(lambda: threads_of(server) >= before + 30, "thirty requests that wait, each in a thread")
    assert server.stop() == 0
    for thread in threads:
        thread.join()
    assert answers == [revision] * 30


def threads_of(server: LocalServer) -> int:
    assert server.process is not None
    return len(list(Path(f"/proc/{server.process.pid}/task").iterdir()))


def test_the_end_of_the_server_by_a_signal_is_orderly(server: LocalServer) -> None:
    server.get("/deployment")
    assert server.stop() == 0

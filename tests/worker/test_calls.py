"""One call in a real worker: arguments in, progress and result out."""

import json
import os
import signal
import subprocess
import sys
import time
from math import inf
from pathlib import Path

import pytest

from multinode.payload import decode_value, encode_arguments
from tests.support.one_execution import OneExecution
from tests.worker.conftest import Launch

pytestmark = pytest.mark.slow


def test_a_returned_value_is_reported_as_the_result(launch: Launch, control_plane: OneExecution) -> None:
    control_plane.input = '[[20,1],{"z":2}]'
    worker = launch("@mn.function()\ndef work(x, y, z): return {'sum': x + y + z}")
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": '{"sum":23}'}


def test_start_is_the_first_request_and_carries_a_nonce_and_the_identifier(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch("@mn.function()\ndef work(): pass", MULTINODE_WORKER_IDENTIFIER="exe-1-1")
    assert worker.wait() == 0
    assert control_plane.steps == ["start", "finish"]
    assert control_plane.requests[0].body["worker_identifier"] == "exe-1-1"
    assert len(control_plane.requests[0].body["worker_nonce"]) == 32


def test_main_is_not_imported_before_start_is_answered(launch: Launch, control_plane: OneExecution) -> None:
    control_plane.on("PUT", "/start", before=lambda _: time.sleep(1))
    worker = launch("print('imported')\n@mn.function()\ndef work(): pass")
    assert worker.wait() == 0
    printed_ms = worker.lines[0]["t"]
    started_ms = time.time() * 1000 - (time.monotonic() - control_plane.requests[0].at) * 1000
    assert worker.printed() == ["imported"]
    assert printed_ms >= started_ms + 999  # the answer took one second; the clock has whole milliseconds


def test_the_code_is_held_until_not_before(launch: Launch, control_plane: OneExecution) -> None:
    not_before_s = time.time() + 2
    worker = launch("@mn.function()\ndef work(): pass", MULTINODE_NOT_BEFORE_MS=str(int(not_before_s * 1000) + 1))
    assert worker.wait() == 0
    started_s = time.time() - (time.monotonic() - control_plane.requests[0].at)
    assert started_s >= not_before_s - 0.01


def test_a_generator_reports_progress_and_its_last_value_is_the_result(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(
        """
        import time
        @mn.function()
        def work():
            yield "first"
            time.sleep(1.2)
            yield "last"
        """
    )
    assert worker.wait() == 0
    assert control_plane.updates[0] == "first"
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": '"last"'}


def test_a_generators_return_is_its_result_and_the_last_yield_is_reported_first(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch("@mn.function()\ndef work():\n    yield 1\n    yield 2\n    return 'returned'")
    assert worker.wait() == 0
    assert control_plane.updates[-1] == 2
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": '"returned"'}


def test_a_generator_that_yields_nothing_results_in_none(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch("@mn.function()\ndef work():\n    if False: yield")
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "null"}


def test_a_slow_control_plane_does_not_slow_a_generator_and_updates_coalesce(
    launch: Launch, control_plane: OneExecution
) -> None:
    control_plane.on("PUT", "/update", before=lambda _: time.sleep(0.3), times=inf)
    worker = launch(
        """
        import time
        @mn.function()
        def work():
            begun = time.monotonic()
            for i in range(20_000):
                yield i
            return time.monotonic() - begun
        """
    )
    assert worker.wait() == 0
    assert float(control_plane.finished["final_output"]) < 20_000 * 0.3 / 100  # one update each would take 6,000 s
    assert control_plane.updates[-1] == 19_999
    assert control_plane.count("update") < 100
    assert control_plane.sequences == sorted(set(control_plane.sequences))


def test_the_value_that_was_yielded_is_reported_even_when_it_is_changed_afterwards(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(
        "@mn.function()\ndef work():\n    seen = [1]\n    yield seen\n    seen.append(2)\n    raise ValueError"
    )
    assert worker.wait() == 0
    assert control_plane.updates[-1] == [1]


def test_the_last_yield_before_an_exception_is_reported(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch("@mn.function()\ndef work():\n    yield from range(1000)\n    raise ValueError('no')")
    assert worker.wait() == 0
    assert control_plane.updates[-1] == 999
    assert control_plane.finished["error_message"] == "ValueError: no"


def test_arguments_and_results_that_json_cannot_carry_travel_as_pickles(
    launch: Launch, control_plane: OneExecution
) -> None:
    control_plane.input = encode_arguments(({1, 2}, (3, 4)), {})
    worker = launch("@mn.function()\ndef work(a, b): return a | set(b)")
    assert worker.wait() == 0
    assert decode_value(control_plane.finished["final_output"]) == {1, 2, 3, 4}


def test_a_result_of_a_class_of_the_project_can_be_read_where_the_project_is_not(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(
        """
        from shapes import Point
        @mn.function()
        def work(): return Point(3)
        """
    )
    (worker.folder / "shapes.py").write_text("class Point:\n    def __init__(self, x): self.x = x\n")
    assert worker.wait() == 0
    assert "shapes" not in sys.modules
    assert decode_value(control_plane.finished["final_output"]).x == 3


def test_the_code_runs_in_its_folder_as_main_with_the_ids_in_its_environment(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(
        """
        import os, sys
        @mn.function()
        def work():
            ids = [os.environ["MULTINODE_EXECUTION_ID"], os.environ["MULTINODE_API_KEY"]]
            return [__name__, os.getcwd(), sys.path[0], sys.argv, sys.stdin.read(), *ids]
        """
    )
    assert worker.wait() == 0
    folder = str(worker.folder)
    told = control_plane.environment
    assert json.loads(control_plane.finished["final_output"]) == [
        "main", folder, folder, [f"{folder}/main.py"], "", told["MULTINODE_EXECUTION_ID"], told["MULTINODE_API_KEY"],
    ]  # fmt: skip


def test_files_of_the_project_named_like_modules_of_python_do_not_break_the_worker(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch("@mn.function()\ndef work(): return 1", MULTINODE_NOT_BEFORE_MS=str(int(time.time() * 1000) + 300))
    for name in ("selectors", "subprocess", "traceback", "pickle", "cloudpickle", "runpy"):
        (worker.folder / f"{name}.py").write_text("raise AssertionError('shadowed')")
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "1"}


def test_running_threads_do_not_keep_the_execution_alive_and_exit_functions_run(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(
        """
        import atexit, threading, time
        atexit.register(print, "exit function")
        @mn.function()
        def work():
            threading.Thread(target=time.sleep, args=(3600,)).start()
            return 1
        """
    )
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "1"}
    assert worker.printed() == ["exit function"]


def test_a_fork_that_returns_from_the_function_too_makes_no_second_report(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(
        """
        import os
        @mn.function()
        def work():
            child = os.fork()
            if child: os.waitpid(child, 0)
            return "parent" if child else "child"
        """
    )
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": '"parent"'}


def test_pools_of_processes_work_in_the_function(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch(
        """
        import multiprocessing
        def square(x): return x * x
        @mn.function()
        def work():
            results = []
            for method in ("fork", "spawn"):
                with multiprocessing.get_context(method).Pool(2) as pool:
                    results.append(pool.map(square, [1, 2, 3]))
            return results
        """
    )
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "[[1,4,9],[1,4,9]]"}


@pytest.mark.parametrize("missing", ["MULTINODE_API_URL", "MULTINODE_EXECUTION_ID"])
def test_a_worker_that_is_not_told_who_it_is_says_what_is_missing(missing) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MULTINODE_")}
    given = {
        f"MULTINODE_{name}": "http://127.0.0.1:9"
        for name in (
            "API_URL",
            "API_KEY",
            "PROJECT_NAME",
            "VERSION_ID",
            "FUNCTION_NAME",
            "INVOCATION_ID",
            "EXECUTION_ID",
        )
    }
    del given[missing]
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "multinode.worker"], env=environ | given, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert missing in ended.stderr
    assert "Traceback" not in ended.stderr


def test_importing_the_supervisor_loads_no_pickle_library_and_no_sdk_function() -> None:
    listed = subprocess.run(
        [sys.executable, "-P", "-c", "import sys, multinode.worker.run; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(listed.stdout.split())
    assert not loaded & {"cloudpickle", "pickle", "multinode.app", "multinode.function", "multinode.payload"}


def test_the_project_folder_may_be_the_working_directory(
    launch: Launch, control_plane: OneExecution, tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text(
        "from multinode import Multinode\nmn = Multinode()\n@mn.function()\ndef work(): return 5"
    )
    subprocess.run(
        [sys.executable, "-m", "multinode.worker"],
        cwd=tmp_path,
        env={**os.environ, **control_plane.environment},
        check=True,
        timeout=60,
    )
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "5"}
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

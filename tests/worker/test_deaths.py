"""Code that fails or dies, and what the report calls it."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.one_execution import OneExecution
from tests.support.processes import without_marks
from tests.support.waiting import PATIENCE_S
from tests.worker.conftest import Launch

pytestmark = pytest.mark.slow


def failure(launch: Launch, control_plane: OneExecution, source, **environ):
    """Return what a worker reports on `source`."""
    worker = launch(source, **environ)
    assert worker.wait() == 0
    assert control_plane.finished["outcome"] == "FAILED"
    return control_plane.finished


def test_an_exception_is_reported_with_its_class_bases_and_the_users_own_traceback(
    launch: Launch, control_plane: OneExecution
) -> None:
    report = failure(
        launch,
        control_plane,
        """
        class Broken(ValueError): pass
        def deeper(): raise Broken("it broke")
        @mn.function()
        def work():
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise RuntimeError("outer") from error
        @mn.function()
        def other(): deeper()
        """,
        function="other",
    )
    report["error_traceback"] = without_marks(report["error_traceback"])
    assert report == {
        "outcome": "FAILED",
        "error_message": "Broken: it broke",
        "error_type": "main.Broken",
        "error_bases": [
            "Broken", "main.Broken", "ValueError", "builtins.ValueError", "Exception", "builtins.Exception",
            "BaseException", "builtins.BaseException",
        ],
        "error_traceback": (
            "Traceback (most recent call last):\n"
            '  File "main.py", line 14, in other\n'
            "    def other(): deeper()\n"
            '  File "main.py", line 6, in deeper\n'
            '    def deeper(): raise Broken("it broke")\n'
            "main.Broken: it broke\n"
        ),
        "retryable": True,
        "infrastructure": False,
    }  # fmt: skip


def test_causes_are_part_of_the_traceback_which_is_also_in_the_logs(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(
        """
        @mn.function()
        def work():
            try:
                {}["key"]
            except KeyError as error:
                raise RuntimeError("outer") from error
        """
    )
    assert worker.wait() == 0
    shown = control_plane.finished["error_traceback"]
    assert "KeyError: 'key'" in shown
    assert "The above exception was the direct cause of the following exception" in shown
    assert shown.endswith("RuntimeError: outer\n")
    assert worker.printed("stderr") == shown.splitlines()


def test_a_non_retryable_error_says_so(launch: Launch, control_plane: OneExecution) -> None:
    report = failure(
        launch,
        control_plane,
        """
        from multinode.errors import NonRetryableError
        class Wrong(NonRetryableError): pass
        @mn.function()
        def work(): raise Wrong("input")
        """,
    )
    assert (report["error_message"], report["retryable"]) == ("Wrong: input", False)


@pytest.mark.parametrize(
    ("raising", "message"),
    [
        ("sys.exit(3)", "SystemExit: the code called sys.exit(3)"),
        ("sys.exit()", "SystemExit: the code called sys.exit()"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise StopIteration(1)", "StopIteration: 1"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("return open", None),
        ("return lambda: sys", None),
        ("assert False", "AssertionError"),
    ],
)
def test_whatever_leaves_the_function_is_reported_as_what_it_is(
    launch: Launch, control_plane: OneExecution, raising, message
) -> None:
    worker = launch(f"import sys\n@mn.function()\ndef work():\n    {raising}")
    assert worker.wait() == 0
    assert control_plane.finished.get("error_message") == message


def test_an_exception_whose_text_cannot_be_shown_is_still_named(launch: Launch, control_plane: OneExecution) -> None:
    report = failure(
        launch,
        control_plane,
        """
        class Mute(Exception):
            def __str__(self): raise OSError
        @mn.function()
        def work(): raise Mute
        """,
    )
    assert report["error_message"] == "Mute: (its text cannot be shown: __str__ raised OSError)"
    assert "in work" in report["error_traceback"]


def test_error_texts_without_end_are_cut(launch: Launch, control_plane: OneExecution) -> None:
    report = failure(launch, control_plane, "@mn.function()\ndef work(): raise ValueError('x' * 10_000_000 + 'end')")
    assert len(report["error_message"]) == 16_384
    assert report["error_message"].startswith("ValueError: xxx")
    assert report["error_message"].endswith("xxxend")
    assert len(report["error_traceback"]) <= 16_384


def test_endless_recursion_is_an_error_like_others(launch: Launch, control_plane: OneExecution) -> None:
    report = failure(launch, control_plane, "def again(): again()\n@mn.function()\ndef work(): again()")
    assert report["error_type"] == "RecursionError"


def test_a_memory_error_is_an_error_like_others(launch: Launch, control_plane: OneExecution) -> None:
    report = failure(
        launch,
        control_plane,
        """
        import resource
        @mn.function()
        def work():
            resource.setrlimit(resource.RLIMIT_AS, (1_000_000_000, 1_000_000_000))
            kept = []
            while True: kept.append(bytearray(10_000_000))
        """,
    )
    assert report["error_type"] == "MemoryError"
    assert report["infrastructure"] is False


def test_a_result_over_the_limit_fails_with_both_sizes(launch: Launch, control_plane: OneExecution) -> None:
    report = failure(launch, control_plane, "@mn.function()\ndef work(): return 'x' * 250_000")
    assert report["error_type"] == "multinode.errors.FunctionOutputSizeLimitExceeded"
    assert "250,002 bytes" in report["error_message"]  # with the two quotation marks
    assert "250,000" in report["error_message"]


def test_a_result_at_the_limit_is_a_result(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch("@mn.function()\ndef work(): return 'x' * 249_998")
    assert worker.wait() == 0
    assert len(control_plane.finished["final_output"]) == 250_000


def test_a_yielded_value_over_the_limit_raises_at_its_yield(launch: Launch, control_plane: OneExecution) -> None:
    report = failure(launch, control_plane, "@mn.function()\ndef work():\n    yield 1\n    yield 'x' * 250_000")
    assert report["error_type"] == "multinode.errors.FunctionOutputSizeLimitExceeded"
    assert "yield 'x' * 250_000" in report["error_traceback"]
    assert control_plane.updates == [1]


def test_a_yielded_value_that_cannot_be_pickled_may_be_caught_at_its_yield(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(
        """
        import threading
        from multinode.errors import PayloadError
        @mn.function()
        def work():
            try:
                yield threading.Lock()
            except PayloadError:
                yield "caught"
        """
    )
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": '"caught"'}


def test_a_result_that_cannot_be_pickled_fails_and_says_what_it_was(
    launch: Launch, control_plane: OneExecution
) -> None:
    report = failure(launch, control_plane, "import threading\n@mn.function()\ndef work(): return threading.Lock()")
    assert report["error_type"] == "multinode.errors.PayloadError"
    assert "lock" in report["error_message"]


def test_input_that_is_no_call_fails_without_calling(launch: Launch, control_plane: OneExecution) -> None:
    control_plane.input = "[1,2,3]"
    worker = launch("@mn.function()\ndef work(): print('called')")
    assert worker.wait() == 0
    assert control_plane.finished["error_type"] == "multinode.errors.PayloadError"
    assert worker.printed() == []


def test_arguments_that_do_not_fit_fail_with_pythons_own_words(launch: Launch, control_plane: OneExecution) -> None:
    control_plane.input = '{"y":1}'
    report = failure(launch, control_plane, "@mn.function()\ndef work(x): pass")
    assert report["error_message"] == "TypeError: work() got an unexpected keyword argument 'y'"


def test_a_function_that_main_does_not_have_is_named_beside_those_it_has(
    launch: Launch, control_plane: OneExecution
) -> None:
    report = failure(launch, control_plane, "@mn.function()\ndef work(x): pass", function="wrok")
    assert report["error_message"] == (
        "FunctionIsMissing: main.py has no function 'wrok' decorated with `function` of a Multinode object;"
        " it has: work. Deploy the project again"
    )
    assert report["retryable"] is False


def test_a_main_that_raises_on_import_fails_with_the_users_traceback(
    launch: Launch, control_plane: OneExecution
) -> None:
    report = failure(launch, control_plane, "1 / 0", preamble="")
    assert without_marks(report["error_traceback"]) == (
        "Traceback (most recent call last):\n"
        '  File "main.py", line 1, in <module>\n'
        "    1 / 0\n"
        "ZeroDivisionError: division by zero\n"
    )


def test_a_project_without_main_fails(launch: Launch, control_plane: OneExecution, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = failure(launch, control_plane, "", MULTINODE_CODE_DIR=str(tmp_path / "empty"))
    assert report["error_message"].startswith("MainIsMissing: there is no main.py in")


def test_os_exit_is_reported_with_its_code(launch: Launch, control_plane: OneExecution) -> None:
    report = failure(launch, control_plane, "import os\n@mn.function()\ndef work(): os._exit(7)")
    assert report["error_type"] == "ProcessExited"
    assert "exit code 7" in report["error_message"]
    assert report["infrastructure"] is False


def test_a_crash_is_reported_by_its_signal_with_the_python_stack_in_the_logs(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch("import ctypes\n@mn.function()\ndef work(): ctypes.string_at(0)")
    assert worker.wait() == 0
    assert control_plane.finished["error_message"] == (
        "ProcessKilled: the function's process was ended by SIGSEGV (Segmentation fault)"
    )
    assert control_plane.finished["infrastructure"] is False
    assert any('main.py", line 6 in work' in line for line in worker.printed("stderr"))


def test_a_kill_from_outside_is_the_infrastructures_fault(launch: Launch, control_plane: OneExecution) -> None:
    report = failure(
        launch,
        control_plane,
        "import os, signal\n@mn.function()\ndef work():\n    yield 'last'\n    os.kill(os.getpid(), signal.SIGKILL)",
    )
    assert report["error_type"] in ("ProcessKilled", "OutOfMemory")  # depends on what the kernel lets us read
    assert "SIGKILL" in report["error_message"]
    assert report["infrastructure"] is True
    assert control_plane.updates == ["last"]


@pytest.fixture
def small_group():
    """A control group of 100 MB whose processes the kernel kills for memory, and the command that enters it."""
    group = Path(f"/sys/fs/cgroup/memory/multinode-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no control groups of version 1 that this user may make")
    (group / "memory.limit_in_bytes").write_text("100000000")
    yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    give_up_at = time.monotonic() + PATIENCE_S
    while group.exists() and time.monotonic() < give_up_at:
        try:
            group.rmdir()
        except OSError:  # its last processes are still ending
            time.sleep(0.05)


FILLS_MEMORY = """
@mn.function()
def work():
    yield "last"
    kept = []
    while True:
        kept.append(b"x" * 1_000_000)
"""


def test_an_out_of_memory_kill_by_the_kernel_is_reported_as_that(
    launch: Launch, control_plane: OneExecution, small_group
) -> None:
    worker = launch(FILLS_MEMORY, through=small_group)
    assert worker.wait() == 0
    assert control_plane.finished == {
        "outcome": "FAILED",
        "error_message": (
            "OutOfMemory: the kernel ended the function's process with SIGKILL because memory ran out;"
            " give the function more with memory=… (now 0.25 GiB)"
        ),
        "error_type": "OutOfMemory",
        "error_bases": ["OutOfMemory"],
        "retryable": True,
        "infrastructure": True,
    }
    assert control_plane.updates == ["last"]


def test_code_that_closes_every_file_descriptor_fails(launch: Launch, control_plane: OneExecution) -> None:
    report = failure(launch, control_plane, "import os\n@mn.function()\ndef work(): os.closerange(0, 100)")
    assert report["error_type"] == "ProcessExited"


def test_code_that_writes_into_the_workers_pipe_fails(launch: Launch, control_plane: OneExecution) -> None:
    report = failure(
        launch,
        control_plane,
        """
        import os, time
        @mn.function()
        def work():
            for fd in range(3, 20):
                try: os.write(fd, b"garbage that is no frame")
                except OSError: pass
            time.sleep(3600)
        """,
    )
    assert report["error_type"] == "ProcessLost"


def test_a_supervisor_that_is_stopped_and_goes_on_reports_as_if_nothing_had_been(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch("import time\n@mn.function()\ndef work():\n    print('running')\n    time.sleep(1)\n    return 1")
    worker.until_printed("running")
    worker.process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)  # the function ends meanwhile
    worker.process.send_signal(signal.SIGCONT)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "1"}


def test_an_environment_that_cannot_run_the_child_is_reported(
    launch: Launch, control_plane: OneExecution, tmp_path: Path
) -> None:
    (tmp_path / "cloudpickle.py").write_text("raise ImportError('broken environment')")
    worker = launch("@mn.function()\ndef work(): pass", PYTHONPATH=str(tmp_path))
    assert worker.wait() == 0
    assert "exit code 1" in control_plane.finished["error_message"]
    assert "ImportError: broken environment" in worker.printed("stderr")

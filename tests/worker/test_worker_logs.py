"""The logs of a real worker."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.one_execution import OneExecution
from tests.support.stoppable_functions import timed_out
from tests.support.waiting import PATIENCE_S
from tests.worker.conftest import Launch

pytestmark = pytest.mark.slow(about_s=20)


def test_each_line_carries_its_stream_and_time(launch: Launch, control_plane: OneExecution) -> None:
    before_ms = int(time.time() * 1000)
    worker = launch("import sys\n@mn.function()\ndef work():\n    print('out')\n    print('err', file=sys.stderr)")
    assert worker.wait() == 0
    assert sorted((line["s"], line["m"]) for line in worker.lines) == [("stderr", "err"), ("stdout", "out")]
    assert all(before_ms <= line["t"] <= time.time() * 1000 for line in worker.lines)


def test_lines_appear_while_the_function_runs_also_without_a_line_end(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(
        """
        import time
        @mn.function()
        def work():
            print("line")
            print("part", end="", flush=True)
            time.sleep(3600)
        """
    )
    worker.until(lambda: worker.printed() == ["line", "part"])
    assert control_plane.finished is None


def test_what_other_programs_print_is_in_the_logs_too(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch(
        """
        import subprocess, sys
        @mn.function()
        def work():
            subprocess.run(["echo", "from echo"])
            subprocess.run([sys.executable, "-c", "print('from python'); input()"], stdin=subprocess.PIPE, timeout=None)
        """
    )
    worker.until(lambda: len(worker.printed()) == 2)
    assert worker.printed() == ["from echo", "from python"]


def test_bytes_that_are_no_text_and_text_that_is_no_utf8_are_shown(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch(
        """
        import os
        @mn.function()
        def work():
            os.write(1, b"caf\\xe9\\n")
            print("lone \\ud800 surrogate")
            print("grün 🌱")
        """,
        LC_ALL="C",
        PYTHONIOENCODING="ascii",
    )
    assert worker.wait() == 0
    assert worker.printed() == ["caf\ufffd", "lone \\ud800 surrogate", "grün 🌱"]


def test_a_gigabyte_of_output_does_not_fill_the_supervisors_memory(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch(
        """
        import os
        @mn.function()
        def work():
            block = (b"x" * 999 + b"\\n") * 1000
            for _ in range(200): os.write(1, block)
            for _ in range(200): os.write(2, b"y" * 1_000_000)
            with open(f"/proc/{os.getppid()}/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        """
    )
    assert worker.wait() == 0
    lines = worker.printed()
    assert len(lines) == 200_000
    assert set(lines) == {"x" * 999}
    assert sum(len(line) for line in worker.printed("stderr")) == 200_000_000
    assert int(control_plane.finished["final_output"]) < 100_000  # KiB


def test_a_process_that_keeps_the_pipes_open_does_not_hold_up_the_end(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(
        "import subprocess\n@mn.function()\ndef work():\n    subprocess.Popen(['sleep', '3600'])\n    print('done')"
    )
    assert worker.wait() == 0
    assert worker.printed() == ["done"]


def test_a_reader_that_stands_still_delays_neither_time_out_nor_report(
    control_plane: OneExecution, tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text(
        "from multinode import Multinode\nmn = Multinode()\n"
        "@mn.function()\ndef work():\n    while True: print('x' * 1000, end='')\n"
    )
    control_plane.timeout_s = 1
    environ = {**control_plane.environment, "MULTINODE_CODE_DIR": str(tmp_path)}
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "multinode.worker"], env={**os.environ, **environ}, stdout=write_end
    )
    os.close(write_end)
    try:
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        os.close(read_end)
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "TIMED_OUT"}


def test_a_closed_stdout_loses_the_logs_and_nothing_else(launch: Launch, control_plane: OneExecution) -> None:
    without_stdout = ["sh", "-c", 'exec "$@" >&-', "sh"]
    worker = launch("@mn.function()\ndef work():\n    print('unheard')\n    return 1", through=without_stdout)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "1"}
    assert worker.lines == []


def test_without_the_json_format_lines_are_bare_and_remarks_marked(launch: Launch, control_plane: OneExecution) -> None:
    source = "import time\n@mn.function()\ndef work():\n    print('running')\n    time.sleep(3600)"
    worker = timed_out(launch, control_plane, source, MULTINODE_LOG_FORMAT="")
    assert worker.wait() == 0
    lines = worker.log.read_text().splitlines()
    assert lines[:2] == ["running", "[multinode] interrupting the function: TIMED_OUT"]
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines[0])

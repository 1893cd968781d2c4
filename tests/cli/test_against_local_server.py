"""The commands against a real local control plane, and what only that one has."""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.cli.journey import *  # noqa: F403 - the tests that every control plane passes
from tests.support.cli.journey import ENV_FILE, MAIN, User, local_user, rest_of, told_until
from tests.support.waiting import until

pytestmark = pytest.mark.slow(about_s=40)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A user whose local control plane runs and has the project ``zoo``."""
    with local_user(tmp_path_factory.mktemp("user"), MAIN, ENV_FILE) as user:
        yield user


def server_pid(user: User) -> int:
    return int(json.loads((user.folder / "data" / "server.json").read_text())["pid"])


def test_local_start_has_logged_the_user_in(user: User) -> None:
    assert user.json("whoami")["backend"] == "local"


def test_a_server_that_is_killed_in_the_middle_of_a_follow_and_comes_back(user: User) -> None:
    gate = user.board.gate_url("killed")
    process = user.start("invoke", "zoo", "count", "--arg", "n=20", "--arg", f"gate={gate}", "--follow")
    told_until(process, "progress")
    os.kill(server_pid(user), signal.SIGKILL)
    told_until(process, "Trying again")
    assert user.run("local", "start", "--detach").code == 0
    told_until(process, "The control plane answers again")
    user.board.open("killed")
    finished = rest_of(process)
    assert (finished.code, finished.out) == (0, "20\n")
    assert "│ counted 20" in finished.err


def test_undeploy_stops_what_runs_and_leaves_nothing(user: User) -> None:
    assert user.run("deploy", "zoo", "--project-name", "doomed").code == 0
    started = user.run("invoke", "doomed", "stubborn", "--arg", f"begun={user.board.count_url('doomed')}")
    until(lambda: user.board.counts["doomed"], "it to begin")
    finished = user.run("undeploy", "doomed", "--yes")
    assert finished.code == 0
    assert "1 version, 1 unfinished invocation to cancel" in finished.err
    assert [project["project_name"] for project in user.json("list")["projects"]] == ["zoo"]
    assert not (user.folder / "data" / "secrets" / "doomed").exists()
    assert user.run("get", started.out.strip()).code == 2


def test_a_schedule_is_deployed_described_and_ended(user: User) -> None:
    (user.folder / "clock").mkdir()
    main = user.folder / "clock" / "main.py"
    begin = "from multinode import Cron, Every, Multinode\n\nmn = Multinode()\n\n\n"
    main.write_text(begin + "@mn.function(schedule=Cron('0 0 29 2 *', 'Asia/Tokyo'))\ndef leap():\n    pass\n")
    assert "0 0 29 2 * Asia/Tokyo" in user.run("deploy", "clock", "--project-name", "clock").out
    leap = user.json("describe", "clock", "leap")
    assert leap["schedule"] == {"cron": "0 0 29 2 *", "timezone": "Asia/Tokyo"}
    assert int(str(leap["next_run_time"])) % 86_400 == 15 * 3600  # midnight in Tokyo, which is nine hours ahead
    assert "\nNext run     20" in user.run("describe", "clock", "leap").out

    main.write_text(begin + "@mn.function(schedule=Cron('0 0 30 2 *'))\ndef never():\n    pass\n")
    refused = user.run("deploy", "clock", "--project-name", "clock")
    assert refused.code == 2
    assert "The cron expression '0 0 30 2 *' never fires: no FEB has a day 30" in refused.err
    assert user.json("describe", "clock", "leap")["next_run_time"] == leap["next_run_time"]

    main.write_text(begin + "@mn.function(schedule=Every(minutes=90))\ndef often():\n    pass\n")
    assert user.run("deploy", "clock", "--project-name", "clock").code == 0
    assert "every 1 h 30 min" in user.run("describe", "clock").out
    assert user.run("undeploy", "clock", "--yes").code == 0

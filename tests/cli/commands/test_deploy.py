"""deploy and upgrade against a local control plane's data folder: what is checked, what is registered, what is left."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from multinode_cli.commands.deploy import next_command
from multinode_protocol.error_codes import ErrorCode
from tests.cli.conftest import Multinode, Outcome
from tests.support.bodies import CREATED, function_info, version_id
from tests.support.control_plane import FakeControlPlane
from tests.support.faulty_server import refuses

MAIN = '''
from multinode import Multinode

mn = Multinode()


@mn.function(cpu=0.5, memory="1 GiB", max_retries=2)
def slow_sum(n, delay_s=0.5):
    """Add up."""
    yield n


@mn.function()
def now():
    return 1
'''


@pytest.fixture
def local(plane: FakeControlPlane, tmp_path: Path) -> FakeControlPlane:
    """A control plane whose data folder is on this machine."""
    (tmp_path / "data").mkdir(mode=0o700)
    plane.deployment["data_dir"] = str(tmp_path / "data")
    return plane


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "main.py").write_text(MAIN)
    return folder


def changes(plane: FakeControlPlane) -> list[tuple[str, str]]:
    return [(method, path) for method, path in plane.asked if method != "GET"]


# --- what is refused before anything is asked of the control plane ---


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "error: '' is not a valid project name: use 1 to 64 letters, digits, - and _, beginning with a letter"),
        ("a" * 65, "Did you mean '" + "a" * 64 + "'?"),
        ("my project", "Did you mean 'my-project'?"),
        ("../etc", "Did you mean 'etc'?"),
        ("..", "is not a valid project name"),
        ("a/b", "Did you mean 'a-b'?"),
        ("-x", "Did you mean 'x'?"),
        ("x;rm -rf", "Did you mean 'x-rm-rf'?"),
        ("$(id)", "Did you mean 'id'?"),
        ("{{7*7}}", "Did you mean '7-7'?"),
        ("%s%n", "Did you mean 's-n'?"),
        ("a\nb", "Did you mean 'a-b'?"),
        ("\x1b[2J", "'' is not a valid project name"),
        ("a\u202eb", "'ab' is not a valid project name"),
        ("projekt-ü", "is not a valid project name"),
        ("🚀", "is not a valid project name"),
    ],
)
@pytest.mark.parametrize("command", ["deploy", "upgrade"])
def test_a_name_that_no_project_can_have_is_refused_at_once(
    multinode: Multinode, plane: FakeControlPlane, command: str, name: str, message: str
) -> None:
    outcome = multinode(command, "code", f"--project-name={name}")
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert plane.asked == []


def test_a_name_that_is_nearly_one_gets_the_whole_corrected_command(multinode: Multinode, config_dir: Path) -> None:
    outcome = multinode("upgrade", "code", "--project-name", "my project", "--json")
    assert outcome.err.endswith("\n  multinode upgrade code --project-name my-project --json\n")


def test_a_folder_that_is_not_there_is_refused_at_once(
    multinode: Multinode, plane: FakeControlPlane, tmp_path: Path
) -> None:
    outcome = multinode("deploy", str(tmp_path / "nothing"), "--project-name", "p")
    assert (outcome.code, plane.asked) == (2, [])
    assert "nothing is not a folder; give the folder that contains main.py" in outcome.err


def test_a_file_in_the_folders_place_gets_the_corrected_command(
    multinode: Multinode, plane: FakeControlPlane, code: Path
) -> None:
    outcome = multinode("deploy", str(code / "main.py"), "--project-name", "p")
    assert (outcome.code, plane.asked) == (2, [])
    assert outcome.err.endswith(f"\n  multinode deploy {code} --project-name p\n")


def test_a_bad_environment_file_is_refused_at_once(multinode: Multinode, plane: FakeControlPlane, code: Path) -> None:
    (code / ".env").write_text("TOKEN=x\nOOPS\n")
    outcome = multinode("deploy", str(code), "--project-name", "p")
    assert (outcome.code, plane.asked) == (2, [])
    assert outcome.err.endswith("error: .env, line 2 has no '=': write NAME=value, or NAME= for an empty one\n")


def test_upgrade_creates_the_project_when_told_to_deploy(
    multinode: Multinode, local: FakeControlPlane, code: Path
) -> None:
    outcome = multinode("upgrade", str(code), "--project-name", "new", "--deploy", "--json")
    assert (outcome.code, json.loads(outcome.out)["project_created"]) == (0, True)


def test_a_project_that_must_exist_gets_both_ways_out(
    multinode: Multinode, local: FakeControlPlane, code: Path
) -> None:
    local.add_project("slow", versions=0)
    outcome = multinode("upgrade", str(code), "--project-name", "slwo")
    assert outcome.code == 2
    assert outcome.err.endswith(
        "error: there is no project named 'slwo'. Did you mean 'slow'?\n"
        f"  multinode upgrade {code} --project-name slow\n"
        "To create it:\n"
        f"  multinode deploy {code} --project-name slwo\n"
    )
    assert changes(local) == []


def test_a_project_that_is_being_deleted_is_not_deployed_to(
    multinode: Multinode, local: FakeControlPlane, code: Path
) -> None:
    local.add_project("slow", versions=0, deleted_at=CREATED)
    outcome = multinode("deploy", str(code), "--project-name", "slow")
    assert outcome.code == 2
    assert "project slow is being deleted; deploy it again when" in outcome.err
    assert changes(local) == []


def test_a_backend_that_this_command_cannot_deploy_to_is_named(
    multinode: Multinode, plane: FakeControlPlane, code: Path
) -> None:
    plane.deployment["backend"] = "moon"
    outcome = multinode("deploy", str(code), "--project-name", "p")
    assert outcome.code == 3
    assert "cannot deploy to a control plane with the backend moon" in outcome.err


def test_a_data_folder_on_another_machine_is_named(multinode: Multinode, plane: FakeControlPlane, code: Path) -> None:
    plane.deployment["data_dir"] = "/nowhere/multinode"
    outcome = multinode("deploy", str(code), "--project-name", "p")
    assert outcome.code == 3
    assert "keeps its data in /nowhere/multinode, which is not on this machine" in outcome.err


# --- the whole way ---


def deploy(multinode: Multinode, code: Path, *options: str, command: str = "deploy", name: str = "slow") -> Outcome:
    return multinode(command, str(code), "--project-name", name, *options)


@pytest.mark.slow
def test_a_first_deploy_creates_the_project_and_says_what_to_do_next(
    multinode: Multinode, local: FakeControlPlane, code: Path
) -> None:
    outcome = deploy(multinode, code)
    assert outcome.code == 0
    assert changes(local) == [("PUT", "/projects/slow"), ("POST", "/projects/slow/versions")]
    lines = outcome.out.splitlines()
    assert lines[0] == f"Version {version_id(1)}"
    assert lines[2].split()[0] == "FUNCTION"
    assert lines[3].startswith("slow_sum(n, delay_s=...)  0.5  1 GiB")
    assert outcome.err.endswith("Start one:\n  multinode invoke slow now --follow\n")
    assert "✓ Collected 1 file, " in outcome.err


@pytest.mark.slow
def test_what_is_registered_is_there_and_private(
    multinode: Multinode, local: FakeControlPlane, code: Path, tmp_path: Path
) -> None:
    (code / ".env").write_text("TOKEN=hunter2\n")
    outcome = deploy(multinode, code)
    definition = local.bodies[-1]
    assert [function["function_name"] for function in definition["functions"]] == ["slow_sum", "now"]
    bundle = definition["local_bundle"]
    assert Path(bundle["code_dir"], "main.py").read_text() == MAIN
    assert not Path(bundle["code_dir"], ".env").exists()
    assert os.access(bundle["python"], os.X_OK)
    assert json.loads(Path(bundle["env_file"]).read_text()) == {"TOKEN": "hunter2"}
    assert stat.S_IMODE(Path(bundle["env_file"]).stat().st_mode) == 0o600
    assert Path(bundle["env_file"]).parent == tmp_path / "data" / "secrets" / "slow"
    assert "hunter2" not in outcome.out + outcome.err + json.dumps(definition)


@pytest.mark.slow
def test_a_second_deploy_adds_a_version_and_uses_the_environment_again(
    multinode: Multinode, local: FakeControlPlane, code: Path
) -> None:
    deploy(multinode, code)
    for command in ("deploy", "upgrade"):
        outcome = deploy(multinode, code, "--json", command=command)
        assert "Environment (no requirements.txt): used again" in outcome.err
    printed = json.loads(outcome.out)
    assert (printed["version_id"], printed["project_created"]) == (version_id(3), False)
    assert [function["function_name"] for function in printed["functions"]] == ["slow_sum", "now"]


@pytest.mark.slow
def test_a_dry_run_registers_nothing_and_keeps_no_secret(
    multinode: Multinode, local: FakeControlPlane, code: Path, tmp_path: Path
) -> None:
    (code / ".env").write_text("TOKEN=hunter2\n")
    printed = json.loads(deploy(multinode, code, "--dry-run", "--json").out)
    assert (printed["dry_run"], printed["project_exists"], printed["files"]) == (True, False, 1)
    assert printed["variables"] == ["TOKEN"]
    assert [function["function_name"] for function in printed["functions"]] == ["slow_sum", "now"]
    assert changes(local) == []
    assert not (tmp_path / "data" / "secrets").exists()
    assert deploy(multinode, code, "--dry-run").err.endswith(
        "Nothing was registered. Without --dry-run this would create project slow.\n"
    )


@pytest.mark.slow
def test_variables_are_there_while_main_is_imported(multinode: Multinode, local: FakeControlPlane, code: Path) -> None:
    (code / ".env").write_text("TOKEN=hunter2\r\n")
    (code / "main.py").write_text("import os\nassert os.environ['TOKEN'] == 'hunter2'\n" + MAIN)
    assert deploy(multinode, code).code == 0


BAD_PROJECTS = {
    "an import that fails": (
        "import nothing_of_this_name\n" + MAIN,
        "ModuleNotFoundError: No module named 'nothing_of",
    ),
    "a syntax error": ("def f(:\n", "SyntaxError"),
    "no Multinode object": ("x = 1\n", "Multinode"),
    "two Multinode objects": (MAIN + "\nother = Multinode()\n\n@other.function()\ndef g():\n    pass\n", "Multinode"),
    "a function defined twice": (MAIN + "\n@mn.function()\ndef now():\n    pass\n", "now"),
    "no function": ("from multinode import Multinode\nmn = Multinode()\n", "function"),
    "memory that makes no sense": (MAIN.replace('"1 GiB"', '"much"'), "memory"),
    "sys.exit on import": ("import sys\nsys.exit(3)\n", "main.py"),
    "os._exit on import": ("import os\nos._exit(3)\n", "exit code 3"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("content", "message"), BAD_PROJECTS.values(), ids=BAD_PROJECTS.keys())
def test_a_project_that_cannot_be_used_is_refused_and_nothing_changes(
    multinode: Multinode, local: FakeControlPlane, code: Path, tmp_path: Path, content: str, message: str
) -> None:
    (code / "main.py").write_text(content)
    (code / ".env").write_text("TOKEN=hunter2\n")
    outcome = deploy(multinode, code)
    assert (outcome.code, outcome.out) == (2, "")
    error = outcome.err[outcome.err.index("error:") :]
    assert message in error
    assert str(tmp_path / "data") not in error
    assert changes(local) == []
    assert not (tmp_path / "data" / "secrets").exists()


@pytest.mark.slow
def test_a_version_that_is_refused_takes_the_new_project_with_it(
    multinode: Multinode, local: FakeControlPlane, code: Path
) -> None:
    too_large = refuses(ErrorCode.REQUEST_IS_INVALID, "functions[0].resource_spec: too large")
    local.on("POST", "/versions", before=lambda _: too_large)
    outcome = deploy(multinode, code)
    assert (outcome.code, outcome.err.splitlines()[-1]) == (2, "error: functions[0].resource_spec: too large")
    assert changes(local)[-1] == ("DELETE", "/projects/slow")


@pytest.mark.slow
def test_a_version_that_is_refused_leaves_a_project_that_was_there(
    multinode: Multinode, local: FakeControlPlane, code: Path
) -> None:
    local.add_project("slow", function_info("now"))
    local.on("POST", "/versions", before=lambda _: refuses(ErrorCode.REQUEST_IS_INVALID))
    assert deploy(multinode, code).code == 2
    assert changes(local) == [("POST", "/projects/slow/versions")]


@pytest.mark.slow
def test_a_project_that_somebody_else_creates_meanwhile_gets_another_version(
    multinode: Multinode, local: FakeControlPlane, code: Path
) -> None:
    """It was not there when the deploy looked, and is when the deploy creates it."""
    local.on("GET", "/projects/slow", after=lambda _: local.add_project("slow", function_info("now")))
    outcome = deploy(multinode, code, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["version_id"] == version_id(2)


@pytest.mark.slow
def test_a_control_plane_that_goes_away_before_the_end_says_how_to_look(
    multinode: Multinode, local: FakeControlPlane, code: Path
) -> None:
    local.on("POST", "/versions", before=lambda _: local.go_away())
    outcome = deploy(multinode, code)
    assert outcome.code == 3
    assert (
        "It is not known whether the version was registered: check with `multinode describe --project-name slow`"
        in outcome.err
    )


# --- the next command ---


@pytest.mark.parametrize(
    ("functions", "command"),
    [
        ([function_info("f", ["a", "b="]), function_info("g", ["a="])], "multinode invoke p g --follow"),
        (
            [function_info("f", ["a", "*, b", "*, c=", "*args", "**rest"])],
            "multinode invoke p f --arg a=… --arg b=… --follow",
        ),
        ([function_info("f", ["a, /", "b"])], "multinode invoke p f --args '[…, …]' --follow"),
        ([function_info("f") | {"signature": None}], "multinode invoke p f --follow"),
    ],
)
def test_the_next_command_is_that_of_the_function_that_needs_the_least(functions: list[Any], command: str) -> None:
    assert next_command("p", functions) == command

"""Programs and commands of the published package `multinode` 1.0.1 against a local control plane of this version."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.first_generation.conftest import FirstGeneration
from tests.support.cli.journey import User

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.requires("first_generation_python"),
    pytest.mark.timeout(300),
]


def test_it_logs_in_with_address_and_key(old: FirstGeneration) -> None:
    assert json.loads((old.home / ".multinode" / "config.json").read_text()) == {
        "api_url": old.url,
        "api_key": old.api_key,
    }


def test_a_wrong_key_is_refused_in_its_words(stranger: FirstGeneration) -> None:
    assert "API key is invalid." in stranger.log_in("mn_00000000_wrong").out
    assert "You are not logged in." in stranger.cli("list").out


def test_after_a_logout_it_is_logged_in_no_more(stranger: FirstGeneration) -> None:
    assert "You have successfully logged in!" in stranger.log_in(stranger.api_key).out
    assert "\tzoo\n" in stranger.cli("list").out
    assert "You have successfully logged out!" in stranger.cli("logout").out
    assert "You are not logged in." in stranger.cli("list").out


def test_a_program_may_have_address_and_key_from_its_environment(stranger: FirstGeneration) -> None:
    variables = {"MULTINODE_API_URL": stranger.url, "MULTINODE_API_KEY": stranger.api_key}
    assert stranger.value("function('square').call_remote(7)", **variables) == 49
    assert stranger.value("raised(lambda: function('square'))")[0] == "MissingEnvironmentVariableError"


def test_plain_arguments_of_every_kind_arrive_and_come_back(old: FirstGeneration) -> None:
    args: tuple[Any, ...] = (1, 2.5, "ü", None, True, [1, [2]], (3, (4,)), {5, 6}, b"seven", {"8": (9,)})
    kwargs: dict[str, Any] = {"a": (), "b": {"c": {1}}}
    statements = (f"args, kwargs = {args!r}, {kwargs!r}",)
    assert old.value("function('echo').call_remote(*args, **kwargs)", *statements) == (args, kwargs)
    assert old.value("function('echo').call_remote()") == ((), {})


def test_one_list_given_twice_arrives_as_one_list(old: FirstGeneration) -> None:
    assert old.value("function('same').call_remote(a, a), function('same').call_remote(a, [1])", "a = [1]") == (
        True,
        False,
    )


def test_map_and_starmap_give_the_results_in_order(old: FirstGeneration) -> None:
    assert old.value("list(function('square').map(range(4)))") == [0, 1, 4, 9]
    assert old.value("list(function('echo').starmap([(1, 2), (3,)]))") == [((1, 2), {}), ((3,), {})]


def test_keys_that_are_not_text_come_as_the_text_that_they_were_there(old: FirstGeneration) -> None:
    assert old.value("function('table').call_remote()") == {"1": "one", "null": ["nothing"]}


def test_a_result_that_is_not_plain_comes_as_a_dictionary_that_says_what_it_is(old: FirstGeneration) -> None:
    result = old.value("function('new_year').call_remote()")
    assert (result["__multinode__"], result["repr"]) == ("cloudpickle", "datetime.date(2026, 1, 1)")


def test_a_result_never_makes_an_object_in_the_calling_program(old: FirstGeneration) -> None:
    assert old.value("function('look_alike').call_remote()")["repr"] == "{'py/object': 'builtins.bytearray'}"


def test_an_argument_that_is_not_plain_fails_and_says_what_to_do(old: FirstGeneration) -> None:
    name, message = old.value(
        "raised(lambda: function('echo').call_remote(datetime.date(2026, 1, 1)))", "import datetime"
    )
    assert name == "InvocationFailedError"
    assert message.startswith("PayloadError: A value from a program with multinode 1.0 is read only if it is plain")
    assert '{"py/object": "datetime.date"' in message


def test_progress_is_read_while_the_function_runs(old: FirstGeneration, tmp_path: Path) -> None:
    path = tmp_path / "go"
    running, finished = old.value(
        "running, (finished.status.value, finished.result)",
        "steps = function('steps')",
        f"id = steps.start({str(path)!r})",
        "until(lambda: steps.get(id).result)",
        "found = steps.get(id)",
        "running = found.status is InvocationStatus.RUNNING, found.result, found.error, found.readable_status()",
        f"open({str(path)!r}, 'w').close()",
        "steps.await_result(id)",
        "finished = steps.get(id)",
    )
    assert running == (True, ("waiting for", {str(path)}), None, "(RUNNING)")
    assert finished == ("SUCCEEDED", ("done", b"steps"))


def test_a_cancelled_function_is_cancelled_for_it_too(old: FirstGeneration) -> None:
    status, again, error = old.value(
        "steps.get(id).status.value, raised(lambda: steps.cancel(id))[0], raised(lambda: steps.await_result(id))",
        "steps = function('steps')",
        "id = steps.start('/never')",
        "until(lambda: steps.get(id).status == InvocationStatus.RUNNING)",
        "steps.cancel(id)",
        "until(lambda: steps.get(id).terminated)",
    )
    assert (status, again) == ("CANCELLED", "InvocationIsAlreadyTerminated")
    assert error == ("InvocationCancelledError", "Invocation was cancelled.")


def test_a_failing_function_raises_its_message(old: FirstGeneration) -> None:
    error, failed, readable = old.value(
        "error, found.num_failed_attempts, found.readable_status()",
        "fail = function('fail')",
        "id = fail.start('no luck')",
        "error = raised(lambda: fail.await_result(id))",
        "until(lambda: fail.get(id).terminated)",
        "found = fail.get(id)",
    )
    assert error == ("InvocationFailedError", "ValueError: no luck")
    assert (failed, readable) == (2, "(FAILED, 2 failed attempts)")


def test_a_function_that_takes_too_long_times_out(old: FirstGeneration) -> None:
    error = old.value("raised(lambda: function('too_long').call_remote())")
    assert error == ("InvocationTimedOutError", "Invocation timed out.")


def test_invocations_are_listed_page_by_page(old: FirstGeneration) -> None:
    started, first, second, end = old.value(
        "started, first.invocation_ids, second.invocation_ids, second.next_offset",
        "narrow = function('narrow')",
        "started = [narrow.start() for _ in range(52)]",
        "first = narrow.list()",
        "second = narrow.list(first.next_offset)",
    )
    assert end is None
    assert len(first) == 50
    assert first + second == started[::-1]


def test_what_does_not_exist_raises_its_errors(old: FirstGeneration) -> None:
    assert old.value("raised(lambda: function('square', 'no-zoo'))") == (
        "ProjectDoesNotExist",
        "A project with this name does not exist",
    )
    assert old.value("raised(lambda: function('cube'))")[0] == "FunctionDoesNotExist"
    name, _ = old.value("raised(lambda: function('square').get('inv-00000000000000000000000000000000'))")
    assert name == "InvocationDoesNotExist"


def test_its_commands_describe_projects_functions_and_invocations(old: FirstGeneration) -> None:
    invocation_id = old.value(
        "id",
        "fail = function('fail')",
        "id = fail.start('described')",
        "until(lambda: fail.get(id).terminated)",
    )
    of_the_function = ("--project-name", "zoo", "--function-name", "fail")
    assert "\tzoo\n" in old.cli("list").out
    project = old.cli("describe", "--project-name", "zoo").out
    assert "zoo versions:" in project
    assert "(latest) functions:" in project
    function = old.cli("describe", *of_the_function).out
    assert "max retries: 1\n" in function
    assert f"{invocation_id} (terminated):" in function
    invocation = old.cli("describe", *of_the_function, "--invocation-id", invocation_id).out
    assert f"{invocation_id} (FAILED, 2 failed attempts):" in invocation
    assert invocation.count("error message: ValueError: described\n") == 2
    execution_id = next(line for line in invocation.splitlines() if line.startswith("\texe-")).strip("\t:")
    logs = old.cli("logs", *of_the_function, "--invocation-id", invocation_id, "--execution-id", execution_id)
    assert "about to fail" in logs.out
    nowhere = old.cli("describe", "--project-name", "no-zoo")
    assert (nowhere.code, nowhere.out) == (1, 'Project "no-zoo" does not exist.\n')


def test_deploying_with_its_command_is_refused_and_makes_nothing(old: FirstGeneration) -> None:
    (old.home / "main.py").write_text("from multinode import Multinode\nmn = Multinode()\n")
    deployed = old.cli("deploy", ".", "--project-name", "with-the-old-command")
    assert deployed.code == 1
    assert "with-the-old-command" not in old.cli("list").out


def test_its_command_undeploys_a_project(old: FirstGeneration, user: User) -> None:
    assert user.run("deploy", "zoo", "--project-name", "doomed").code == 0
    assert "successfully marked for deletion" in old.cli("undeploy", "--project-name", "doomed").out


def test_the_current_package_reads_what_it_started(old: FirstGeneration, user: User) -> None:
    invocation_id = old.value(
        "id", "echo = function('echo')", "id = echo.start((1, 'a'), b={2})", "echo.await_result(id)"
    )
    shown = user.run("get", invocation_id).out
    assert "echo((1, 'a'), b={2})" in shown
    assert "(((1, 'a'),), {'b': {2}})" in shown

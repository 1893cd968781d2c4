"""Did you mean …?"""

import pytest

from multinode_cli.console.suggestions import closest, corrected_command, unknown_id, unknown_name


@pytest.mark.parametrize(
    ("wrong", "names", "right"),
    [
        ("slow_sun", ["slow_sum", "other"], "slow_sum"),
        ("TSP", ["tsp", "web"], "tsp"),
        ("slow-sum", ["slow_sum"], "slow_sum"),
        ("0000001f", ["inv-0000001e", "inv-0000001f"], "inv-0000001f"),
        ("zebra", ["slow_sum"], None),
        ("anything", [], None),
    ],
)
def test_the_nearest_name_is_found_if_one_is_near(wrong: str, names: list[str], right: str | None) -> None:
    assert closest(wrong, names) == right


def test_a_beginning_that_two_ids_share_decides_nothing() -> None:
    ids = ["inv-01" + "a" * 30, "inv-01" + "b" * 30]
    assert unknown_id("invocation", "inv-01", ids, ["get", "inv-01"]) is None


def test_the_corrected_command_keeps_everything_else_and_quotes_it() -> None:
    typed = ["invoke", "tps", "solve", "--args", '{"n": 3}', "--version-id=latest"]
    assert corrected_command(typed, "tps", "tsp") == (
        "multinode invoke tsp solve --args '{\"n\": 3}' --version-id=latest"
    )


def test_a_value_joined_to_its_option_is_corrected() -> None:
    assert corrected_command(["list", "--project-name=tps"], "tps", "tsp") == "multinode list --project-name=tsp"


def test_only_the_first_occurrence_is_corrected() -> None:
    assert corrected_command(["invoke", "a", "a"], "a", "b") == "multinode invoke b a"


def test_without_a_near_name_those_that_exist_are_listed() -> None:
    message = unknown_name("project", "zebra", ["tsp", "web"], ["describe", "zebra"])
    assert message == "there is no project named 'zebra'. Existing: tsp, web"


def test_of_many_names_the_first_are_listed() -> None:
    names = [f"project-{number}" for number in range(10)]
    message = unknown_name("project", "zebra", names, ["describe", "zebra"])
    assert message.endswith("project-7 and 2 more")
    assert "project-8" not in message


def test_a_name_is_shown_without_what_a_terminal_would_obey() -> None:
    assert unknown_name("project", "\x1b[2Jx\u202e", [], []) == "there is no project named 'x'."


def test_an_id_copied_incompletely_is_recognised() -> None:
    ids = ["inv-" + "0123456789abcdef" * 2]
    message = unknown_id("invocation", "inv-0123456789abcdef", ids, ["get", "inv-0123456789abcdef"])
    assert message is not None
    assert message.endswith(f"multinode get {ids[0]}")

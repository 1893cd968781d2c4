"""The page that describes the API knows every route, every error and every limit, and none that does not exist."""

import re
from pathlib import Path

from multinode_control_plane.handlers.api import ROUTES
from multinode_protocol import limits
from multinode_protocol.error_codes import ERRORS, ErrorCode

PAGE = (Path(__file__).parents[3] / "docs" / "rest-api.md").read_text(encoding="utf-8")
LETTERS = {"project_name": "P", "version": "V", "function_name": "F", "invocation_id": "I", "execution_id": "E"}


def section(name: str) -> str:
    return PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_the_page_lists_exactly_the_routes_that_there_are() -> None:
    documented = re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", section("Routes"), re.MULTILINE)
    existing = [f"{one.method} {re.sub('<([a-z_]+)>', lambda part: LETTERS[part[1]], one.rule)}" for one in ROUTES]
    assert sorted(documented) == sorted(existing)


def test_the_page_lists_exactly_the_errors_that_there_are_with_status_and_message() -> None:
    rows = re.findall(r"^\| `([A-Za-z]+)` \| ([0-9]+) \| (.*) \|$", section("Errors"), re.MULTILINE)
    assert {(code, int(status)) for code, status, _ in rows} == {
        (str(code), failure.status) for code, failure in ERRORS.items()
    }
    for code, _, words in rows:
        assert words.startswith(ERRORS[ErrorCode(code)].message)


def test_the_page_states_the_limits_that_are_enforced() -> None:
    stated = section("Limits")
    for number in (
        limits.MAX_BODY_BYTES,
        limits.MAX_PAYLOAD_BYTES,
        limits.MAX_ERROR_CHARS,
        limits.MAX_PROJECT_NAME_CHARS,
        limits.MAX_FUNCTION_NAME_CHARS,
        limits.MAX_FUNCTIONS,
        limits.MAX_CONCURRENCY,
        limits.MAX_RETRIES,
        limits.MAX_TIMEOUT_S,
        limits.MAX_QUEUE_S,
        limits.MAX_GRACE_S,
        limits.MAX_LOG_LINES,
        limits.MAX_PAGE,
        limits.MAX_WAIT_S,
        limits.MAX_CRON_CHARS,
        limits.MAX_TIMEZONE_CHARS,
        limits.MIN_EVERY_S,
        limits.MAX_EVERY_S,
    ):
        assert re.search(rf"\b{number:,}\b", stated), number
    assert f"up to {limits.MAX_CPU:.0f} and {limits.MAX_MEMORY_GBS:.0f}" in stated

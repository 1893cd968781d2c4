"""docs/automation.md: its code runs, its schemas are those of the code, its limits those that are enforced."""

import json
import re
from pathlib import Path

import pytest

from multinode import Cron, Every
from multinode.errors import ParameterValidationError
from multinode_control_plane.adapters.aws.eventbridge import DETAIL_TYPE, SOURCE, detail_of
from multinode_control_plane.adapters.aws.trigger_events import trigger_request
from multinode_control_plane.ports import Announcement
from multinode_protocol.limits import MAX_PAYLOAD_BYTES
from tests.support.records import NOW, busy_invocation

PAGE = (Path(__file__).parents[2] / "docs" / "automation.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_of_schedules_defines_two_functions() -> None:
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(code, "automation.md", "exec"), names)
    specs = {name: function.spec() for name, function in names["mn"].functions.items()}  # type: ignore[attr-defined]
    assert specs["report"]["schedule"] == {"cron": "0 9 * * MON-FRI", "timezone": "Europe/London"}
    assert specs["tidy"]["schedule"] == {"every_seconds": 3600}


def test_what_the_page_calls_refused_is_refused_and_the_rest_is_not() -> None:
    for field in ("@daily", "0 0 L * *", "0 0 15W * *", "0 0 * * 2#1", "0 0 ? * *", "5/15 * * * *", "0 0 30 2 *"):
        with pytest.raises(ParameterValidationError):
            Cron(field)
    assert Cron("*/10 8-17 * * *") == Cron("*/10 8-17 * * *", "UTC")
    assert Cron("0 8-18/2 * * *").expression == "0 8-18/2 * * *"
    assert "from 1 minute to 365 days" in PAGE
    assert Every(minutes=1).spec() == {"every_seconds": 60}
    assert Every(days=365).spec() == {"every_seconds": 365 * 86_400}


def test_the_announcement_is_shown_with_the_fields_that_it_has() -> None:
    (shown,) = [json.loads(block) for block in blocks("json") if "detail-type" in block]
    sent = detail_of(Announcement(busy_invocation(), None, NOW), "default")
    assert list(shown["detail"]) == list(sent)
    assert (shown["source"], shown["detail-type"]) == (SOURCE, DETAIL_TYPE)
    table = PAGE.split("| field | |")[-1].split("\n\n")[0]
    assert set(sent) <= set(re.findall(r"`(\w+)`", table))


def test_the_patterns_of_the_page_are_those_of_announcements() -> None:
    patterns = re.findall(r"source +=? ?\[\"multinode\"]\s+detail-type = \[\"(.*?)\"]", PAGE)
    assert patterns == [DETAIL_TYPE, DETAIL_TYPE]


def test_every_path_of_the_page_is_one_that_the_trigger_takes() -> None:
    paths = set(re.findall(r'"(\$\.detail\.(?:bucket|object|invocation_id)[\w.]*)"', PAGE))
    assert len(paths) >= 3
    detail = {"bucket": {"name": "b"}, "object": {"key": "k"}, "invocation_id": "i"}
    for path in paths:
        request = trigger_request(
            {
                "multinode": {
                    "project_name": "p",
                    "version_id": "latest",
                    "function_name": "f",
                    "arguments_from_event": {"x": path},
                },
                "source": "s",
                "event": {"id": "e", "time": "2026-11-20T09:00:00Z", "detail": detail},
            }
        )
        assert request.input_text.startswith('[[],{"x":"')
    assert f"{MAX_PAYLOAD_BYTES:,} bytes" in PAGE

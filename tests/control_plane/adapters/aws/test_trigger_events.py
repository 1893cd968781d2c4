"""Events that start functions: arguments from the event, one invocation per event, and errors that say which part."""

from datetime import UTC, datetime
from typing import Any

import pytest

from multinode_control_plane.adapters.aws import eventbridge, trigger_events
from multinode_control_plane.adapters.aws.trigger_events import EventIsInvalid, trigger_request
from multinode_control_plane.core.names import is_invocation_id
from multinode_control_plane.core.records import Invocation, Project
from multinode_control_plane.core.triggers import TriggerRequest, derived_invocation_id
from multinode_control_plane.ports import Put
from multinode_control_plane.services import triggers
from multinode_control_plane.services.triggers import NotStarted
from multinode_protocol.limits import MAX_PAYLOAD_BYTES
from tests.support.world import World

RULE = "arn:aws:events:eu-west-1:123456789012:rule/upload"
EVENT: dict[str, Any] = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "time": "2026-11-20T09:00:01Z",
    "resources": ["arn:aws:s3:::uploads", "second"],
    "detail": {
        "bucket": {"name": "uploads"},
        "object": {"key": "été/a b.csv", "size": 5, "etag": None},
        "tags": [{"a/b_c-d": True}],
    },
}


def made(event: object = EVENT, **multinode: object) -> dict[str, object]:
    """Return the trigger's event; `multinode` changes or (None) removes parts of the mapping."""
    request: dict[str, object] = {"project_name": "p", "version_id": "latest", "function_name": "f"}
    request |= {"fixed_arguments": {}, "arguments_from_event": {}}
    request |= multinode
    return {"multinode": {k: v for k, v in request.items() if v is not None}, "source": RULE, "event": event}


def input_of(**paths: str) -> str:
    return trigger_request(made(arguments_from_event=paths)).input_text


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("$.detail.object.key", '"été/a b.csv"'),
        ("$.detail.object.size", "5"),
        ("$.detail.object.etag", "null"),
        ("$.resources[1]", '"second"'),
        ("$.detail.tags[0].a/b_c-d", "true"),
        ("$.detail-type", '"Object Created"'),
        ("$.detail.bucket", '{"name":"uploads"}'),
    ],
)
def test_an_argument_is_what_lies_at_its_path(path: str, text: str) -> None:
    assert input_of(x=path) == f'[[],{{"x":{text}}}]'


def test_the_whole_event_can_be_an_argument() -> None:
    event = {"id": "e", "time": "2026-11-20T09:00:01Z"}
    request = trigger_request(made(event, arguments_from_event={"event": "$"}))
    assert request.input_text == '[[],{"event":{"id":"e","time":"2026-11-20T09:00:01Z"}}]'


def test_fixed_arguments_come_with_those_of_the_event() -> None:
    request = trigger_request(made(fixed_arguments={"language": "en"}, arguments_from_event={"key": "$.resources[1]"}))
    assert request.input_text == '[[],{"language":"en","key":"second"}]'


def test_an_event_can_start_a_function_without_arguments() -> None:
    assert trigger_request(made(fixed_arguments=None, arguments_from_event=None)).input_text == "[[],{}]"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("$.detail.objekt.key", "the event has no $.detail.objekt: $.detail has bucket, object, tags"),
        ("$.detail.object.key.x", "the event has no $.detail.object.key.x: $.detail.object.key is a string of its own"),
        ("$.detail.object.size.x", "the event has no $.detail.object.size.x: $.detail.object.size is a value of its"),
        ("$.detail.object.etag.x", "the event has no $.detail.object.etag.x: $.detail.object.etag is null"),
        ("$.resources[2]", "the event has no $.resources[2]: $.resources has 2 items"),
        ("$.resources.x", "the event has no $.resources.x: $.resources has 2 items"),
        ("$.detail[0]", "the event has no $.detail[0]: $.detail has bucket, object, tags"),
        ("$[0]", "the event has no $[0]: $ has version, id, detail-type"),
    ],
)
def test_a_path_that_leads_nowhere_is_named_with_where_it_ends(path: str, problem: str) -> None:
    with pytest.raises(EventIsInvalid) as refused:
        input_of(key=path)
    assert str(refused.value).startswith(f"arguments_from_event.key is {path}, but {problem}")


def test_a_message_lists_only_so_many_names() -> None:
    event = EVENT | {"detail": {f"n{number}": 1 for number in range(11)}}
    with pytest.raises(EventIsInvalid, match=r"\$\.detail has n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, …$"):
        trigger_request(made(event, arguments_from_event={"x": "$.detail.y"}))
    with pytest.raises(EventIsInvalid, match=r"\$\.detail has nothing$"):
        trigger_request(made(EVENT | {"detail": {}}, arguments_from_event={"x": "$.detail.y"}))


@pytest.mark.parametrize("path", ["", "detail", "$.", "$.a..b", "$.a[x]", "$.a[-1]", "$.a[?(@.b)]", "$.a\n", 5])
def test_what_is_no_path_is_refused(path: object) -> None:
    with pytest.raises(EventIsInvalid, match=r"^arguments_from_event\.x is .*, which is not a path such as \$\.detail"):
        trigger_request(made(arguments_from_event={"x": path}))


def test_an_argument_is_given_once() -> None:
    with pytest.raises(EventIsInvalid, match="the argument key is both fixed and taken from the event"):
        trigger_request(made(fixed_arguments={"key": 1}, arguments_from_event={"key": "$.id"}))


def test_arguments_that_are_too_big_say_what_to_do() -> None:
    # [[],{"x":""}] has 13 bytes, and é takes two.
    event = EVENT | {"detail": "é" * ((MAX_PAYLOAD_BYTES - 12) // 2)}
    fits = trigger_request(
        made(EVENT | {"detail": "é" * ((MAX_PAYLOAD_BYTES - 13) // 2)}, arguments_from_event={"x": "$.detail"})
    )
    assert len(fits.input_text.encode()) == MAX_PAYLOAD_BYTES - 1
    with pytest.raises(EventIsInvalid, match="the arguments take 250001 bytes, but a function's input may have 250000"):
        trigger_request(made(event, arguments_from_event={"x": "$.detail"}))


@pytest.mark.parametrize("value", ["\ud800", float("nan")])
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(EventIsInvalid, match="the arguments cannot be written as JSON in UTF-8"):
        trigger_request(made(EVENT | {"detail": value}, arguments_from_event={"x": "$.detail"}))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({}, "multinode is null, but must be an object"),
        ({"multinode": {}}, "event is null, but must be an object"),
        ({"multinode": {}, "event": EVENT}, "source is null, but must be a string"),
        (made(project_name=""), 'project_name is "", but must be a string that is not empty'),
        (made(function_name=7), "function_name is 7, but must be a string"),
        (made(version_id=None), "version_id is null, but must be a string"),
        (made(fixed_arguments=["x" * 200]), 'fixed_arguments is ["' + "x" * 98 + "…, but must be an object"),
        (made(EVENT | {"id": None}), "id is null, but must be a string"),
        (made(EVENT | {"time": "soon"}), """the event's time is "soon", not a time such as 2026-01-31T09:00:00Z"""),
        (made(EVENT | {"time": "2026-11-20T09:00:01"}), "the event's time is"),
    ],
)
def test_an_event_that_is_not_the_trigger_s_is_refused_by_its_part(data: dict[str, object], problem: str) -> None:
    with pytest.raises(EventIsInvalid) as refused:
        trigger_request(data)
    assert str(refused.value).startswith(problem)


# --- the invocation's id ----------------------------------------------------------------------------------------------

AT = datetime(2026, 11, 20, 9, 0, 1, tzinfo=UTC)


def test_the_id_is_a_uuid_of_version_7_with_the_event_s_time() -> None:
    request = trigger_request(made())
    assert is_invocation_id(request.invocation_id)
    digits = request.invocation_id.removeprefix("inv-")
    assert int(digits[:12], 16) == 1_795_165_201_000  # 2026-11-20T09:00:01Z in ms
    assert digits[12] == "7"
    assert digits[16] in "89ab"


def test_the_id_never_changes_from_one_release_to_the_next() -> None:
    # The SHA-256 of ["a", "b", "c", "d"] begins with c6cce423a05e82c09a6c, 80 bits. Its upper 18 are 31b33, of which
    # 12 follow the version, 7; its lower 62 follow the variant, binary 10, so that e (1110) becomes a.
    assert derived_invocation_id("a", "b", "c", "d", at=AT) == "inv-01a1f82f2268" + "7b33" + "a423a05e82c09a6c"


def announcement(event_id: str, **detail: object) -> dict[str, object]:
    told = {"invocation_id": "inv-1", "status": "SUCCEEDED", "time_ms": 5} | detail
    return {"id": event_id, "time": "2026-11-20T09:00:01Z", "source": "multinode", "detail": told}


def test_the_same_announcement_twice_is_one_event_and_another_status_another() -> None:
    def id_of(event: object) -> str:
        return trigger_request(made(event)).invocation_id

    first = id_of(announcement("e1"))
    assert id_of(announcement("e2")) == first
    assert id_of(announcement("e1", status="FAILED")) != first
    assert id_of(announcement("e1", invocation_id="inv-2")) != first
    # Only of announcements is that known: others go by their id.
    assert id_of(announcement("e1") | {"source": "shop"}) != id_of(announcement("e2") | {"source": "shop"})
    assert id_of(announcement("e1", time_ms=None)) != id_of(announcement("e2", time_ms=None))
    assert id_of(announcement("e1") | {"detail": []}) != id_of(announcement("e2") | {"detail": []})


def test_our_announcements_are_known_by_their_source() -> None:
    assert trigger_events.ANNOUNCEMENTS == eventbridge.SOURCE


def test_each_part_of_the_event_s_identity_makes_another_id() -> None:
    ids = {
        derived_invocation_id(*parts, at=AT)
        for parts in [
            ("a", "b", "c", "d"),
            ("x", "b", "c", "d"),
            ("a", "x", "c", "d"),
            ("a", "b", "x", "d"),
            ("a", "b", "c", "x"),
            ("ab", "", "c", "d"),
        ]
    }
    assert len(ids) == 6


# --- starting ---------------------------------------------------------------------------------------------------------


def start(world: World, **multinode: object) -> Invocation:
    return triggers.start(world.context, trigger_request(made(**multinode)))


def test_the_function_of_the_newest_version_is_started() -> None:
    world = World()
    started = start(world, arguments_from_event={"key": "$.resources[1]"})
    assert (started.version_id, started.function_name, started.parent) == ("ver-1", "f", None)
    assert world.input_of(started.invocation_id) == '[[],{"key":"second"}]'


def test_an_event_that_is_brought_again_starts_nothing_more() -> None:
    world = World()
    first = start(world)
    world.react()
    world.advance(3600)
    assert start(world).invocation_id == first.invocation_id
    assert len(world.store.records(Invocation)) == 1


@pytest.mark.parametrize(
    ("request_part", "message"),
    [
        (
            {"project_name": "q"},
            r"^q/f \(version latest\) was not started as inv-.*: A project with this name does not",
        ),
        ({"function_name": "g"}, r"^p/g \(version latest\) was not started as inv-.*: A function with this name does"),
        ({"version_id": "ver-" + "0" * 32}, r"^p/f \(version ver-0{32}\) was not started .*: A version with this ID"),
    ],
)
def test_what_does_not_exist_is_not_started_and_named(request_part: dict[str, object], message: str) -> None:
    with pytest.raises(NotStarted, match=message):
        start(World(), **request_part)


def test_a_project_that_is_being_deleted_starts_nothing() -> None:
    world = World()
    world.store.commit([Put(Project("p", world.clock.now(), world.clock.now()), 1)])
    with pytest.raises(NotStarted, match="The project is being deleted"):
        start(world)


def test_a_request_is_read_whole() -> None:
    assert trigger_request(made()) == TriggerRequest(
        "p",
        "latest",
        "f",
        derived_invocation_id(RULE, "17793124-05d4-b198-2fde-7ededc63b103", "p", "f", at=AT),
        "[[],{}]",
    )

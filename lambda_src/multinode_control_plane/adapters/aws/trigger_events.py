"""Events to invocations: what an event's mapping asks for, and an invocation id that is the same if the event repeats.

EventBridge may deliver an event twice, with the same id. One of our announcements may also be *sent* twice, with
different ids; it is then recognised by what it announces.

The event of the trigger, made by `terraform/modules/trigger` and by the schedules that `multinode deploy` makes:

{"multinode": {"project_name", "version_id": id or "latest", "function_name",
               "fixed_arguments": {parameter: value}, "arguments_from_event": {parameter: "$.a.b[0]" or "$"}},
 "source": ARN of the rule or schedule,
 "event": the whole event, with "id" and "time"}
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime

from multinode_control_plane.core.triggers import TriggerRequest, derived_invocation_id
from multinode_protocol.limits import MAX_PAYLOAD_BYTES

_PATH = re.compile(r"\$(?:\.[A-Za-z0-9_/-]+|\[[0-9]+\])*")
_STEP = re.compile(r"\.([A-Za-z0-9_/-]+)|\[([0-9]+)\]")
ANNOUNCEMENTS = "multinode"
"""The source of our own announcements."""
MAX_SHOWN_NAMES = 10
MAX_SHOWN_CHARS = 100


class EventIsInvalid(Exception):
    """The event cannot start a function, however often it is delivered. The text names the part that is wrong."""


def trigger_request(data: Mapping[str, object]) -> TriggerRequest:
    """Return what an event of the trigger asks for. Raises EventIsInvalid."""
    request = _object(data, "multinode")
    event = _object(data, "event")
    source = _text(data, "source")
    project_name, function_name = _text(request, "project_name"), _text(request, "function_name")
    from_event = _object(request, "arguments_from_event", optional=True)
    arguments = dict(_object(request, "fixed_arguments", optional=True))
    for parameter, path in from_event.items():
        if parameter in arguments:
            raise EventIsInvalid(f"the argument {parameter} is both fixed and taken from the event; give it once")
        arguments[parameter] = _value_at(event, path, f"arguments_from_event.{parameter}")
    return TriggerRequest(
        project_name,
        _text(request, "version_id"),
        function_name,
        derived_invocation_id(source, _identity(event), project_name, function_name, at=_time(_text(event, "time"))),
        _input_text(arguments),
    )


def _identity(event: Mapping[str, object]) -> str:
    """Return a text that is the same however often the event comes."""
    event_id, detail = _text(event, "id"), event.get("detail")
    if event.get("source") != ANNOUNCEMENTS or not isinstance(detail, Mapping):
        return event_id
    announced = [detail.get(name) for name in ("invocation_id", "status", "time_ms")]
    return event_id if None in announced else json.dumps(announced)


def _value_at(event: object, path: object, name: str) -> object:
    """Return the part of `event` at a path such as ``$.a.b[0]``; ``$`` is all of it."""
    if not isinstance(path, str) or _PATH.fullmatch(path) is None:
        raise EventIsInvalid(f"{name} is {_shown(path)}, which is not a path such as $.detail.items[0].id")
    value, walked = event, "$"
    for name_step, index_step in _STEP.findall(path):
        if name_step:
            found = isinstance(value, Mapping) and name_step in value
            following = value[name_step] if isinstance(value, Mapping) and found else None
            step = f".{name_step}"
        else:
            found = isinstance(value, list) and int(index_step) < len(value)
            following = value[int(index_step)] if isinstance(value, list) and found else None
            step = f"[{index_step}]"
        if not found:
            raise EventIsInvalid(f"{name} is {path}, but the event has no {walked}{step}: {walked} {_kind(value)}")
        value, walked = following, walked + step
    return value


def _input_text(arguments: Mapping[str, object]) -> str:
    """Return the arguments as the input of a call by name. It is a list, so no argument can pass for an envelope."""
    try:
        text = json.dumps([[], arguments], ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except ValueError as error:
        raise EventIsInvalid(f"the arguments cannot be written as JSON in UTF-8: {error}") from error
    if size > MAX_PAYLOAD_BYTES:
        raise EventIsInvalid(
            f"the arguments take {size} bytes, but a function's input may have {MAX_PAYLOAD_BYTES}: pass less of the "
            "event, such as the key of an object in S3"
        )
    return text


def _object(data: Mapping[str, object], name: str, *, optional: bool = False) -> Mapping[str, object]:
    value = data.get(name)
    if value is None and optional:
        return {}
    if not isinstance(value, Mapping):
        raise EventIsInvalid(f"{name} is {_shown(value)}, but must be an object")
    return value


def _text(data: Mapping[str, object], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise EventIsInvalid(f"{name} is {_shown(value)}, but must be a string that is not empty")
    return value


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise EventIsInvalid(f"the event's time is {_shown(text)}, not a time such as 2026-01-31T09:00:00Z") from error
    if at.tzinfo is None:
        raise EventIsInvalid(f"the event's time is {_shown(text)}, which has no time zone")
    return at


def _kind(value: object) -> str:
    """Return what a part of an event is, for a message: its keys or length, never its contents."""
    if isinstance(value, Mapping):
        names = ", ".join(list(value)[:MAX_SHOWN_NAMES]) or "nothing"
        return f"has {names}{', …' if len(value) > MAX_SHOWN_NAMES else ''}"
    if isinstance(value, list):
        return f"has {len(value)} items"
    return "is null" if value is None else f"is a {'string' if isinstance(value, str) else 'value'} of its own"


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…"

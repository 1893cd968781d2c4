"""Checking requests: everything that a client sends is checked here, once, before anything else uses it.

Raises Refused: REQUEST_IS_INVALID with the field, what is wrong with it and what is allowed, unless another code is
named. Apart from that, every function here accepts every JSON object.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from multinode_control_plane.api.fields import Fields, shown
from multinode_control_plane.api.json_text import JsonObject
from multinode_control_plane.core.errors import Refused, invalid
from multinode_control_plane.core.names import is_invocation_id, is_project_name
from multinode_control_plane.core.records import FunctionSpec, LocalBundle, ParentRef
from multinode_control_plane.core.worker_transitions import FinishReport
from multinode_control_plane.services.projects import VersionRequest
from multinode_protocol import limits
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.function_options import (
    ExceptionNames,
    ExecutionSpec,
    Memory,
    Number,
    Option,
    ResourceSpec,
    RetryOptions,
    RetryPolicy,
    Seconds,
    WholeNumber,
    WholeSeconds,
    options_of,
)
from multinode_protocol.schedules import (
    NoTimezoneData,
    Schedule,
    ScheduleError,
    check_cron,
    check_every,
    check_timezone,
)
from multinode_protocol.status import AbortReason, Outcome

PROJECT_NAMES = f"1 to {limits.MAX_PROJECT_NAME_CHARS} ASCII letters, digits, _ and -, beginning with a letter or digit"
FUNCTION_NAMES = f"a Python identifier of at most {limits.MAX_FUNCTION_NAME_CHARS} ASCII letters, digits and _"
MAX_IMAGE_CHARS = 1024
MAX_PATH_CHARS = 4096
MAX_DESCRIPTION_CHARS = 500
MAX_PARAMETER_CHARS = 200
MAX_BASES = 200
MAX_SEQUENCE = 2**53
"""The largest whole number that every JSON parser reads exactly."""
MAX_NONCE_CHARS = 128
MAX_IDENTIFIER_CHARS = 512
UTC = Schedule().timezone
T = TypeVar("T")


# --- names and ids --------------------------------------------------------------------------------------------------


def new_project_name(text: str) -> str:
    """Return the name for a new project. Raises Refused: PROJECT_NAME_IS_TOO_LONG, REQUEST_IS_INVALID."""
    if len(text) > limits.MAX_PROJECT_NAME_CHARS:
        raise Refused(ErrorCode.PROJECT_NAME_IS_TOO_LONG)
    if not is_project_name(text):
        raise invalid("project_name", f"is {shown(text)}", PROJECT_NAMES)
    return text


# --- versions -------------------------------------------------------------------------------------------------------


def version_request(data: JsonObject) -> VersionRequest:
    """Return the version that a `VersionDefinition` body defines."""
    body = Fields(data)
    functions = tuple(_function(item) for item in body.objects("functions", least=1, most=limits.MAX_FUNCTIONS))
    names: set[str] = set()
    for index, spec in enumerate(functions):
        if spec.function_name in names:
            raise invalid(
                f"functions[{index}].function_name", f"is {shown(spec.function_name)} again", "each name once"
            )
        names.add(spec.function_name)
    return VersionRequest(
        default_docker_image=body.text("default_docker_image", max_chars=MAX_IMAGE_CHARS, printable=True),
        functions=functions,
        local_bundle=_local_bundle(body.optional_object("local_bundle")),
        task_definition=body.optional_text("task_definition", max_chars=MAX_IMAGE_CHARS, printable=True),
    )


def _function(body: Fields) -> FunctionSpec:
    description = body.optional_text("description", max_bytes=limits.MAX_BODY_BYTES)
    return FunctionSpec(
        function_name=body.text(
            "function_name",
            max_chars=limits.MAX_FUNCTION_NAME_CHARS,
            pattern=limits.FUNCTION_NAME_PATTERN,
            described=FUNCTION_NAMES,
        ),
        docker_image_override=body.optional_text("docker_image_override", max_chars=MAX_IMAGE_CHARS, printable=True),
        resource_spec=_options(ResourceSpec, body.object("resource_spec")),
        execution_spec=_options(ExecutionSpec, body.object("execution_spec")),
        # A long docstring is not a reason to refuse a deploy.
        description=None if description is None else description[:MAX_DESCRIPTION_CHARS],
        signature=body.texts("signature", most=limits.MAX_PARAMETERS, max_chars=MAX_PARAMETER_CHARS),
        schedule=_schedule(body.optional_object("schedule")),
    )


def _schedule(body: Fields | None) -> Schedule | None:
    if body is None:
        return None
    if body.given("cron") == body.given("every_seconds"):
        raise invalid(body.path, "has not one of `cron` and `every_seconds`", "exactly one of the two")
    if body.given("every_seconds"):
        every_s = body.whole("every_seconds", least=limits.MIN_EVERY_S, most=limits.MAX_EVERY_S)
        _checked(body.at("every_seconds"), check_every, every_s)
        return Schedule(every_s=every_s)
    cron = body.text("cron", max_chars=limits.MAX_CRON_CHARS)
    timezone = body.optional_text("timezone", max_chars=limits.MAX_TIMEZONE_CHARS) or UTC
    _checked(body.at("cron"), check_cron, cron)
    _checked(body.at("timezone"), check_timezone, timezone)
    return Schedule(cron, timezone)


def _checked(path: str, check: Callable[[T], None], value: T) -> None:
    try:
        check(value)
    except NoTimezoneData:
        return  # only the part that fires the schedule must know the zone, and that may run elsewhere
    except ScheduleError as error:
        raise invalid(path, error.problem, error.allowed) from error


def _options(part: type[T], body: Fields) -> T:
    """Return a part of a function's spec, as `multinode_protocol.function_options` declares its fields."""
    defaults = {field.name: field.default for field in dataclasses.fields(cast(Any, part))}
    return part(**{name: _value(body, option, defaults[name]) for name, option in options_of(part).items()})


def _value(body: Fields, option: Option, default: object) -> object:
    """Return the value of an option; `default` is MISSING for a required one."""
    name = option.wire_name
    if default is not dataclasses.MISSING and not body.given(name):
        return default
    match option.kind:
        case WholeNumber(least, most) | WholeSeconds(least, most):
            return body.whole(name, least=least, most=most)
        case Number(least, most, above):
            return body.number(name, least=least, most=most, above=above)
        case Seconds(most):
            return body.number(name, least=0, most=most)
        case Memory(most):
            return body.number(name, least=0, most=most, above=True)
        case ExceptionNames(most, max_chars):
            return body.texts(name, most=most, max_chars=max_chars)
        case RetryOptions():
            return _options(RetryPolicy, body.object(name))


def _local_bundle(body: Fields | None) -> LocalBundle | None:
    if body is None:
        return None
    return LocalBundle(_path(body, "code_dir"), _path(body, "python"), _optional_path(body, "env_file"))


def _path(body: Fields, name: str) -> str:
    described = f"an absolute path of at most {MAX_PATH_CHARS} characters"
    return body.text(name, max_chars=MAX_PATH_CHARS, pattern=r"(?s)/[^\0]*", described=described)


def _optional_path(body: Fields, name: str) -> str | None:
    return _path(body, name) if body.given(name) else None


# --- invocations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InvocationRequest:
    """The invocation to create. If `invocation_id` is None, the control plane generates one."""

    input_text: str
    parent: ParentRef | None
    invocation_id: str | None


def invocation_request(data: JsonObject) -> InvocationRequest:
    """Return what an `InvocationDefinition` body asks for. Also raises Refused like `parent_ref`."""
    body = Fields(data)
    parent = body.optional_object("parent_invocation")
    return InvocationRequest(
        input_text=body.text("input", max_bytes=limits.MAX_PAYLOAD_BYTES),
        parent=None
        if parent is None
        else parent_ref(parent.data.get("function_name"), parent.data.get("invocation_id")),
        invocation_id=body.optional_text(
            "invocation_id",
            max_chars=36,
            pattern=r"inv-[0-9a-f]{32}",
            described="inv- and 32 lower-case hexadecimal digits, those of a UUID version 7",
        ),
    )


def parent_ref(function_name: object, invocation_id: object) -> ParentRef:
    """Return the parent with this function name and id.

    Raises Refused: PARENT_FUNCTION_NAME_IS_MISSING, PARENT_INVOCATION_ID_IS_MISSING;
    PARENT_INVOCATION_DOES_NOT_EXIST if one of them cannot be a name or an id.
    """
    if function_name is None:
        raise Refused(ErrorCode.PARENT_FUNCTION_NAME_IS_MISSING)
    if invocation_id is None:
        raise Refused(ErrorCode.PARENT_INVOCATION_ID_IS_MISSING)
    if not isinstance(function_name, str) or not isinstance(invocation_id, str) or not is_invocation_id(invocation_id):
        raise Refused(ErrorCode.PARENT_INVOCATION_DOES_NOT_EXIST)
    return ParentRef(function_name, invocation_id)


# --- reports of a worker --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartRequest:
    worker_nonce: str | None
    worker_identifier: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    text: str
    sequence: int | None


def start_request(data: JsonObject) -> StartRequest:
    """Return what a `StartBody` says; all of it is optional."""
    body = Fields(data)
    return StartRequest(
        body.optional_text("worker_nonce", max_chars=MAX_NONCE_CHARS, printable=True),
        body.optional_text("worker_identifier", max_chars=MAX_IDENTIFIER_CHARS, printable=True),
    )


def progress(data: JsonObject) -> Progress:
    """Return what an `UpdateBody` says."""
    body = Fields(data)
    sequence = body.whole("sequence", least=1, most=MAX_SEQUENCE) if body.given("sequence") else None
    return Progress(body.text("latest_output", max_bytes=limits.MAX_PAYLOAD_BYTES), sequence)


def finish_report(data: JsonObject) -> FinishReport:
    """Return what a `FinishBody` says. Texts about an error are cut to their limits, never refused for their length."""
    body = Fields(data)
    outcome = body.choice("outcome", Outcome)
    failed = outcome is Outcome.FAILED
    if failed and not body.given("error_message"):
        raise invalid("error_message", "is missing", "a string, because the outcome is FAILED")
    if not failed and body.given("error_message"):
        raise invalid("error_message", f"comes with the outcome {outcome}", "only with the outcome FAILED")
    return FinishReport(
        outcome=outcome,
        final_output=body.optional_text("final_output", max_bytes=limits.MAX_PAYLOAD_BYTES),
        error_message=_cut(body, "error_message"),
        error_type=_cut(body, "error_type", limits.MAX_CLASS_NAME_CHARS),
        error_bases=_bases(body),
        error_traceback=_cut(body, "error_traceback", keep_end=True),
        retryable=body.flag("retryable", default=True),
        infrastructure=body.flag("infrastructure", default=False),
        abort_reason=body.choice("abort_reason", AbortReason) if body.given("abort_reason") else None,
    )


def _bases(body: Fields) -> tuple[str, ...]:
    names = body.texts("error_bases", most=limits.MAX_BODY_BYTES, max_chars=limits.MAX_BODY_BYTES) or ()
    return tuple(name[: limits.MAX_CLASS_NAME_CHARS] for name in names[:MAX_BASES])


def _cut(body: Fields, name: str, most: int = limits.MAX_ERROR_CHARS, *, keep_end: bool = False) -> str | None:
    """Return an optional text, cut to `most` characters; a traceback keeps its end, where the cause is."""
    text = body.optional_text(name, max_bytes=limits.MAX_BODY_BYTES)
    if text is None or len(text) <= most:
        return text
    return "…" + text[1 - most :] if keep_end else text[: most - 1] + "…"

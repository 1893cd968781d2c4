"""The options of a function, each declared once. Standard library only.

An annotation says what a field is called in Python and in the REST API, what values it takes and how it is shown. From
it follow the checks of the SDK and of the API, the bodies of the REST API, the tables and JSON of the CLI, and the
table in docs/functions.md. How to add one: CONTRIBUTING.md, "Add an option of a function".

The classes are the values that the control plane stores; `multinode_protocol.messages` types their REST bodies.
"""

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from multinode_protocol import messages
from multinode_protocol.limits import MAX_CLASS_NAME_CHARS, MAX_GRACE_S, MAX_RETRY_ON

__all__ = [
    "PARTS",
    "ExceptionNames",
    "ExecutionSpec",
    "Memory",
    "Number",
    "Option",
    "ResourceSpec",
    "RetryOptions",
    "RetryPolicy",
    "Seconds",
    "WholeNumber",
    "WholeSeconds",
    "as_json",
    "options_of",
    "user_options",
]


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """A whole number, bounds included."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Number:
    """A number, bounds included; `above`: more than `least`."""

    least: float
    most: float
    above: bool = False
    of: str = ""
    """The unit, where there is one: ``virtual CPUs``."""


@dataclass(frozen=True, slots=True)
class WholeSeconds:
    """A whole number of seconds; in Python a timedelta will do, too."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Seconds:
    """A number of seconds from 0; in Python a timedelta will do, too."""

    most: float


@dataclass(frozen=True, slots=True)
class Memory:
    """GiB above 0; in Python a text with its unit, such as ``256 MiB``."""

    most: float


@dataclass(frozen=True, slots=True)
class ExceptionNames:
    """A list of names; in Python exception classes, too. None: all exceptions."""

    most: int
    max_chars: int


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """A `RetryPolicy`; in Python a `multinode.Retry`."""


Kind = WholeNumber | Number | WholeSeconds | Seconds | Memory | ExceptionNames | RetryOptions


@dataclass(frozen=True, slots=True)
class Option:
    """One option. A field of the same class that has a default may be absent from a REST body, and so may be null."""

    wire_name: str
    """Its field in the REST API."""
    kind: Kind
    description: str
    """One line without a full stop, for the documentation."""
    python_name: str | None = None
    """The parameter of `Multinode.function` or `Retry`; None: only the REST API has it."""
    default: object = None
    """What the SDK registers for a function that does not say; as Python has it, so a timedelta or ``256 MiB``."""
    label: str | None = None
    """Its line in `multinode projects describe`, which options may share; None: it has no line of its own."""
    shown: str = "{}"
    """How that line words a value."""


@dataclass(frozen=True, slots=True)
class ResourceSpec:
    virtual_cpus: Annotated[
        float,
        Option(
            wire_name="virtual_cpus",
            kind=Number(0.0, 32.0, above=True, of="virtual CPUs"),
            description="Virtual CPUs of each container",
            python_name="cpu",
            default=0.1,
            label="Resources",
            shown="{} CPU",
        ),
    ]
    memory_gbs: Annotated[
        float,
        Option(
            wire_name="memory_gbs",
            kind=Memory(244.0),
            description="Memory of each container, in KiB, MiB or GiB",
            python_name="memory",
            default="256 MiB",
            label="Resources",
            shown="{} of memory",
        ),
    ]
    max_concurrency: Annotated[
        int,
        Option(
            wire_name="max_concurrency",
            kind=WholeNumber(1, 100_000),
            description="Containers that may run at a time; the oldest invocation goes first",
            python_name="max_concurrency",
            default=10,
            label="Concurrency",
            shown="at most {} at a time",
        ),
    ]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Delay before attempt n + 1 (n counts from 1): see `core.retry.delay_before_next` of the control plane."""

    initial_delay_s: Annotated[
        float,
        Option(
            wire_name="initial_delay_s",
            kind=Seconds(86_400.0),
            description="The delay after the first failed attempt",
            python_name="initial_delay",
            default=1.0,
        ),
    ] = 0.0
    backoff: Annotated[
        float,
        Option(
            wire_name="backoff",
            kind=Number(1.0, 100.0),
            description="Factor by which each further delay is longer",
            python_name="backoff",
            default=2.0,
        ),
    ] = 2.0
    max_delay_s: Annotated[
        float,
        Option(
            wire_name="max_delay_s",
            kind=Seconds(86_400.0),
            description="The longest delay",
            python_name="max_delay",
            default=300.0,
        ),
    ] = 300.0
    jitter: Annotated[
        float,
        Option(
            wire_name="jitter",
            kind=Number(0.0, 1.0),
            description="The share of a delay that is random",
            python_name="jitter",
            default=0.1,
        ),
    ] = 0.0
    retry_on: Annotated[
        tuple[str, ...] | None,
        Option(
            wire_name="retry_on",
            kind=ExceptionNames(MAX_RETRY_ON, MAX_CLASS_NAME_CHARS),
            description="The exceptions that are retried, subclasses included",
            python_name="retry_on",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSpec:
    timeout_s: Annotated[
        int,
        Option(
            wire_name="timeout_seconds",
            kind=WholeSeconds(1, 86_400),
            description="How long one attempt may take, from the moment its code starts",
            python_name="timeout",
            default=timedelta(hours=1),
            label="Timeout",
        ),
    ]
    max_retries: Annotated[
        int,
        Option(
            wire_name="max_retries",
            kind=WholeNumber(0, 50),
            description="How often a failed attempt is repeated, without a pause; `retry` adds pauses",
            python_name="max_retries",
            default=0,
            label="Retries",
        ),
    ]
    max_queue_s: Annotated[
        int | None,
        Option(
            wire_name="max_queue_seconds",
            kind=WholeSeconds(1, 1_209_600),
            description="How long an invocation may wait for its first start",
            python_name="max_queue_time",
            label="Waits at most",
        ),
    ] = None
    grace_s: Annotated[
        int,
        Option(
            wire_name="grace_seconds",
            kind=WholeSeconds(0, MAX_GRACE_S),
            description="How long interrupted code may clean up",
        ),
    ] = MAX_GRACE_S
    retry: Annotated[
        RetryPolicy,
        Option(
            wire_name="retry",
            kind=RetryOptions(),
            description="When a failed attempt is repeated: a `Retry`, in place of `max_retries`",
            python_name="retry",
        ),
    ] = RetryPolicy()


PARTS: Mapping[str, type[ResourceSpec | ExecutionSpec]] = {
    "resource_spec": ResourceSpec,
    "execution_spec": ExecutionSpec,
}
"""The objects of a FunctionSpec that hold its options."""


_OPTIONS: Mapping[type, Mapping[str, Option]] = {
    part: {name: hint.__metadata__[0] for name, hint in typing.get_type_hints(part, include_extras=True).items()}
    for part in (ResourceSpec, ExecutionSpec, RetryPolicy)
}


def options_of(part: type) -> Mapping[str, Option]:
    """Return the options of `ResourceSpec`, `ExecutionSpec` or `RetryPolicy`, by field name, as they are declared."""
    return _OPTIONS[part]


def user_options() -> Iterator[tuple[str, Option]]:
    """Yield (part, option) for each option that `Multinode.function` takes in one of the `PARTS`."""
    for name, part in PARTS.items():
        yield from ((name, option) for option in options_of(part).values() if option.python_name is not None)


@typing.overload
def as_json(spec: ResourceSpec) -> messages.ResourceSpec: ...
@typing.overload
def as_json(spec: ExecutionSpec) -> messages.ExecutionSpec: ...
@typing.overload
def as_json(spec: RetryPolicy) -> messages.RetrySpec: ...
def as_json(spec: object) -> Any:
    """Return the REST body of a part of a function's spec."""
    return {option.wire_name: _json(getattr(spec, name)) for name, option in options_of(type(spec)).items()}


def _json(value: Any) -> Any:
    if isinstance(value, RetryPolicy):
        return as_json(value)
    return list(value) if isinstance(value, tuple) else value

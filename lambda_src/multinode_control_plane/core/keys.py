"""Under which key each record is stored. Keys are typed: `store.get(invocation_key(i))` returns an Invocation.

partition           sort                        record
PROJECT#p           PROJECT                     Project
PROJECT#p           VERSION#v                   Version
PROJECT#p           SCHEDULES                   Schedules
INV#i               INVOCATION                  Invocation
INV#i               INPUT                       Payload
INV#i               OUTPUT#e                    Output
INV#parent          CHILD#child                 ChildLink
FN#p#v#f            GATE                        Gate
FN#p#v#f            QUEUE#position              QueueEntry, ready
FN#p#v#f            BACKOFF#position            QueueEntry, backing off
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar, assert_never

from multinode_control_plane.core.records import (
    ChildLink,
    FunctionKey,
    Gate,
    Invocation,
    Output,
    Payload,
    Project,
    QueueEntry,
    QueueName,
    Record,
    Schedules,
    Version,
)

R_co = TypeVar("R_co", bound=Record, covariant=True)


@dataclass(frozen=True, slots=True)
class Key(Generic[R_co]):
    """The primary key of one record of type R_co."""

    partition: str
    sort: str


@dataclass(frozen=True, slots=True)
class Prefix(Generic[R_co]):
    """All records of type R_co in one partition whose sort key begins with `sort_prefix`."""

    partition: str
    sort_prefix: str


def end_of_prefix(prefix: str) -> str | None:
    """Return the smallest string, by code points, after everything that begins with `prefix`; None if there is none.

    Stores compare sort keys as UTF-8 bytes, which gives the same order.
    """
    head = prefix.rstrip(chr(0x10FFFF))
    if not head:
        return None
    after = ord(head[-1]) + 1
    # Surrogates are not characters: U+E000 follows U+D7FF.
    return head[:-1] + chr(0xE000 if after == 0xD800 else after)


class Index(StrEnum):
    """Lists that may lag behind the base table: they propose records, and the record itself decides."""

    PROJECTS = "projects"
    """value: `ALL`; sort: project name."""
    BY_FUNCTION = "by_function"
    """value: `function_index_value(...)`; sort: queue position, so by creation."""
    BY_DUE = "by_due"
    """What the sweep must look at, by time.

    value: `DUE_OPEN` (invocations that hold a slot), `DUE_WAITING` (the others), `DUE_DELETION` (projects),
    `DUE_SCHEDULE` (projects that have a scheduled run next);
    sort: due time in ms since the epoch, 15 digits, then the invocation's id or the project's name.
    """


ALL = "ALL"
DUE_OPEN = "OPEN"
DUE_WAITING = "WAITING"
DUE_DELETION = "DELETION"
DUE_SCHEDULE = "SCHEDULE"


@dataclass(frozen=True, slots=True)
class IndexEntry:
    index: Index
    value: str
    sort: str


def project_key(project_name: str) -> Key[Project]:
    return Key(f"PROJECT#{project_name}", "PROJECT")


def version_key(project_name: str, version_id: str) -> Key[Version]:
    return Key(f"PROJECT#{project_name}", f"VERSION#{version_id}")


def versions_prefix(project_name: str) -> Prefix[Version]:
    return Prefix(f"PROJECT#{project_name}", "VERSION#")


def schedules_key(project_name: str) -> Key[Schedules]:
    return Key(f"PROJECT#{project_name}", "SCHEDULES")


def invocation_key(invocation_id: str) -> Key[Invocation]:
    return Key(f"INV#{invocation_id}", "INVOCATION")


def input_key(invocation_id: str) -> Key[Payload]:
    return Key(f"INV#{invocation_id}", "INPUT")


def output_key(invocation_id: str, execution_id: str) -> Key[Output]:
    return Key(f"INV#{invocation_id}", f"OUTPUT#{execution_id}")


def outputs_prefix(invocation_id: str) -> Prefix[Output]:
    return Prefix(f"INV#{invocation_id}", "OUTPUT#")


def children_prefix(parent_invocation_id: str) -> Prefix[ChildLink]:
    return Prefix(f"INV#{parent_invocation_id}", "CHILD#")


def child_key(parent_invocation_id: str, child_invocation_id: str) -> Key[ChildLink]:
    return Key(f"INV#{parent_invocation_id}", f"CHILD#{child_invocation_id}")


def _function_partition(key: FunctionKey) -> str:
    return f"FN#{key.project_name}#{key.version_id}#{key.function_name}"


def gate_key(key: FunctionKey) -> Key[Gate]:
    return Key(_function_partition(key), "GATE")


def queue_key(key: FunctionKey, name: QueueName, position: str) -> Key[QueueEntry]:
    return Key(_function_partition(key), f"{name}#{position}")


def queue_prefix(key: FunctionKey) -> Prefix[QueueEntry]:
    return Prefix(_function_partition(key), f"{QueueName.QUEUE}#")


def backoff_prefix(key: FunctionKey) -> Prefix[QueueEntry]:
    return Prefix(_function_partition(key), f"{QueueName.BACKOFF}#")


def function_index_value(key: FunctionKey) -> str:
    return f"{key.project_name}#{key.version_id}#{key.function_name}"


def due_sort(milliseconds: int, name: str = "") -> str:
    """Return the sort key of `by_due`; without a name, the exclusive upper bound of everything due before then."""
    return f"{milliseconds:015d}#{name}"


def key_of(record: Record) -> Key[Record]:
    """Return the key of `record`."""
    match record:
        case Project():
            return project_key(record.project_name)
        case Version():
            return version_key(record.project_name, record.version_id)
        case Invocation():
            return invocation_key(record.invocation_id)
        case Payload():
            return input_key(record.invocation_id)
        case Output():
            return output_key(record.invocation_id, record.execution_id)
        case ChildLink():
            return child_key(record.parent_invocation_id, record.child_invocation_id)
        case Gate():
            return gate_key(record.function_key)
        case QueueEntry():
            return queue_key(record.function_key, record.name, record.position)
        case Schedules():
            return schedules_key(record.project_name)
        case _:
            assert_never(record)


def index_entries(record: Record) -> tuple[IndexEntry, ...]:
    """Return the index entries that a store keeps for `record`, replacing those of its earlier version."""
    match record:
        case Project():
            listed = IndexEntry(Index.PROJECTS, ALL, record.project_name)
            if record.deletion_requested_at is None:
                return (listed,)
            due_ms = int(record.deletion_requested_at.timestamp() * 1000)
            return (listed, IndexEntry(Index.BY_DUE, DUE_DELETION, due_sort(due_ms, record.project_name)))
        case Invocation():
            entries = [IndexEntry(Index.BY_FUNCTION, function_index_value(record.function_key), record.queue_position)]
            if record.due_at is not None:
                due_ms = int(record.due_at.timestamp() * 1000)
                value = DUE_OPEN if record.open_execution is not None else DUE_WAITING
                entries.append(IndexEntry(Index.BY_DUE, value, due_sort(due_ms, record.invocation_id)))
            return tuple(entries)
        case Schedules():
            if record.due_at is None:
                return ()
            due_ms = int(record.due_at.timestamp() * 1000)
            return (IndexEntry(Index.BY_DUE, DUE_SCHEDULE, due_sort(due_ms, record.project_name)),)
        case _:
            return ()

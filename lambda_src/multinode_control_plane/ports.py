"""What the control plane needs from outside, as Protocols: `adapters/` implement them, a contract suite checks them.

Conflict(Exception)             a condition of a commit did not hold: read again and decide again
StoreUnavailable(Exception)     the store did not answer; the write may or may not have happened
LaunchRefused(Exception)        the compute backend did not start a container
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Generic, Protocol, TypeVar

from multinode_control_plane.core.external_transitions import ContainerExit
from multinode_control_plane.core.keys import Index, Key, Prefix, key_of
from multinode_control_plane.core.records import (
    Execution,
    Invocation,
    LocalBundle,
    Record,
    WorkerDetails,
)
from multinode_protocol.messages import LogLine
from multinode_protocol.status import InvocationStatus

R = TypeVar("R", bound=Record)
R_co = TypeVar("R_co", bound=Record, covariant=True)


# --- the store ------------------------------------------------------------------------------------------------------


class Absent(Enum):
    """The expectation that the key has no record."""

    ABSENT = "ABSENT"


ABSENT = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Stored(Generic[R_co]):
    """A record as read, with the version that a later write may expect. Versions count a record's writes from 1."""

    record: R_co
    version: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write `record` if its stored version is `expect` (ABSENT: if it is not stored yet)."""

    record: Record
    expect: int | Absent


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the record under `key` if its stored version is `expect`."""

    key: Key[Record]
    expect: int


@dataclass(frozen=True, slots=True)
class Check:
    """Change nothing, but fail the commit unless the stored version is `expect`."""

    key: Key[Record]
    expect: int | Absent


Write = Put | Delete | Check

MAX_WRITES = 100


def keys_of(writes: Sequence[Write]) -> Sequence[Key[Record]]:
    """Return the key of each write of a commit. Raises ValueError for more than MAX_WRITES, or for a key twice."""
    keys = [key_of(write.record) if isinstance(write, Put) else write.key for write in writes]
    if len(keys) > MAX_WRITES or len(set(keys)) < len(keys):
        raise ValueError(f"a commit takes at most {MAX_WRITES} writes, each with a different key; got {len(keys)}")
    return keys


@dataclass(frozen=True, slots=True)
class Page(Generic[R_co]):
    """One page of a listing; `next_offset` (opaque, URL-safe) continues it, None ends it."""

    items: Sequence[Stored[R_co]]
    next_offset: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change of an Invocation from the change feed. `old` is None on creation, `new` on deletion."""

    old: Invocation | None
    new: Invocation | None


class Conflict(Exception):
    """A condition of a commit did not hold; nothing was written."""


class StoreUnavailable(Exception):
    """The store did not answer in time. Whether a commit was written is unknown."""


class Store(Protocol):
    """Records by key, atomic conditional commits, and a feed of every committed change of an Invocation.

    The feed delivers each change at least once, and in order per invocation. How it is consumed is up to the adapter.
    A record that cannot be decoded makes `get` and `query` raise ValueError; `list` leaves it out and logs it.
    """

    def get(self, key: Key[R]) -> Stored[R] | None:
        """Return the record under `key`, strongly consistent, or None."""

    def query(
        self, prefix: Prefix[R], *, limit: int | None = None, after: str | None = None, newest_first: bool = False
    ) -> Sequence[Stored[R]]:
        """Return records in the order of their sort keys, strongly consistent; with `after`, only those past it."""

    def list(
        self,
        index: Index,
        value: str,
        *,
        limit: int,
        offset: str | None = None,
        newest_first: bool = False,
        before: str | None = None,
    ) -> Page[Record]:
        """Return a page of an index in the order of its sort key, which may lag; `before` is an exclusive upper bound.

        Raises ValueError when `offset` does not come from a listing of this index and value.
        """

    def commit(self, writes: Sequence[Write]) -> None:
        """Apply all of `writes` (at most MAX_WRITES, each key once) or none. Raises Conflict, StoreUnavailable.

        When the adapter itself retries after a lost answer, it never meets a Conflict with its own first try.
        """


# --- compute --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """One container to start. The same `token` never starts a second one. The only secret in `environment` is the
    execution's own token."""

    token: str
    execution: Execution
    invocation: Invocation
    environment: Mapping[str, str]
    task_definition: str | None
    local_bundle: LocalBundle | None


class LaunchRefused(Exception):
    """No container was started. `permanent`: trying again cannot help. The text is the platform's own reason."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container as the backend sees it now; `exit` is None for as long as it exists."""

    worker: WorkerDetails
    execution_id: str
    exit: ContainerExit | None
    invocation_id: str | None = None


class Compute(Protocol):
    """Containers. Every method is idempotent."""

    def launch(self, request: LaunchRequest) -> WorkerDetails:
        """Start one container, or return the one that this token started before. Raises LaunchRefused.

        Any other exception: whether one was started is unknown; the same request may be sent again.
        """

    def stop(self, worker: WorkerDetails, grace_s: int) -> None:
        """Send SIGTERM, and `grace_s` seconds later SIGKILL to all of it. Returns at once; no error if it is gone."""

    def describe(self, workers: Sequence[WorkerDetails]) -> Sequence[ContainerState]:
        """Return the state of each container that the backend knows, leaving out unknown ones."""

    def find(self, execution_id: str) -> Sequence[ContainerState]:
        """Return the containers, running or recently ended, that were launched for an execution."""

    def running(self) -> Sequence[ContainerState]:
        """Return every container of this deployment that exists now: the candidates in the search for orphans."""

    def forget_project(self, project_name: str) -> None:
        """Remove what the control plane kept for launching the project's versions; no error if there is nothing."""


# --- the rest -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Announcement:
    """One change of an invocation's status, for subscribers."""

    invocation: Invocation
    previous: InvocationStatus | None
    at: datetime


class EventPublisher(Protocol):
    def publish(self, announcements: Sequence[Announcement]) -> None:
        """Publish, at least once. Raises if that failed."""


@dataclass(frozen=True, slots=True)
class LogsPage:
    """Lines after the given offset, oldest first; `next_offset` (opaque, URL-safe) continues after them."""

    lines: Sequence[LogLine]
    next_offset: str | None
    """None: no lines have been written yet, ask again without an offset."""
    at_end: bool
    """True when nothing was left to read at that moment."""


class Logs(Protocol):
    """The lines that an execution wrote."""

    def read(self, execution: Execution, *, limit: int, offset: str | None = None, tail: bool = False) -> LogsPage:
        """Return at most `limit` lines after `offset` (None: from the start, or with `tail` the last `limit` lines).

        Raises ValueError when the offset does not come from this method. A container without lines has an empty page.
        """

    def delete(self, execution: Execution) -> None:
        """Remove the lines of an execution; no error when there are none."""


class Keychain(Protocol):
    """Who may call: hashes of API keys, and the secret under which workers' tokens are signed."""

    def key_hashes(self, key_id: str) -> Sequence[str]:
        """Return the SHA-256 hex digests of the active secrets of `key_id`; empty for an unknown or revoked one."""

    def token_secret(self) -> bytes:
        """Return at least 32 bytes, the same for the life of the deployment."""


class Clock(Protocol):
    def now(self) -> datetime:
        """Return the current time, aware, UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait. Used only between the tries of a commit that met a Conflict."""


class Ids(Protocol):
    """The control plane's only randomness."""

    def new(self, prefix: str) -> str:
        """Return ``<prefix>-<UUIDv7 in hex>``: unique, sorting by time."""

    def jitter(self) -> float:
        """Return a random number from 0 to 1."""


class Waiter(Protocol):
    """Lets a request wait for a change of an invocation without polling the store."""

    def wait(self, invocation_id: str, changed: Callable[[], bool], timeout_s: float) -> None:
        """Return once `changed()` or after `timeout_s`; `changed` is asked at least once, and after every change."""

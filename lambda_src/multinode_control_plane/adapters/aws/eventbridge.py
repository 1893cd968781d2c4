"""Publishing announcements: every change of an invocation's status is an event on the deployment's bus.

source ``multinode``, detail-type ``Multinode Invocation State Change``. Times in the detail are milliseconds since the
epoch. The detail contains no payload: a consumer that needs the result asks the API with `invocation_id`.

{
  "deployment", "project_name", "version_id", "function_name", "invocation_id",
  "parent_invocation": null | {"function_name", "invocation_id"},
  "status", "previous_status": null | status, "status_reason", "finished": bool,
  "attempts", "error": null | str,
  "time_ms", "creation_time_ms", "finish_time_ms": null | int
}

An event may come more than once, and the bus does not keep the order: `time_ms` gives it.
"""

import json
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.core.times import optional_ms, whole_ms
from multinode_control_plane.ports import Announcement
from multinode_protocol.backoff import Backoff

if TYPE_CHECKING:
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

logger = logging.getLogger(__name__)

SOURCE = "multinode"
DETAIL_TYPE = "Multinode Invocation State Change"
ENTRIES_AT_ONCE = 10
TRIES = 5
BACKOFF = Backoff(first_s=0.1, longest_s=1.0)


class AnnouncementFailed(Exception):
    """EventBridge did not accept some events; the change must be announced again."""


class EventBridgePublisher:
    """See `ports.EventPublisher`."""

    def __init__(
        self, clients: Clients, event_bus: str, deployment: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clients = clients
        self._event_bus = event_bus
        self._deployment = deployment
        self._sleep = sleep

    def publish(self, announcements: Sequence[Announcement]) -> None:
        entries = [self._entry(announcement) for announcement in announcements]
        for start in range(0, len(entries), ENTRIES_AT_ONCE):
            self._put(entries[start : start + ENTRIES_AT_ONCE])

    def _put(self, entries: "list[PutEventsRequestEntryTypeDef]") -> None:
        """Send up to ten events. A successful answer may refuse some of them; only those are sent again."""
        left, codes = entries, {""}
        for attempt in range(1, TRIES + 1):
            results = self._clients.events.put_events(Entries=left)["Entries"]
            left = [entry for entry, result in zip(left, results, strict=True) if result.get("ErrorCode")]
            if not left:
                return
            codes = {f"{result.get('ErrorCode')}: {result.get('ErrorMessage', '')}" for result in results}
            if attempt < TRIES:
                self._sleep(BACKOFF.pause_s(attempt, random.random()))  # noqa: S311 - jitter
        raise AnnouncementFailed(f"the event bus {self._event_bus} refused {len(left)} events: {', '.join(codes)}")

    def _entry(self, announcement: Announcement) -> "PutEventsRequestEntryTypeDef":
        return {
            "EventBusName": self._event_bus,
            "Source": SOURCE,
            "DetailType": DETAIL_TYPE,
            "Time": announcement.at,
            "Detail": json.dumps(detail_of(announcement, self._deployment), separators=(",", ":")),
        }


def detail_of(announcement: Announcement, deployment: str) -> dict[str, object]:
    """Return the event's detail: see the module's docstring."""
    invocation = announcement.invocation
    parent = invocation.parent
    return {
        "deployment": deployment,
        "project_name": invocation.project_name,
        "version_id": invocation.version_id,
        "function_name": invocation.function_name,
        "invocation_id": invocation.invocation_id,
        "parent_invocation": None
        if parent is None
        else {"function_name": parent.function_name, "invocation_id": parent.invocation_id},
        "status": str(invocation.status),
        "previous_status": None if announcement.previous is None else str(announcement.previous),
        "status_reason": invocation.status_reason,
        "finished": invocation.status.finished,
        "attempts": invocation.attempts,
        "error": invocation.last_failure,
        "time_ms": whole_ms(announcement.at),
        "creation_time_ms": whole_ms(invocation.created_at),
        "finish_time_ms": optional_ms(invocation.finished_at),
    }

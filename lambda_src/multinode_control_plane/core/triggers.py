"""Invocations that an event or a schedule starts. The same event or time always gives the same invocation id."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from multinode_control_plane.core.times import whole_ms
from multinode_protocol.ids import uuid7


@dataclass(frozen=True, slots=True)
class TriggerRequest:
    """One invocation to create. `version_reference` is an id or ``latest``; `input_text` goes to the function."""

    project_name: str
    version_reference: str
    function_name: str
    invocation_id: str
    input_text: str


def derived_invocation_id(source: str, event_id: str, project_name: str, function_name: str, *, at: datetime) -> str:
    """Return the invocation id for one event from one source and one function, the same every time.

    It is a UUIDv7 (RFC 9562, section 5.7) of the time `at`, with bits of a SHA-256 in place of the random ones.
    """
    name = json.dumps([source, event_id, project_name, function_name])
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:10])
    return f"inv-{uuid7(whole_ms(at), digest)}"

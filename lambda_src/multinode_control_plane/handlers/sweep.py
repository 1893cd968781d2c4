"""The Lambda function behind the schedule, once a minute: acts on what is due, repairs what events missed.

Two sweeps at once, or one cut short, do no harm: the rest is still due for the next one.
"""

import dataclasses
import logging
import time
from collections.abc import Mapping
from typing import Any, Protocol

from multinode_control_plane.wiring import aws
from multinode_control_plane.wiring.start_up import at_start

logger = logging.getLogger(__name__)

TIME_FOR_ANOTHER_MS = 25_000
PAUSE_S = 2.0


class LambdaContext(Protocol):
    def get_remaining_time_in_millis(self) -> int: ...


class SweepFailed(Exception):
    """Some records could not be handled; they stay due, and the log says why. Raised so that the alarm goes off."""


_sweep = at_start(aws.sweeper)


def handler(event: Mapping[str, Any], lambda_context: LambdaContext) -> dict[str, object]:  # noqa: ARG001
    """The Lambda function's entry point: returns the counts of the last sweep. Raises SweepFailed.

    While projects are being deleted it continues as long as its time allows, because each step waits for the previous.
    """
    report = _sweep()(True)
    failed = report.failed
    while report.draining and lambda_context.get_remaining_time_in_millis() > TIME_FOR_ANOTHER_MS:
        time.sleep(PAUSE_S)
        report = _sweep()(False)
        failed += report.failed
    counts = dataclasses.asdict(report) | {"next_due": report.next_due and report.next_due.isoformat()}
    logger.info("swept: %s", counts)
    if failed:
        raise SweepFailed(f"{failed} records could not be handled; they stay due, and the log says why")
    return counts

"""Publishing announcements in the local deployment: one line each in the server's log."""

import logging
from collections.abc import Sequence

from multinode_control_plane.ports import Announcement

logger = logging.getLogger(__name__)


class LogEventPublisher:
    """See `ports.EventPublisher`."""

    def publish(self, announcements: Sequence[Announcement]) -> None:
        for announcement in announcements:
            invocation = announcement.invocation
            logger.info(
                "%s of %s/%s: %s%s",
                invocation.invocation_id,
                invocation.project_name,
                invocation.function_name,
                f"{announcement.previous} -> {invocation.status}" if announcement.previous else invocation.status,
                f" ({invocation.status_reason})" if invocation.status_reason else "",
            )

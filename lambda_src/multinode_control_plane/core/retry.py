"""How long to wait before the next try."""

from multinode_protocol.backoff import Backoff
from multinode_protocol.function_options import RetryPolicy

LAUNCH_BACKOFF = Backoff(first_s=1.0, longest_s=120.0)


def delay_before_next(policy: RetryPolicy, failed_attempts: int, jitter: float) -> float:
    """Return seconds between failed attempt number `failed_attempts` (from 1) and the next one.

    ``initial_delay_s * backoff ** (failed_attempts - 1)``, at most `max_delay_s`; of that, the share `policy.jitter` is
    multiplied by `jitter`, a random number from 0 to 1.
    """
    backoff = Backoff(policy.initial_delay_s, policy.max_delay_s, policy.backoff, policy.jitter)
    return backoff.pause_s(failed_attempts, jitter)


def delay_after_failed_launch(failed_launches: int, jitter: float) -> float:
    """Return seconds to wait after failed launch number `failed_launches` (from 1); `jitter` is from 0 to 1.

    Jitter spreads out launches that were refused together.
    """
    return LAUNCH_BACKOFF.pause_s(failed_launches, jitter)

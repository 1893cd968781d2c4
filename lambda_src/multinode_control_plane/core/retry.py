"""How long to wait before the next try."""

from multinode_control_plane.core.records import RetryPolicy

FIRST_LAUNCH_DELAY_S = 1.0
LONGEST_LAUNCH_DELAY_S = 120.0


def delay_before_next(policy: RetryPolicy, failed_attempts: int, jitter: float) -> float:
    """Return seconds between failed attempt number `failed_attempts` (from 1) and the next one.

    ``initial_delay_s * backoff ** (failed_attempts - 1)``, at most `max_delay_s`; of that, the share `policy.jitter` is
    multiplied by `jitter`, a random number from 0 to 1.
    """
    try:
        delay_s = policy.initial_delay_s * policy.backoff ** (failed_attempts - 1)
    except OverflowError:
        delay_s = policy.max_delay_s
    delay_s = min(delay_s, policy.max_delay_s)
    return delay_s * (1 - policy.jitter + policy.jitter * jitter)


def delay_after_failed_launch(failed_launches: int, jitter: float) -> float:
    """Return seconds to wait after failed launch number `failed_launches` (from 1); `jitter` is from 0 to 1.

    Doubles from one second to two minutes, half of it random ("equal jitter": aws.amazon.com/blogs/architecture,
    Exponential Backoff And Jitter), so that many launches refused together do not come back together.
    """
    delay_s = min(FIRST_LAUNCH_DELAY_S * 2.0 ** min(failed_launches - 1, 30), LONGEST_LAUNCH_DELAY_S)
    return delay_s * (0.5 + jitter / 2)

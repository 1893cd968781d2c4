"""Bounds that clients and the control plane share, so that both refuse the same values with the same words."""

__all__ = [
    "FUNCTION_NAME_PATTERN",
    "MAX_BACKOFF",
    "MAX_BODY_BYTES",
    "MAX_CONCURRENCY",
    "MAX_CPU",
    "MAX_CRON_CHARS",
    "MAX_ERROR_CHARS",
    "MAX_EVERY_S",
    "MAX_FUNCTIONS",
    "MAX_FUNCTION_NAME_CHARS",
    "MAX_GRACE_S",
    "MAX_LOG_LINES",
    "MAX_MEMORY_GBS",
    "MAX_PAGE",
    "MAX_PAYLOAD_BYTES",
    "MAX_PROJECT_NAME_CHARS",
    "MAX_QUEUE_S",
    "MAX_RETRIES",
    "MAX_RETRY_DELAY_S",
    "MAX_TIMEOUT_S",
    "MAX_TIMEZONE_CHARS",
    "MAX_WAIT_S",
    "MIN_CPU",
    "MIN_EVERY_S",
    "MIN_MEMORY_GBS",
    "PROJECT_NAME_PATTERN",
]

PROJECT_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]*"
FUNCTION_NAME_PATTERN = r"[A-Za-z_][A-Za-z0-9_]*"
MAX_PROJECT_NAME_CHARS = 64
MAX_FUNCTION_NAME_CHARS = 128

MIN_CPU = 0.0
"""Exclusive, in virtual CPUs."""
MAX_CPU = 32.0
MIN_MEMORY_GBS = 0.0
"""Exclusive, in GiB."""
MAX_MEMORY_GBS = 244.0
MAX_CONCURRENCY = 100_000
MAX_RETRIES = 50
MAX_TIMEOUT_S = 86_400
MAX_QUEUE_S = 1_209_600
"""The longest `max_queue_time`: 14 days."""
MAX_GRACE_S = 120
"""What Fargate grants at most between SIGTERM and SIGKILL."""
MAX_RETRY_DELAY_S = 86_400.0
MAX_BACKOFF = 100.0
MAX_FUNCTIONS = 200
"""Functions of one version."""

MIN_EVERY_S = 60
"""The shortest interval of a schedule: EventBridge Scheduler is exact to the minute."""
MAX_EVERY_S = 365 * 86_400
MAX_CRON_CHARS = 200
MAX_TIMEZONE_CHARS = 64

MAX_PAYLOAD_BYTES = 250_000
"""The longest input, progress value or result, in bytes of UTF-8."""
MAX_ERROR_CHARS = 16_384
"""The longest error text; the worker cuts a longer one."""
MAX_BODY_BYTES = 1_000_000
"""The largest request body: a payload and its escapes fit, ten of them do not."""
MAX_WAIT_S = 20
"""The longest that one request may wait for a change."""
MAX_PAGE = 50
"""The longest listing in one answer."""
MAX_LOG_LINES = 10_000
"""The most log lines in one answer."""

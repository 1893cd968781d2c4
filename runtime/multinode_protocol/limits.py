"""Bounds that clients and the control plane share, so that both refuse the same values with the same words."""

__all__ = [
    "FUNCTION_NAME_PATTERN",
    "MAX_BODY_BYTES",
    "MAX_CLASS_NAME_CHARS",
    "MAX_CRON_CHARS",
    "MAX_ERROR_CHARS",
    "MAX_EVERY_S",
    "MAX_FUNCTIONS",
    "MAX_FUNCTION_NAME_CHARS",
    "MAX_GRACE_S",
    "MAX_LOG_LINES",
    "MAX_PAGE",
    "MAX_PARAMETERS",
    "MAX_PAYLOAD_BYTES",
    "MAX_PROJECT_NAME_CHARS",
    "MAX_RETRY_ON",
    "MAX_TIMEZONE_CHARS",
    "MAX_WAIT_S",
    "MIN_EVERY_S",
    "PROJECT_NAME_PATTERN",
]

PROJECT_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]*"
FUNCTION_NAME_PATTERN = r"[A-Za-z_][A-Za-z0-9_]*"
MAX_PROJECT_NAME_CHARS = 64
MAX_FUNCTION_NAME_CHARS = 128

MAX_GRACE_S = 120
"""What Fargate grants at most between SIGTERM and SIGKILL."""
MAX_CLASS_NAME_CHARS = 500
"""The longest name of an exception class, in `retry_on` and in a report."""
MAX_RETRY_ON = 100
"""Names in `retry_on`."""
MAX_PARAMETERS = 255
"""Parameters in the signature of a function; a longer signature is left out."""
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

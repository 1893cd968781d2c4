"""Times as the wire has them: whole numbers since the epoch, rounded down."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def whole_s(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(seconds=1)


def whole_ms(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def whole_us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def optional_s(at: datetime | None) -> int | None:
    return None if at is None else whole_s(at)


def optional_ms(at: datetime | None) -> int | None:
    return None if at is None else whole_ms(at)

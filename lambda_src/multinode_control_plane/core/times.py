"""Times as the REST API and the stores write them: whole numbers since the epoch, rounded down."""

from datetime import datetime, timedelta

from multinode_protocol.schedules import EPOCH


def whole_s(at: datetime) -> int:
    return (at - EPOCH) // timedelta(seconds=1)


def whole_ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


def whole_us(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def optional_s(at: datetime | None) -> int | None:
    return None if at is None else whole_s(at)


def optional_ms(at: datetime | None) -> int | None:
    return None if at is None else whole_ms(at)

"""Records as JSON objects and back: the one conversion that every store adapter shares.

`decode(encode(record)) == record` for every record. Times are microseconds since the epoch, enums their values, tuples
lists. Unknown fields are ignored and missing ones take their default, so that a rolling upgrade reads both ways.

Fields that equal their default are left out. An invocation is written at each of its steps, and that halves the bill of
a store that charges for every KB written. So a field's default must never change once records without it are stored.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum

from multinode_control_plane.core import records
from multinode_control_plane.core.records import Record
from multinode_control_plane.core.times import whole_us
from multinode_protocol.schedules import EPOCH

JsonObject = dict[str, object]

_TYPES: dict[str, type] = {cls.__name__: cls for cls in typing.get_args(Record)}


def encode(record: Record) -> JsonObject:
    """Return `record` as a JSON object whose ``type`` names its class; fields at None or their default are left out."""
    return {"type": type(record).__name__, **_encode_fields(record)}


def decode(data: Mapping[str, object]) -> Record:
    """Return the record from which `encode` made `data`. Raises ValueError for an unknown type or shape."""
    cls = _TYPES.get(str(data.get("type")))
    if cls is None:
        raise ValueError(
            f"a stored item has the unknown type {data.get('type')!r}: was it written by a newer Multinode?"
        )
    try:
        return typing.cast(Record, _decode_fields(cls, data))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"a stored {data['type']} cannot be read: {error}") from error


def _encode_fields(record: object) -> JsonObject:
    fields = dataclasses.fields(record)  # type: ignore[arg-type]
    values = [(field, getattr(record, field.name)) for field in fields]
    return {f.name: _encode_value(value) for f, value in values if value is not None and value != _default(f)}


def _default(field: "dataclasses.Field[object]") -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _encode_value(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return whole_us(value)
    if dataclasses.is_dataclass(value):
        return _encode_fields(value)
    if isinstance(value, tuple):
        return [_encode_value(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    return value


@functools.cache
def _field_types(cls: type) -> dict[str, object]:
    return typing.get_type_hints(cls, vars(records))


def _decode_fields(cls: type, data: Mapping[str, object]) -> object:
    field_types = _field_types(cls)
    values = {name: _decode_value(kind, data[name]) for name, kind in field_types.items() if name in data}
    for field in dataclasses.fields(cls):
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and field.name not in values and _may_be_none(field_types[field.name]):
            values[field.name] = None
    return cls(**values)


def _may_be_none(kind: object) -> bool:
    return types.NoneType in typing.get_args(kind)


def _decode_value(kind: object, value: object) -> object:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        (kind,) = (arg for arg in typing.get_args(kind) if arg is not types.NoneType)
        return _decode_value(kind, value)
    if origin is tuple:
        item_kind = typing.get_args(kind)[0]
        return tuple(_decode_value(item_kind, item) for item in typing.cast(list[object], value))
    if kind is datetime:
        return EPOCH + timedelta(microseconds=typing.cast(int, value))
    if kind is float:
        return float(typing.cast(float, value))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _decode_fields(kind, typing.cast(Mapping[str, object], value))
    return value

"""Invented values for the declared types of a context, for events that have no past notification."""

import typing
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any
from uuid import UUID

from notifications.events.annotations import UNION_TYPES, Fields, unwrap

SAMPLES: dict[Any, Any] = {
    bool: True,
    int: 3,
    float: 1.5,
    Decimal: Decimal("12.50"),
    date: date(2030, 1, 31),
    datetime: datetime(2030, 1, 31, 12, tzinfo=UTC),
    time: time(12, 30),
    timedelta: timedelta(hours=1),
    UUID: UUID(int=0),
}


def make_sample(kind: Any, name: str) -> Any:
    """Return a value of a declared type. A text is the name of the value."""
    kind = unwrap(kind)
    if isinstance(kind, Fields):
        return {field: field.replace("_", " ") for field in kind.names}
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is not None:
        return _make_generic_sample(origin, args, name)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    return SAMPLES.get(kind, name.replace("_", " "))


def _make_generic_sample(origin: Any, args: tuple[Any, ...], name: str) -> Any:
    if origin in UNION_TYPES:
        return make_sample(next(part for part in args if part not in (None, NoneType)), name)
    if origin is typing.Literal:
        return args[0]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {name: make_sample(args[1], name)}
    return [make_sample(part, name) for part in args if part is not Ellipsis]

"""The types that an event can declare for the values of its context, and checks of values against them.

The supported types are those whose values can be stored: text, numbers, dates and times, ``Decimal``, ``UUID``, enums,
lists, tuples, sets and mappings, with the types of their items, ``X | Y``, ``Optional``, ``Literal``, ``Annotated``,
``NewType``, ``Any`` and :class:`Fields`.
"""

import types
import typing
from collections import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from django.db.models import Model
from django.utils.functional import Promise

UNION_TYPES = (types.UnionType, typing.Union)
ANY_TYPES = (Any, object)
STORABLE_TYPES = (
    str, bool, int, float, Decimal, date, time, timedelta, UUID, Enum, Promise,
    Mapping, list, tuple, set, frozenset,
)  # fmt: skip
# Text is a collection too, but an event that declares one of these types means a list.
ABSTRACT_COLLECTIONS = (abc.Collection, abc.Sequence, abc.MutableSequence, abc.Set, abc.MutableSet)
TEXT_TYPES = (str, bytes, bytearray)
SUPPORTED_HINT = (
    "Supported are str, int, float, bool, Decimal, date, datetime, time, timedelta, UUID, enums, list[…], tuple[…], "
    "set[…], dict[str, …], Literal[…], X | None, Any, and Fields(…) for a model instance."
)


@dataclass(frozen=True)
class Fields:
    """The type of a context value that is a model instance or a mapping, of which only these fields are stored.

    ``context={"order": Fields("number", "total")}`` lets a host pass ``{"order": order}``; templates get a mapping.
    ``Fields("number") | None`` is optional, and ``list[Fields("number")]`` is a list of such instances.

    :raises TypeError: if no name is given, or a name is not a non-empty string.
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        if not names or not all(isinstance(name, str) and name for name in names):
            raise TypeError(f'Fields(…) takes the names of fields, such as Fields("number"), not {names!r:.80}.')
        object.__setattr__(self, "names", names)

    def __or__(self, other: Any) -> Any:
        return typing.Union[self, other]  # noqa: UP007 - there is no other way to write a union with an object

    def __ror__(self, other: Any) -> Any:
        return typing.Union[other, self]  # noqa: UP007

    def __repr__(self) -> str:
        return f"Fields({', '.join(map(repr, self.names))})"


def unwrap(kind: Any) -> Any:
    """Return the type behind ``NewType``, ``Annotated`` and ``type X = …``."""
    while True:
        if isinstance(kind, typing.NewType):
            kind = kind.__supertype__
        elif typing.get_origin(kind) is typing.Annotated:
            kind = typing.get_args(kind)[0]
        elif type(kind).__name__ == "TypeAliasType":  # Python 3.12
            kind = kind.__value__
        else:
            return kind


def find_type_faults(kind: Any) -> Iterator[str]:
    """Yield a sentence for each part of a declared type that is not supported."""
    kind = unwrap(kind)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, Fields) or kind is None or kind in ANY_TYPES or kind is types.NoneType:
        return
    if origin in UNION_TYPES:
        yield from (fault for part in args for fault in find_type_faults(part))
    elif origin is typing.Literal:
        if wrong := [item for item in args if not isinstance(item, str | int | Enum | None)]:
            yield f"{wrong[0]!r} of {format_type(kind)} cannot be stored."
    elif origin is None:
        yield from _find_class_faults(kind)
    else:
        yield from _find_collection_faults(kind, origin, args)


def _find_class_faults(kind: Any) -> Iterator[str]:
    if isinstance(kind, str):
        yield f"{kind!r:.80} is a text. Write the type itself, without quotes."
    elif not isinstance(kind, type):
        yield f"{format_type(kind):.80} is not a supported type. {SUPPORTED_HINT}"
    elif issubclass(kind, Model):
        yield f'{kind.__name__} is a model. Name the fields to store: Fields("…").'
    elif typing.is_typeddict(kind) or not (issubclass(kind, STORABLE_TYPES) or kind in ABSTRACT_COLLECTIONS):
        yield f"{kind.__name__} cannot be stored. {SUPPORTED_HINT}"


def _find_collection_faults(kind: Any, origin: Any, args: tuple[Any, ...]) -> Iterator[str]:
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    known = is_mapping or origin in ABSTRACT_COLLECTIONS or origin in (list, tuple, set, frozenset)
    if not known or len(args) != (2 if is_mapping else 1) and origin is not tuple:
        yield f"{format_type(kind)} is not supported. {SUPPORTED_HINT}"
        return
    if is_mapping and not _is_text_type(args[0]):
        yield f"{format_type(kind)} has keys that are not texts. Keys must be str."
    for part in args[is_mapping:]:
        if part is not Ellipsis:
            yield from find_type_faults(part)


def _is_text_type(kind: Any) -> bool:
    kind = unwrap(kind)
    if typing.get_origin(kind) is typing.Literal:
        return all(isinstance(item, str) for item in typing.get_args(kind))
    return kind is Any or (isinstance(kind, type) and issubclass(kind, str))


def matches_type(value: Any, kind: Any) -> bool:
    """Return whether a value matches a declared type."""
    return next(find_mismatches(value, kind, ""), None) is None


def find_mismatches(value: Any, kind: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the path, the value and the declared type of each part that does not match its type."""
    kind = unwrap(kind)
    if not _matches_outer_type(value, kind):
        yield path, value, kind
    elif _is_collection(kind):
        yield from _find_item_mismatches(value, kind, path)


def _is_collection(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    return isinstance(origin, type) and origin not in UNION_TYPES


def _find_item_mismatches(value: Any, kind: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(value, Mapping):
        key_kind, item_kind = typing.get_args(kind)
        for key, item in value.items():
            yield from find_mismatches(key, key_kind, f"the key {key!r:.80} of {path}")
            yield from find_mismatches(item, item_kind, f"{path}[{key!r:.80}]")
        return
    kinds = get_item_types(value, kind)
    if kinds is None:
        yield path, value, kind
        return
    for index, (item, part) in enumerate(zip(value, kinds, strict=True)):
        yield from find_mismatches(item, part, f"{path}[{index}]")


def get_item_types(value: Any, kind: Any) -> list[Any] | None:
    """Return the declared type of each item of a list, tuple or set, or None if the number of items is wrong."""
    args = typing.get_args(kind)
    if typing.get_origin(kind) is not tuple:
        return [*args] * len(value)
    if args[-1:] == (Ellipsis,):
        return [args[0]] * len(value)
    return [*args] if len(args) == len(value) else None


def _matches_outer_type(value: Any, kind: Any) -> bool:
    """Return whether a value matches a type, ignoring the types of its items."""
    if kind in ANY_TYPES:
        return True
    if kind is None:
        return value is None
    if isinstance(kind, Fields):
        return isinstance(value, Model | Mapping)
    origin = typing.get_origin(kind)
    if origin in UNION_TYPES:
        return any(matches_type(value, part) for part in typing.get_args(kind))
    if origin is typing.Literal:
        return any(_is_instance(value, type(item)) and value == item for item in typing.get_args(kind))
    return _is_instance(value, origin or kind)


def _is_instance(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if isinstance(value, int) and kind in (float, Decimal):
        return True
    if isinstance(value, datetime):
        # To Python, a datetime is a date. But a template would show its time where the event declares a date.
        return issubclass(kind, datetime) and isinstance(value, kind)
    if isinstance(value, TEXT_TYPES) and kind in ABSTRACT_COLLECTIONS:
        return False
    return isinstance(value, kind) or (kind is str and isinstance(value, Promise))


def format_type(kind: Any) -> str:
    """Return a type as it is written in code."""
    if isinstance(kind, type) and not typing.get_args(kind):
        return kind.__name__
    return str(kind).replace("typing.", "").replace("collections.abc.", "")

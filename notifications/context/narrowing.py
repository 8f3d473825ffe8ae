"""Reduce model instances and mappings to the fields that the event declares. Other fields are never stored."""

import typing
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError
from django.db.models import Model

from notifications.events.annotations import UNION_TYPES, Fields, get_item_types, matches_type, unwrap

ReportProblem = Callable[[str], None]
ABSENT_FIELD_ERRORS = (AttributeError, KeyError, ObjectDoesNotExist)


def has_fields(kind: Any) -> bool:
    """Return whether a declared type is a ``Fields`` or contains one."""
    kind = unwrap(kind)
    return isinstance(kind, Fields) or any(has_fields(part) for part in typing.get_args(kind))


def narrow(value: Any, kind: Any, path: str, report: ReportProblem, is_lenient: bool) -> Any:
    """Return a value with each model instance and mapping replaced by a mapping of its declared fields.

    :param value: a value that matches its declared type.
    :param report: called with a sentence for each field that the value does not have.
    :param is_lenient: whether a property that raises any error counts as a missing field.
    """
    kind = unwrap(kind)
    if not has_fields(kind):
        return value
    if isinstance(kind, Fields):
        return _take_fields(value, kind, path, report, is_lenient)
    args = typing.get_args(kind)
    if typing.get_origin(kind) in UNION_TYPES:
        part = next(part for part in args if matches_type(value, part))
        return narrow(value, part, path, report, is_lenient)
    if isinstance(value, Mapping):
        return {key: narrow(item, args[1], f"{path}[{key!r:.80}]", report, is_lenient) for key, item in value.items()}
    kinds = enumerate(zip(value, get_item_types(value, kind) or (), strict=True))
    return [narrow(item, part, f"{path}[{index}]", report, is_lenient) for index, (item, part) in kinds]


def _take_fields(value: Any, kind: Fields, path: str, report: ReportProblem, is_lenient: bool) -> dict[str, Any]:
    taken = {}
    for name in kind.names:
        try:
            taken[name] = getattr(value, name) if isinstance(value, Model) else value[name]
        except DatabaseError:
            raise
        except Exception as error:
            if not is_lenient and not isinstance(error, ABSENT_FIELD_ERRORS):
                raise
            report(f"{path} has no field {name!r} ({type(error).__name__}: {str(error):.200}).")
    return taken

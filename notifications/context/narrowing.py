"""Of model instances and mappings, only the fields that the event declares; the others are never stored."""

import typing
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError
from django.db.models import Model

from notifications.events.annotations import UNIONS, Fields, fits, item_kinds, unwrapped

Tell = Callable[[str], None]
ABSENT = (AttributeError, KeyError, ObjectDoesNotExist)


def has_fields(kind: Any) -> bool:
    """Whether a declared type names fields, by itself or for some of its parts."""
    kind = unwrapped(kind)
    return isinstance(kind, Fields) or any(has_fields(part) for part in typing.get_args(kind))


def narrowed(value: Any, kind: Any, path: str, tell: Tell, is_lenient: bool) -> Any:
    """A value that fits its declared type, with mappings of the declared fields for model instances and mappings.

    :param tell: gets a sentence for each field that the value does not have.
    :param is_lenient: whether a property that raises any error at all counts as a field that is not there.
    """
    kind = unwrapped(kind)
    if not has_fields(kind):
        return value
    if isinstance(kind, Fields):
        return _fields_of(value, kind, path, tell, is_lenient)
    args = typing.get_args(kind)
    if typing.get_origin(kind) in UNIONS:
        part = next(part for part in args if fits(value, part))
        return narrowed(value, part, path, tell, is_lenient)
    if isinstance(value, Mapping):
        return {key: narrowed(item, args[1], f"{path}[{key!r:.80}]", tell, is_lenient) for key, item in value.items()}
    kinds = enumerate(zip(value, item_kinds(value, kind) or (), strict=True))
    return [narrowed(item, part, f"{path}[{index}]", tell, is_lenient) for index, (item, part) in kinds]


def _fields_of(value: Any, kind: Fields, path: str, tell: Tell, is_lenient: bool) -> dict[str, Any]:
    taken = {}
    for name in kind.names:
        try:
            taken[name] = getattr(value, name) if isinstance(value, Model) else value[name]
        except DatabaseError:
            raise
        except Exception as error:
            if not is_lenient and not isinstance(error, ABSENT):
                raise
            tell(f"{path} has no field {name!r} ({type(error).__name__}: {str(error):.200}).")
    return taken

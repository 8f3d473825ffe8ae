"""Compare options with the types that the constructor of a channel declares."""

from collections.abc import Mapping, Sequence, Set
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from notifications.conf.problem import has_type

SIMPLE: Mapping[Any, tuple[Any, str]] = {
    str: (str, "a text"),
    bool: (bool, "True or False"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    NoneType: (NoneType, "None"),
}
COLLECTIONS: Mapping[Any, tuple[Any, str]] = {
    Mapping: (Mapping, "a dict"),
    dict: (dict, "a dict"),
    Sequence: ((list, tuple, Set), "a list"),
}


def find_mistyped_option(backend: Any, options: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the first option of a wrong type and what it must be, such as ``("timeout", "a number")``.

    An option whose type is not declared, or is not a simple one, may have any value.
    """
    try:
        hints = get_type_hints(backend.__init__)
    except (AttributeError, NameError, TypeError):
        return None
    for name, value in options.items():
        if name in hints and not _matches(value, hints[name]):
            return name, _describe(hints[name])
    return None


def _matches(value: Any, hint: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return any(_matches(value, each) for each in get_args(hint))
    if hint in SIMPLE:
        return has_type(value, SIMPLE[hint][0])
    kind = get_origin(hint) or hint
    if kind not in COLLECTIONS:
        return True
    if not isinstance(value, COLLECTIONS[kind][0]):
        return False
    items = [*value.values()] if isinstance(value, Mapping) else [*value]
    return all(_matches(item, each) for each in get_args(hint)[-1:] for item in items)


def _describe(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_describe(each) for each in get_args(hint))
    if hint in SIMPLE:
        return SIMPLE[hint][1]
    kind, items = get_origin(hint) or hint, get_args(hint)[-1:]
    of = {(str,): " of texts", (int,): " of whole numbers"}.get(items, "")
    return f"{COLLECTIONS[kind][1]}{of}" if kind in COLLECTIONS else "of another type"

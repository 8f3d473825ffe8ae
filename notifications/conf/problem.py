"""Validate values of settings, and describe what is wrong with them."""

import difflib
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import time
from os import PathLike
from os.path import isabs
from typing import Any

from notifications.core.rates import TEN_YEARS, parse_rate

PERMISSION = re.compile(r"[^\W\d]\w*\.\S+")


@dataclass(frozen=True)
class Problem:
    """A problem with the setting: what is wrong, and a hint that says what to do."""

    message: str
    hint: str


def has_type(value: Any, allowed: Any) -> bool:
    """Return whether a value has one of the allowed types. A bool does not count as a number."""
    if isinstance(value, bool):
        return allowed is bool
    return isinstance(value, allowed)


def is_not_negative(value: float) -> bool:
    return value >= 0


def is_positive(value: float) -> bool:
    return 0 < value <= TEN_YEARS


def is_at_least_one(value: float) -> bool:
    return 1 <= value <= TEN_YEARS


def is_dict_of_texts(value: Any) -> bool:
    return all(isinstance(item, str) for pair in value.items() for item in pair)


def is_dict_with_text_keys(value: Any) -> bool:
    return all(isinstance(key, str) for key in value)


def is_dict_of_texts_or_lists(value: Any) -> bool:
    """Return whether a value is a dict of names to texts or to lists of texts."""
    return all(
        isinstance(name, str) and (isinstance(item, str) or (isinstance(item, list | tuple) and is_list_of_texts(item)))
        for name, item in value.items()
    )


def is_list_of_texts(value: Any) -> bool:
    return all(isinstance(item, str) for item in value)


def is_list_of_keys(value: Any) -> bool:
    """Return whether a value is a list of keys for Fernet: 32 bytes in the base64 alphabet for URLs."""
    try:
        return all(len(urlsafe_b64decode(key)) == 32 and key.isascii() for key in value)
    except (TypeError, ValueError, AttributeError):
        return False


def is_site_address(value: str) -> bool:
    return not value or value.startswith(("http://", "https://"))


def is_redis_url(value: str) -> bool:
    return not value or value.startswith(("redis://", "rediss://", "unix://"))


def is_permission(value: str) -> bool:
    return not value or PERMISSION.fullmatch(value) is not None


def is_absolute(value: str | PathLike[str]) -> bool:
    return not str(value) or isabs(value)


def is_paths(value: Any) -> bool:
    """Return whether a value is an absolute path, a list of these, or empty."""
    paths = [value] if isinstance(value, str | PathLike) else value
    return all(isinstance(path, str | PathLike) and is_absolute(path) for path in paths)


def is_time_span(value: Any) -> bool:
    """Return whether a value is empty or consists of two different times of day."""
    try:
        times = [time.fromisoformat(item) for item in value]
    except (TypeError, ValueError):
        return False
    return not times or (len(times) == 2 and times[0] != times[1] and not any(item.tzinfo for item in times))


def is_rate(value: Any) -> bool:
    return not find_rate_fault(value)


def find_rate_fault(value: Any) -> str:
    """Return why a value is not a rate, or an empty string if it is one."""
    try:
        parse_rate(value if isinstance(value, str) else repr(value))
    except ValueError as error:
        return str(error)
    return ""


def find_nearest(word: Any, known: Iterable[str]) -> str:
    """Return the known word that is most similar, ignoring case, or an empty string if none is similar."""
    by_lower_case = {name.lower(): name for name in sorted(known)}
    matches = difflib.get_close_matches(str(word).lower(), by_lower_case, n=1)
    return by_lower_case[matches[0]] if matches else ""


def suggest(word: Any, known: Iterable[str], what: str = "keys") -> str:
    """Return a hint that names the most similar known word, or all known words if none is similar."""
    near = find_nearest(word, known)
    return f"Did you mean {near!r}?" if near else f"Known {what}: {', '.join(sorted(known)) or 'none'}."

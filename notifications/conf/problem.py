"""What can be wrong with a setting, and how to say it."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import time
from typing import Any

from notifications.core.rates import parse_rate


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the setting: what, and what to do about it."""

    message: str
    hint: str


def has_type(value: Any, allowed: Any) -> bool:
    """Whether a value has one of the allowed types; True is no number."""
    if isinstance(value, bool):
        return allowed is bool
    return isinstance(value, allowed)


def is_time_span(value: Any) -> bool:
    """Whether it is empty, or two different times of day."""
    try:
        times = [time.fromisoformat(item) for item in value]
    except (TypeError, ValueError):
        return False
    return not times or (len(times) == 2 and times[0] != times[1] and not any(item.tzinfo for item in times))


def is_rate(value: Any) -> bool:
    return not find_rate_fault(value)


def find_rate_fault(value: Any) -> str:
    """Why this is no rate; nothing if it is one."""
    try:
        parse_rate(value if isinstance(value, str) else repr(value))
    except ValueError as error:
        return str(error)
    return ""


def find_nearest(word: Any, known: Iterable[str]) -> str:
    """The known word that this one is most like, whatever their letter case; empty if it is like none."""
    spelt = {name.lower(): name for name in sorted(known)}
    near = difflib.get_close_matches(str(word).lower(), spelt, n=1)
    return spelt[near[0]] if near else ""


def suggest(word: Any, known: Iterable[str], what: str = "keys") -> str:
    """A hint that names the nearest known word, or all of them."""
    near = find_nearest(word, known)
    return f"Did you mean {near!r}?" if near else f"Known {what}: {', '.join(sorted(known)) or 'none'}."

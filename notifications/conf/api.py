"""The setting ``NOTIFICATIONS["API"]``: who may use the HTTP API, and how often."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from notifications.conf.problem import (
    Problem,
    has_type,
    is_at_least_one,
    is_list_of_texts,
    is_not_negative,
    is_rate,
    suggest,
)

Rule = tuple[Any, Any, Callable[[Any], bool], str]
RATE = 'a rate such as "600/m", or empty for none'


def _is_rate_or_empty(value: str) -> bool:
    return not value or is_rate(value)


def _is_filled_list(value: Any) -> bool:
    return bool(value) and is_list_of_texts(value)


API_KEYS: Mapping[str, Rule] = {
    "AUTH": (
        ("notifications.api.auth.KeyAuth", "notifications.api.auth.SessionAuth"),
        (list, tuple),
        _is_filled_list,
        "a list of dotted paths of subclasses of notifications.api.auth.Authentication, at least one",
    ),
    "THROTTLE": ("600/m", str, _is_rate_or_empty, RATE),
    "ADDRESS_THROTTLE": ("1200/m", str, _is_rate_or_empty, RATE),
    "PROXIES": (0, int, is_not_negative, "the number of proxies of the site, 0 or more"),
    "IDEMPOTENCY_SECONDS": (86_400, (int, float), is_at_least_one, "a number of seconds, at least 1"),
}
"""For each key its default, the allowed types, whether a value is valid, and what it must be."""


def find_api_problems(api: Mapping[Any, Any]) -> Iterator[Problem]:
    """Yield what is wrong with ``API``."""
    for key, value in api.items():
        if key not in API_KEYS:
            yield Problem(f"NOTIFICATIONS['API'] has an unknown key {key!r}.", suggest(key, API_KEYS))
            continue
        _default, allowed, is_valid, requirement = API_KEYS[key]
        if not has_type(value, allowed) or not is_valid(value):
            yield Problem(f"NOTIFICATIONS['API'][{key!r}] is {value!r:.80}.", f"It must be {requirement}.")

"""The setting ``NOTIFICATIONS["ALARM"]``: when the system says that it does not work, and how."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from notifications.conf.problem import (
    Problem,
    has_type,
    is_list_of_texts,
    suggest,
)
from notifications.core.rates import TEN_YEARS

Rule = tuple[Any, Any, Callable[[Any], bool], str]

LIMITS: Mapping[str, float] = {
    "queue": 1000,
    "delay": 60,
    "dead_letters": 100,
    "dead_letters_growth": 20,
    "success_rate": 0.9,
    "circuit_seconds": 120,
    "clock_seconds": 5,
    "alarm_seconds": 60,
}
"""The limits that the probes compare with, and their defaults. The page about the alarm says what each means."""

MAX_HOOK_SECONDS = 50
"""A call that took longer than the lease of a minute would be made twice."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _is_url(value: str) -> bool:
    """Return whether a value is an https URL, an http URL of this machine, or empty."""
    if not value:
        return True
    if any(character.isspace() or not character.isprintable() for character in value):
        # A secret that is read from a file often ends with a newline, which urlsplit() removes and a request keeps.
        return False
    try:
        parts = urlsplit(value)
        is_local = parts.scheme == "http" and parts.hostname in LOOPBACK
    except ValueError:
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or is_local)


def _is_hook(value: Any) -> bool:
    if isinstance(value, str):
        return _is_url(value)
    return is_list_of_texts(value) and all(value)


def _is_time(value: float) -> bool:
    return 0 <= value <= TEN_YEARS


URL = "an https URL without spaces and newlines (http only for this machine), or empty for none"
SECONDS = "a number of seconds, from 0 to ten years"

ALARM_KEYS: Mapping[str, Rule] = {
    "HOOK": ("", (str, list, tuple), _is_hook, f"{URL}; or a list of a command and its arguments"),
    "HOOK_TIMEOUT": (
        10,
        (int, float),
        lambda value: 0 < value <= MAX_HOOK_SECONDS,
        f"a number of seconds above 0, and at most {MAX_HOOK_SECONDS}",
    ),
    "HEARTBEAT_URL": ("", str, _is_url, URL),
    "BAD_SECONDS": (20, (int, float), _is_time, SECONDS),
    "GOOD_SECONDS": (120, (int, float), _is_time, SECONDS),
    "IGNORE": (
        ("pauses", "providers", "dead letters"),
        (list, tuple),
        is_list_of_texts,
        'a list of names of findings, such as ["pauses"]',
    ),
    "CHANNELS": ((), (list, tuple), is_list_of_texts, 'a list of channel names, such as ["app", "sms"]'),
    "CLUSTER": (None, (int, str), lambda value: True, "the primary key of a cluster"),
    "LIMITS": ({}, Mapping, lambda value: True, 'a dict such as {"queue": 5000}'),
}
"""For each key its default, the allowed types, whether a value is valid, and what it must be."""
SECRET_KEYS = frozenset({"HOOK", "HEARTBEAT_URL"})
"""Their values often contain a password, so no message shows them."""


def find_alarm_problems(alarm: Mapping[Any, Any]) -> Iterator[Problem]:
    """Yield what is wrong with ``ALARM``."""
    for key, value in alarm.items():
        if key not in ALARM_KEYS:
            yield Problem(f"NOTIFICATIONS['ALARM'] has an unknown key {key!r:.80}.", suggest(key, ALARM_KEYS))
            continue
        _default, allowed, is_valid, requirement = ALARM_KEYS[key]
        if not has_type(value, allowed) or not is_valid(value):
            shown = "not valid" if key in SECRET_KEYS else f"{value!r:.80}"
            yield Problem(f"NOTIFICATIONS['ALARM'][{key!r}] is {shown}.", f"It must be {requirement}.")
        elif key == "LIMITS":
            yield from _find_limit_problems(value)


def _find_limit_problems(limits: Mapping[Any, Any]) -> Iterator[Problem]:
    name = "NOTIFICATIONS['ALARM']['LIMITS']"
    for key, value in limits.items():
        if key not in LIMITS:
            yield Problem(f"{name} has an unknown key {key!r:.80}.", suggest(key, LIMITS))
        elif not has_type(value, (int, float)) or not _is_time(value):
            hint = f"It must be a number from 0 to {TEN_YEARS:.0f}. IGNORE lists causes that are no alarm."
            yield Problem(f"{name}[{key!r}] is {value!r:.80}.", hint)
        elif key == "success_rate" and value > 1:
            yield Problem(f"{name}[{key!r}] is {value!r:.80}.", "It must be a fraction from 0 to 1.")

"""The settings ``RETENTION``: how long rows are kept, and ``STORAGE``: how much space they have."""

from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from typing import Any

from notifications.conf.problem import Problem, has_type, is_absolute, suggest

Rule = tuple[Any, Any, Callable[[Any], bool], str]
MAX_DAYS = 36_500
# A deduplication window lasts a day at most. Within it, the first notification must be there.
MIN_NOTIFICATION_DAYS = 2
DAYS = "a number of days above 0, or None to keep them for ever"


def _is_age(value: float | None) -> bool:
    return value is None or 0 < value <= MAX_DAYS


def _is_notification_age(value: float | None) -> bool:
    return value is None or MIN_NOTIFICATION_DAYS <= value <= MAX_DAYS


def _is_share(value: float) -> bool:
    return 0 < value < 1


def _is_size(value: int) -> bool:
    return value >= 0


def _age(default: float | None) -> Rule:
    return default, (int, float, type(None)), _is_age, DAYS


RETENTION_KEYS: Mapping[str, Rule] = {
    "NOTIFICATIONS": (
        30,
        (int, float, type(None)),
        _is_notification_age,
        f"a number of days, at least {MIN_NOTIFICATION_DAYS}, or None to keep them for ever",
    ),
    "ATTACHMENTS": (
        30,
        (int, float, type(None)),
        _is_notification_age,
        f"a number of days, at least {MIN_NOTIFICATION_DAYS}, or None to keep them as long as the notifications",
    ),
    "DEAD_LETTERS": _age(90),
    "LOG": _age(90),
    "ESCALATION_ENTRIES": _age(90),
    "INBOX": _age(None),
    "TRACKING_EVENTS": _age(90),
    "TRACKING_FIGURES": _age(400),
    "WEBHOOK_ATTEMPTS": _age(30),
    "PREFERENCE_CHANGES": _age(None),
    "CAN_STATE": _age(90),
    "ARCHIVE_DIR": ("", (str, PathLike), is_absolute, "the absolute path of a folder, or empty for no archive"),
}
"""For each key its default, the allowed types, whether a value is valid, and what it must be."""

STORAGE_KEYS: Mapping[str, Rule] = {
    "LIMIT_BYTES": (0, int, _is_size, "a number of bytes, or 0 for no limit"),
    "WARN": (0.8, float, _is_share, "a share above 0 and below 1, such as 0.8"),
    "CRITICAL": (0.9, float, _is_share, "a share above 0 and below 1, such as 0.9"),
}


def find_retention_problems(value: Mapping[Any, Any]) -> Iterator[Problem]:
    """Yield what is wrong with ``RETENTION``."""
    yield from _find_problems("RETENTION", value, RETENTION_KEYS)


def find_storage_problems(value: Mapping[Any, Any]) -> Iterator[Problem]:
    """Yield what is wrong with ``STORAGE``."""
    problems = list(_find_problems("STORAGE", value, STORAGE_KEYS))
    yield from problems
    warn, critical = (value.get(key, STORAGE_KEYS[key][0]) for key in ("WARN", "CRITICAL"))
    if not problems and warn > critical:
        yield Problem(
            f"NOTIFICATIONS['STORAGE']['WARN'] is {warn!r}, CRITICAL {critical!r}.",
            "Set WARN to at most CRITICAL.",
        )


def _find_problems(setting: str, value: Mapping[Any, Any], keys: Mapping[str, Rule]) -> Iterator[Problem]:
    for key, item in value.items():
        if key not in keys:
            yield Problem(f"NOTIFICATIONS[{setting!r}] has an unknown key {key!r}.", suggest(key, keys))
            continue
        _default, allowed, is_valid, requirement = keys[key]
        if not has_type(item, allowed) or not is_valid(item):
            yield Problem(f"NOTIFICATIONS[{setting!r}][{key!r}] is {item!r:.80}.", f"It must be {requirement}.")

"""Find settings outside of the dict ``NOTIFICATIONS`` that were meant for it and have no effect."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from notifications.conf.problem import Problem, find_nearest

SETTING_NAME = "NOTIFICATIONS"
CLUSTER_MODEL = "NOTIFICATIONS_CLUSTER_MODEL"
"""The only setting of Klaxon that is not in the dict."""
PREFIX = "NOTIFICATIONS_"
SIMILAR_PREFIXES = ("NOTIFICATION_", "KLAXON_")
SIMILAR_NAMES = (SETTING_NAME, "KLAXON")


def find_misplaced(settings: Any, known: Collection[str]) -> Iterator[Problem]:
    """Yield the settings that are outside of the dict and seem to be meant for it.

    :param known: the keys of the dict.
    """
    for name in sorted(name for name in dir(settings) if name.isupper() and name not in (SETTING_NAME, CLUSTER_MODEL)):
        if hint := _get_hint(settings, name, known):
            yield Problem(f"Klaxon does not read the setting {name}.", hint)


def _get_hint(settings: Any, name: str, known: Collection[str]) -> str:
    if name.startswith(PREFIX):
        return _get_prefix_hint(name, known)
    key = next((name.removeprefix(prefix) for prefix in SIMILAR_PREFIXES if name.startswith(prefix)), "")
    if key in known:
        return f"Write it as {SETTING_NAME}[{key!r}]."
    # Read only values of settings with such a name, because reading some settings of Django issues a warning.
    value = getattr(settings, name) if get_close_matches(name, SIMILAR_NAMES, cutoff=0.8) else None
    return f"Did you mean {SETTING_NAME}?" if isinstance(value, Mapping) and set(value) & set(known) else ""


def _get_prefix_hint(name: str, known: Collection[str]) -> str:
    key = name.removeprefix(PREFIX)
    near = find_nearest(key, [*known, CLUSTER_MODEL.removeprefix(PREFIX)])
    if key in known:
        return f"Write it as {SETTING_NAME}[{key!r}]."
    if PREFIX + near == CLUSTER_MODEL:
        return f"Did you mean {CLUSTER_MODEL}?"
    if near:
        return f"Did you mean {SETTING_NAME}[{near!r}]?"
    return (
        f"Klaxon's settings are keys of the dict {SETTING_NAME}; only {CLUSTER_MODEL} is separate. "
        f"Silence klaxon.W006 if {name} belongs to another app."
    )

"""Validate ``NOTIFICATIONS["LIMITS"]``: rates by user, event, channel, cluster and for the whole site."""

from collections.abc import Iterator, Mapping
from typing import Any

from notifications.conf.channels import ON_BY_DEFAULT
from notifications.conf.problem import Problem, find_rate_fault, suggest

LIMIT_KEYS = ("user", "user_event", "user_channel", "cluster", "global")


def find_limit_problems(raw: Mapping[Any, Any]) -> Iterator[Problem]:
    """Yield what is wrong with ``LIMITS``."""
    limits, channels = raw.get("LIMITS", {}), raw.get("CHANNELS", {})
    if not isinstance(limits, Mapping) or not isinstance(channels, Mapping):
        return  # reported by another check
    known = {*ON_BY_DEFAULT, *(str(name).lower() for name in channels)}
    for name, value in limits.items():
        where = f"NOTIFICATIONS['LIMITS'][{name!r}]"
        if name not in LIMIT_KEYS:
            yield Problem(f"NOTIFICATIONS['LIMITS'] has an unknown key {name!r}.", suggest(name, LIMIT_KEYS))
        elif name == "user_channel" and isinstance(value, Mapping):
            for channel, text in value.items():
                yield from _find_rate_problems(f"{where}[{channel!r}]", text)
                if str(channel).lower() not in known:
                    yield Problem(
                        f"{where} names {channel!r}, which is not in CHANNELS.", suggest(channel, known, "channels")
                    )
        else:
            yield from _find_rate_problems(where, value)


def _find_rate_problems(where: str, value: Any) -> Iterator[Problem]:
    if fault := find_rate_fault(value):
        yield Problem(f"{where} is {value!r}.", fault)

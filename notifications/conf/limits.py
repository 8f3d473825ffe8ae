"""``NOTIFICATIONS["LIMITS"]``: rates by user, event, channel, cluster and in all."""

from collections.abc import Iterator, Mapping
from typing import Any

from notifications.conf.channels import ON_BY_DEFAULT
from notifications.conf.problem import Problem, closest, rate_fault

LIMITED = ("user", "user_event", "user_channel", "cluster", "global")


def limit_problems(raw: Mapping[Any, Any]) -> Iterator[Problem]:
    limits, channels = raw.get("LIMITS", {}), raw.get("CHANNELS", {})
    if not isinstance(limits, Mapping) or not isinstance(channels, Mapping):
        return  # told already
    known = {*ON_BY_DEFAULT, *(str(name).lower() for name in channels)}
    for name, value in limits.items():
        where = f"NOTIFICATIONS['LIMITS'][{name!r}]"
        if name not in LIMITED:
            yield Problem(f"NOTIFICATIONS['LIMITS'] has an unknown key {name!r}.", closest(name, LIMITED))
        elif name == "user_channel" and isinstance(value, Mapping):
            for channel, text in value.items():
                yield from _rate_problems(f"{where}[{channel!r}]", text)
                if str(channel).lower() not in known:
                    yield Problem(
                        f"{where} names {channel!r}, which is not in CHANNELS.", closest(channel, known, "channels")
                    )
        else:
            yield from _rate_problems(where, value)


def _rate_problems(where: str, value: Any) -> Iterator[Problem]:
    if fault := rate_fault(value):
        yield Problem(f"{where} is {value!r}.", fault)

"""The setting ``NOTIFICATIONS["CHANNELS"]``: each channel with its class, its options and its providers."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from notifications.conf.problem import Problem, find_nearest, find_rate_fault, has_type, suggest
from notifications.core.rates import Rate, parse_rate
from notifications.delays import DELAYS_HINT, find_delays_fault, parse_delays

BUILT_IN_CHANNELS = {
    "app": "notifications.channels.app.AppChannel",
    "apprise": "notifications.channels.apprise.AppriseChannel",
    "discord": "notifications.channels.discord.DiscordChannel",
    "email": "notifications.channels.email.EmailChannel",
    "fcm": "notifications.channels.fcm.FCMChannel",
    "log": "notifications.channels.log.LogChannel",
    "push": "notifications.channels.web_push.WebPushChannel",
    "pushover": "notifications.channels.pushover.PushoverChannel",
    "slack": "notifications.channels.slack.SlackChannel",
    "sms": "notifications.channels.twilio_sms.TwilioSMSChannel",
    "teams": "notifications.channels.teams.TeamsChannel",
    "voice": "notifications.channels.twilio_voice.TwilioVoiceChannel",
    "webhook": "notifications.channels.webhook.WebhookChannel",
    "websocket": "notifications.channels.websocket.WebSocketChannel",
}
MAX_SHOWN = 20
"""The characters of a value that a message shows. Secrets are longer."""
ON_BY_DEFAULT = ("email", "app")
# A receiver of webhooks may be down for hours: retries go on for a day.
BUILT_IN_RETRY_DELAYS: Mapping[str, tuple[float, ...]] = {"webhook": (5, 300, 1800, 7200, 18000, 28800, 30300)}
Keys = Mapping[str, tuple[Any, str]]
PROVIDER_KEYS: Keys = {
    "NAME": (str, "a unique name"),
    "BACKEND": (str, "the dotted path of a channel class"),
    "OPTIONS": (Mapping, "a dict of options"),
    "RANK": (int, "a whole number; the lowest is used first, and providers of equal rank share the messages"),
    "RATE": (str, 'a rate such as "14/s"'),
}
FAULT_FINDERS: Mapping[str, Callable[[Any], str]] = {"RATE": find_rate_fault, "RETRY_DELAYS": find_delays_fault}
CHANNEL_KEYS: Keys = {
    "BACKEND": (str, "the dotted path of a channel class"),
    "ENABLED": (bool, "True or False"),
    "OPTIONS": (Mapping, "a dict of the channel's own options"),
    "RETRY_DELAYS": ((list, tuple, str), DELAYS_HINT),
    "RATE": (str, 'a rate such as "14/s"'),
    "PROVIDERS": ((list, tuple), "a list of dicts, one for each provider"),
}


@dataclass(frozen=True)
class ProviderConf:
    """A provider of a channel.

    :param options: the options of the provider and of its channel; those of the provider override the channel's.
    :param rank: the lowest is used first.
    """

    name: str
    backend: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    rank: int = 0
    rate: Rate | None = None


def get_circuit_key(channel: str, provider_name: str) -> str:
    """Return the key of the circuit of a provider."""
    return channel if provider_name == channel else f"{channel}/{provider_name}"


@dataclass(frozen=True)
class ChannelConf:
    """An entry of ``CHANNELS``: the class of a channel, whether it is enabled, and its one or more providers."""

    backend: str
    enabled: bool = True
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    retry_delays: tuple[float, ...] | None = None
    rate: str = ""
    providers: tuple[ProviderConf, ...] = ()


def read_channels(written: Mapping[str, Any]) -> dict[str, ChannelConf]:
    """Return the channels of the site by name: those in the setting, and those that are enabled by default."""
    merged = {**{name: {} for name in ON_BY_DEFAULT}, **{name.lower(): value for name, value in written.items()}}
    return {name: _read_channel(name, value) for name, value in merged.items()}


def _read_channel(name: str, written: Mapping[str, Any]) -> ChannelConf:
    values = {key.lower(): value for key, value in written.items()}
    values.setdefault("backend", BUILT_IN_CHANNELS.get(name))
    if values["backend"] == BUILT_IN_CHANNELS.get(name) and name in BUILT_IN_RETRY_DELAYS:
        values.setdefault("retry_delays", BUILT_IN_RETRY_DELAYS[name])
    if values.get("retry_delays") is not None:
        values["retry_delays"] = parse_delays(values["retry_delays"])
    options = values.get("options", {})
    listed = values.get("providers") or [{"NAME": name}]
    base = {"backend": values["backend"], "rate": values.get("rate")}
    values["providers"] = tuple(
        _read_provider({**base, "rank": rank}, options, entry) for rank, entry in enumerate(listed)
    )
    return ChannelConf(**values)


def _read_provider(base: Mapping[str, Any], options: Mapping[str, Any], written: Mapping[str, Any]) -> ProviderConf:
    values = {**base, **{key.lower(): value for key, value in written.items()}}
    values["rate"] = parse_rate(values["rate"]) if values["rate"] else None
    values["options"] = {**options, **values.get("options", {})}
    return ProviderConf(**values)


def find_channel_problems(channels: Mapping[Any, Any]) -> Iterator[Problem]:
    """Yield what is wrong with ``CHANNELS``."""
    for name, entry in channels.items():
        yield from _find_entry_problems(name, entry)
    spellings = Counter(name.lower() for name in channels if isinstance(name, str))
    for name in sorted(name for name, count in spellings.items() if count > 1):
        yield Problem(f"NOTIFICATIONS['CHANNELS'] has {name!r} twice, spelled differently.", "Keep one of them.")


def find_digest_problems(raw: Mapping[Any, Any]) -> Iterator[Problem]:
    """Yield the channels in ``DIGEST_CHANNELS`` that the site does not have."""
    named, channels = raw.get("DIGEST_CHANNELS", ()), raw.get("CHANNELS", {})
    if not isinstance(named, list | tuple) or not isinstance(channels, Mapping):
        return  # reported by another check
    known = {*ON_BY_DEFAULT, *(str(name).lower() for name in channels)}
    for name in named:
        if isinstance(name, str) and name.lower() not in known:
            yield Problem(
                f"NOTIFICATIONS['DIGEST_CHANNELS'] names {name!r}, which is not in CHANNELS.",
                suggest(name, known, "channels"),
            )


def _find_entry_problems(name: Any, entry: Any) -> Iterator[Problem]:
    where = f"NOTIFICATIONS['CHANNELS'][{name!r}]"
    if not isinstance(name, str):
        text = name.value if isinstance(name, Enum) else "log"
        yield Problem(
            f"NOTIFICATIONS['CHANNELS'] has the key {name!r}.", f"Write the channel's name as a text: {text!r}."
        )
        return
    if not isinstance(entry, Mapping):
        yield Problem(f"{where} is {_show(entry)}.", 'It must be a dict; {"ENABLED": False} switches the channel off.')
        return
    yield from _find_key_problems(where, entry, CHANNEL_KEYS)
    yield from _find_provider_problems(where, entry.get("PROVIDERS", ()), "PROVIDERS" in entry)
    if "BACKEND" not in entry and name.lower() not in BUILT_IN_CHANNELS:
        near, built_in = find_nearest(name, BUILT_IN_CHANNELS), ", ".join(sorted(BUILT_IN_CHANNELS))
        yield Problem(
            f"{where} names no BACKEND.",
            f"{f'Did you mean {near!r}? If not, add' if near else 'Add'} the dotted path of a channel class; only "
            f"{built_in} come with one.",
        )


def _show(value: Any) -> str:
    """Return a value for a message, or only its type if it may contain a secret, such as the URL of a webhook."""
    shown = repr(value)
    return shown if len(shown) <= MAX_SHOWN and "://" not in shown else f"of the type {type(value).__name__}"


def _find_key_problems(where: str, entry: Mapping[Any, Any], known: Keys) -> Iterator[Problem]:
    for key, value in entry.items():
        if key not in known:
            yield Problem(f"{where} has an unknown key {key!r}.", suggest(key, known))
        elif not has_type(value, known[key][0]):
            yield Problem(f"{where}[{key!r}] is {_show(value)}.", f"It must be {known[key][1]}.")
        elif key in FAULT_FINDERS and (fault := FAULT_FINDERS[key](value)):
            yield Problem(f"{where}[{key!r}] is {value!r}.", fault)


def _find_provider_problems(where: str, providers: Any, is_given: bool) -> Iterator[Problem]:
    if not isinstance(providers, Sequence) or isinstance(providers, str):
        return  # reported by another check
    if not providers and is_given:
        yield Problem(f"{where}['PROVIDERS'] is empty.", "Add a provider, or remove PROVIDERS.")
    for index, entry in enumerate(providers):
        path = f"{where}['PROVIDERS'][{index}]"
        if not isinstance(entry, Mapping):
            yield Problem(f"{path} is {_show(entry)}.", 'It must be a dict such as {"NAME": "backup", "OPTIONS": {…}}.')
            continue
        yield from _find_key_problems(path, entry, PROVIDER_KEYS)
        name = entry.get("NAME")
        if not name:
            yield Problem(f"{path} has no NAME.", "Give each provider a unique name. The log records it.")
        elif isinstance(name, str) and (len(name) > 40 or "," in name):
            yield Problem(f"{path}['NAME'] is {name!r:.80}.", "Use at most 40 characters and no comma.")
    names = [entry.get("NAME") for entry in providers if isinstance(entry, Mapping)]
    for name in sorted({str(name) for name in names if name and names.count(name) > 1}):
        yield Problem(f"{where} has two providers named {name!r}.", "Give each provider a unique name.")

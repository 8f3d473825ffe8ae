"""The channels of a simulation. They store messages instead of sending them.

A recording channel has the class attributes of the channel that it replaces (kind of address, template parts, group
size, …), so that gates, rendering and the worker treat both in the same way. Channels that store messages in the
database (``app``) are not replaced.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from notifications import conf
from notifications.channels import BaseChannel
from notifications.channels.base import Rendered
from notifications.conf import get_channel_class, get_channel_conf
from notifications.conf.channels import ProviderConf
from notifications.core import clock
from notifications.models import Delivery
from notifications.outcomes import Receipt, Verdict
from notifications.testing.outages import Outage


@dataclass
class SimulationStore:
    """The messages that providers accepted in a simulation, by delivery, and the outages."""

    texts: dict[int, Rendered] = field(default_factory=dict)
    outages: list[Outage] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class RecordedMessage:
    """A message of a simulation."""

    delivery_id: int
    rendered: Rendered


class RecordingChannel(BaseChannel):
    """A mixin for the channel class that it replaces. It overrides the constructor, ``prepare()`` and ``send()``."""

    def __init__(self, store: SimulationStore, channel: str, provider: str) -> None:
        self.store = store
        self.channel = channel
        self.provider = provider

    def prepare(self, delivery: Delivery, rendered: Rendered) -> RecordedMessage:
        return RecordedMessage(delivery.pk, rendered)

    def send(self, messages: Sequence[RecordedMessage]) -> Iterator[Receipt]:
        for message in messages:
            if any(outage.is_active(self.channel, self.provider, clock.local_now()) for outage in self.store.outages):
                yield Receipt(message, Verdict.TEMPORARY, self.provider, error="Unreachable in the simulation.")
                continue
            self.store.texts[message.delivery_id] = message.rendered
            yield Receipt(message, Verdict.ACCEPTED, self.provider)

    def close(self) -> None:
        """There is no connection to close."""


class SimulatedSettings(dict[str, Any]):
    """``NOTIFICATIONS`` of a simulation, as a separate class so that a nested simulation can be detected."""


def make_simulated_settings(store: SimulationStore) -> SimulatedSettings:
    """Return the site's ``NOTIFICATIONS`` with recording channels, without Celery, and with retries without jitter.

    :raises RuntimeError: in a simulation.
    """
    own_settings = getattr(settings, "NOTIFICATIONS", {})
    is_simulated = isinstance(own_settings, SimulatedSettings)
    if is_simulated:
        raise RuntimeError("A simulation is already running. Use one timeline for all calls.")
    channels = {name.lower(): entry for name, entry in own_settings.get("CHANNELS", {}).items()}
    for name in conf.current().enabled_channels:
        if not get_channel_class(name).transactional:
            channels[name] = _make_channel_entry(name, channels.get(name, {}), store)
    return SimulatedSettings(own_settings, CHANNELS=channels, DELIVERY="queued", CELERY=False, RETRY_JITTER=0)


@contextmanager
def forbid_settings_override() -> Iterator[None]:
    """Let an override of ``NOTIFICATIONS`` within the block raise ``RuntimeError``, because it would remove the
    recording channels."""
    setting_changed.connect(_refuse_override)
    try:
        yield
    finally:
        setting_changed.disconnect(_refuse_override)


def _refuse_override(*, setting: str, enter: bool, **kwargs: Any) -> None:
    if setting == "NOTIFICATIONS" and enter:
        raise RuntimeError("Change NOTIFICATIONS before the simulation. Within it, messages would really be sent.")


def _make_channel_entry(name: str, entry: Mapping[str, Any], store: SimulationStore) -> dict[str, Any]:
    provider_entries = entry.get("PROVIDERS") or [{"NAME": name}]
    providers = zip(provider_entries, get_channel_conf(name).providers, strict=True)
    recorders = [{**own, **_make_provider_entry(name, provider, store)} for own, provider in providers]
    return {**entry, "OPTIONS": {}, "PROVIDERS": recorders}


def _make_provider_entry(channel: str, provider: ProviderConf, store: SimulationStore) -> dict[str, Any]:
    options = {"store": store, "channel": channel, "provider": provider.name}
    return {"BACKEND": get_recorder_path(provider.backend), "OPTIONS": options}


_recorders: dict[str, type[RecordingChannel]] = {}


def get_recorder_path(backend: str) -> str:
    """Return the dotted path of a recording channel that replaces the channel class with another dotted path."""
    name = backend.replace(".", "__")
    if name not in _recorders:
        _recorders[name] = type(name, (RecordingChannel, import_string(backend)), {"__module__": __name__})
    return f"{__name__}.{name}"


def __getattr__(name: str) -> type[RecordingChannel]:
    """Return a recording channel, so that ``import_string()`` finds it in this module."""
    try:
        return _recorders[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None

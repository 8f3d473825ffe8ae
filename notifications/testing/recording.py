"""The channels of a simulation: what would leave the process is kept instead.

A recorder has all facts of the class that it stands for (kind of address, template parts, size of groups, …), so that
gates, rendering and the worker treat it alike. What is stored in our own database (``app``) needs no recorder.
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
from notifications.channels.rendered import Rendered
from notifications.conf.channels import ProviderConf
from notifications.core import clock
from notifications.core.channel_classes import get_channel_class, get_channel_conf
from notifications.models import Delivery
from notifications.outcomes import Receipt, Verdict
from notifications.testing.outages import Outage


@dataclass
class Post:
    """What providers accepted in a simulation, by delivery, and when they are away."""

    texts: dict[int, Rendered] = field(default_factory=dict)
    outages: list[Outage] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Recorded:
    """A message of a simulation."""

    delivery_id: int
    rendered: Rendered


class Recorder(BaseChannel):
    """To be mixed with the class that it stands for, whose constructor and ``prepare()`` it spares."""

    def __init__(self, post: Post, channel: str, provider: str) -> None:
        self.post = post
        self.channel = channel
        self.provider = provider

    def prepare(self, delivery: Delivery, rendered: Rendered) -> Recorded:
        return Recorded(delivery.pk, rendered)

    def send(self, messages: Sequence[Recorded]) -> Iterator[Receipt]:
        for message in messages:
            if any(outage.holds(self.channel, self.provider, clock.local_now()) for outage in self.post.outages):
                yield Receipt(message, Verdict.TEMPORARY, self.provider, error="Away, as the simulation has it.")
                continue
            self.post.texts[message.delivery_id] = message.rendered
            yield Receipt(message, Verdict.ACCEPTED, self.provider)

    def close(self) -> None:
        """There is nothing to let go of."""


class SimulatedSettings(dict[str, Any]):
    """``NOTIFICATIONS`` of a simulation, which can be told from a site's own."""


def recorded_settings(post: Post) -> SimulatedSettings:
    """The site's own ``NOTIFICATIONS``, but with recorders, without Celery, and with retries exactly in their time.

    :raises RuntimeError: in a simulation.
    """
    written = getattr(settings, "NOTIFICATIONS", {})
    is_simulated = isinstance(written, SimulatedSettings)
    if is_simulated:
        raise RuntimeError("A simulation runs already, and there is only one clock. Plan it all on one timeline.")
    channels = {name.lower(): entry for name, entry in written.get("CHANNELS", {}).items()}
    for name in conf.current().enabled_channels:
        if not get_channel_class(name).transactional:
            channels[name] = _recorded(name, channels.get(name, {}), post)
    return SimulatedSettings(written, CHANNELS=channels, DELIVERY="queued", CELERY=False, RETRY_JITTER=0)


@contextmanager
def settings_kept() -> Iterator[None]:
    """Within the block, whoever overrides ``NOTIFICATIONS`` is told not to: it would take the recorders out.

    :raises RuntimeError: there, not here.
    """
    setting_changed.connect(_refuse_override)
    try:
        yield
    finally:
        setting_changed.disconnect(_refuse_override)


def _refuse_override(*, setting: str, enter: bool, **kwargs: Any) -> None:
    if setting == "NOTIFICATIONS" and enter:
        raise RuntimeError("Change NOTIFICATIONS before the simulation: within it, mails would really leave.")


def _recorded(name: str, written: Mapping[str, Any], post: Post) -> dict[str, Any]:
    listed = written.get("PROVIDERS") or [{"NAME": name}]
    providers = zip(listed, get_channel_conf(name).providers, strict=True)
    recorders = [{**entry, **_recorder(name, provider, post)} for entry, provider in providers]
    return {**written, "OPTIONS": {}, "PROVIDERS": recorders}


def _recorder(channel: str, provider: ProviderConf, post: Post) -> dict[str, Any]:
    options = {"post": post, "channel": channel, "provider": provider.name}
    return {"BACKEND": recorder_of(provider.backend), "OPTIONS": options}


_made: dict[str, type[Recorder]] = {}


def recorder_of(backend: str) -> str:
    """The dotted path of a recorder with the facts of a channel class, which is given by its own."""
    name = backend.replace(".", "__")
    if name not in _made:
        _made[name] = type(name, (Recorder, import_string(backend)), {"__module__": __name__})
    return f"{__name__}.{name}"


def __getattr__(name: str) -> type[Recorder]:
    """Recorders are made when they are asked for, and found here by their dotted path as any channel is."""
    try:
        return _made[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None

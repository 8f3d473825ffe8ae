"""Outages of a simulation: who answers nobody, from when to when."""

from dataclasses import dataclass
from datetime import datetime

from notifications import conf
from notifications.core.channel_classes import get_channel_class, get_channel_conf


@dataclass(frozen=True)
class Outage:
    """A provider answers nobody from ``since`` until ``until``; without a name, all of the channel.

    :raises ValueError: if nothing could come of it: no such channel or provider, a channel without one, no time.
    """

    channel: str
    since: datetime
    until: datetime
    provider: str = ""

    def __post_init__(self) -> None:
        if self.until <= self.since:
            raise ValueError(f"An outage that begins at {self.since} cannot end at {self.until}.")
        self._check_channel()
        names = [provider.name for provider in get_channel_conf(self.channel).providers]
        if self.provider and self.provider not in names:
            raise ValueError(f"{self.channel!r} has no provider {self.provider!r}, only: {', '.join(names)}.")

    def _check_channel(self) -> None:
        check_channel(self.channel)
        if get_channel_class(self.channel).transactional:
            raise ValueError(f"{self.channel!r} is stored by Klaxon itself, in this database: it is never away.")

    def holds(self, channel: str, provider: str, now: datetime) -> bool:
        return (channel, self.provider or provider) == (self.channel, provider) and self.since <= now < self.until


def check_channel(name: str) -> None:
    """:raises ValueError: if the site has no such channel."""
    enabled = conf.current().enabled_channels
    if name not in enabled:
        raise ValueError(f"There is no channel {name!r}, only: {', '.join(sorted(enabled))}.")

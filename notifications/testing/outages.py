"""Outages of providers in a simulation."""

from dataclasses import dataclass
from datetime import datetime

from notifications import conf
from notifications.conf import get_channel_class, get_channel_conf


@dataclass(frozen=True)
class Outage:
    """A provider is unreachable from ``since`` until ``until``. Without a name, all providers of the channel are.

    :raises ValueError: if there is no such channel or provider, the channel has no provider, or the time is empty.
    """

    channel: str
    since: datetime
    until: datetime
    provider: str = ""

    def __post_init__(self) -> None:
        if self.until <= self.since:
            raise ValueError(f"An outage that starts at {self.since} cannot end at {self.until}.")
        self._check_channel()
        names = [provider.name for provider in get_channel_conf(self.channel).providers]
        if self.provider and self.provider not in names:
            raise ValueError(
                f"The channel {self.channel!r} has no provider {self.provider!r}. Known providers: {', '.join(names)}."
            )

    def _check_channel(self) -> None:
        check_channel(self.channel)
        if get_channel_class(self.channel).transactional:
            raise ValueError(
                f"The channel {self.channel!r} cannot have an outage, because Klaxon stores it in its own database."
            )

    def is_active(self, channel: str, provider: str, now: datetime) -> bool:
        return (channel, self.provider or provider) == (self.channel, provider) and self.since <= now < self.until


def check_channel(name: str) -> None:
    """
    :raises ValueError: if the site does not have the channel.
    """
    enabled = conf.current().enabled_channels
    if name not in enabled:
        raise ValueError(f"There is no channel {name!r}. Known channels: {', '.join(sorted(enabled))}.")

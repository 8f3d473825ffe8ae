"""Which channels can reach which recipients now: open circuits, pauses, and who has a page with a live stream open."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Value

from notifications import conf
from notifications.conf import get_channel_class
from notifications.conf.channels import get_circuit_key
from notifications.events.prefer import Prefer
from notifications.models import Circuit, Pause, Presence
from notifications.models.pause import EVERYTHING


def needs_presence(entry: Prefer) -> bool:
    """Return whether an enabled channel of a ``prefer`` list reaches only people with an open page."""
    if entry.needs_presence is not None:
        return entry.needs_presence
    return bool(getattr(get_channel_class(str(entry.channel)), "needs_presence", False))


@dataclass(frozen=True)
class Reach:
    """What can be reached at a moment.

    :param unavailable: the channels that are paused, or whose providers all have an open circuit.
    :param present: the users who have a page with a live stream open.
    """

    unavailable: frozenset[str] = frozenset()
    present: frozenset[Any] = frozenset()

    def includes(self, entry: Prefer, user_id: Any) -> bool:
        """Return whether a channel can reach a user now. Without a user, nobody is present."""
        return entry.channel not in self.unavailable and (user_id in self.present or not needs_presence(entry))


def load_reach(entries: Iterable[Prefer], user_ids: Collection[Any], now: datetime, using: str) -> Reach:
    """Return what the channels of ``prefer`` lists can reach now.

    It takes one query, and another one if a channel needs presence.
    """
    enabled = conf.current().enabled_channels
    listed = [entry for entry in entries if entry.channel in enabled]
    unavailable = load_unavailable_channels({str(entry.channel) for entry in listed}, now, using)
    if not user_ids or not any(map(needs_presence, listed)):
        return Reach(unavailable)
    return Reach(unavailable, Presence.objects.using(using).find_present(user_ids, now))


def load_unavailable_channels(channels: Collection[str], now: datetime, using: str) -> frozenset[str]:
    """Return those of these channels that are paused, or whose providers all have an open circuit.

    A circuit that may be probed counts as closed, because otherwise no delivery would find out that it can be closed.
    """
    pauses = Pause.objects.using(using).values_list("channel", Value(1))
    circuits = Circuit.objects.using(using).filter(open_until__gt=now).values_list("key", Value(0))
    rows = list(pauses.union(circuits, all=True))
    paused = {name for name, is_pause in rows if is_pause}
    broken = {key for key, is_pause in rows if not is_pause}
    if EVERYTHING in paused:
        return frozenset(channels)
    return frozenset(name for name in channels if name in paused or (broken and _is_broken(name, broken)))


def _is_broken(channel: str, open_circuits: Collection[str]) -> bool:
    configured = conf.current().channel(channel)
    providers = configured.providers if configured else ()
    return bool(providers) and all(get_circuit_key(channel, one.name) in open_circuits for one in providers)

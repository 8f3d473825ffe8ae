"""Who gets a notification for the first time, and who within the window of its event a second time."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from notifications import conf
from notifications.core.channel_classes import get_address_kind
from notifications.events import NotificationEvent, key_of
from notifications.models import Fingerprint, Notification
from notifications.models.fingerprint import Original
from notifications.sending.gates.duplicate import fingerprints
from notifications.sending.request import Request

# From fingerprints with their recipient keys to those that are repeats, with the first.
Repeats = Callable[[Mapping[str, str]], Mapping[str, Original]]


def find_duplicates(
    request: Request, cases: Iterable[Any], reaches: Callable[[Any], bool], repeats: Repeats
) -> Mapping[str, Original]:
    """By recipient key, what those of a chunk have had before. Costs nothing where there can be no repeat.

    Decided once for each recipient, for all channels. Who gets nothing anyway is not looked up, and reserves nothing.

    :param reaches: whether the gates before that of the duplicates let a case through.
    """
    if not request.event.dedup_window or not request.has_dedup_keys:
        return {}
    fingerprint = fingerprints(request.event, request.cluster, request.context)
    # In the order of the audience, which is the same for everybody: so no two sends wait for each other.
    channels = _channels(request.event)
    reached = dict.fromkeys(case.key for case in cases if case.channel in channels and reaches(case))
    wanted = {fingerprint(key): key for key in reached}
    return {wanted[key]: first for key, first in repeats(wanted).items()} if wanted else {}


def reserving_lookup(event: NotificationEvent, notification: Notification, now: datetime, using: str) -> Repeats:
    """Whoever is no repeat is a first from now on."""
    until = now + timedelta(seconds=event.dedup_window)
    rows = Fingerprint.objects.using(using)
    return lambda wanted: rows.reserve(wanted, Original(notification.pk, now), until, _channels(event))


def read_only_lookup(event: NotificationEvent, now: datetime, using: str) -> Repeats:
    """Reserves nothing."""
    return lambda wanted: Fingerprint.objects.using(using).repeats(wanted, now, _channels(event))


def _channels(event: NotificationEvent) -> set[str]:
    """Those on which its recipients are reached. One that sends to nobody, such as the log, counts where it is all."""
    named = {*event.channels, *map(key_of, event.fallback.values())}
    to_nobody = {name for name in named & conf.current().enabled_channels if not get_address_kind(name)}
    return named - to_nobody or named

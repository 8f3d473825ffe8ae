"""Who gets a notification for the first time, and who within the window of its event a second time."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from notifications.events import key_of
from notifications.gates import BEFORE_DUPLICATE, Facts, decide
from notifications.gates.duplicate import fingerprints
from notifications.manager.request import Request
from notifications.models import Fingerprint, Notification
from notifications.models.fingerprint import First
from notifications.outcomes import Drop


def with_firsts(
    found: Iterable[Facts], request: Request, notification: Notification, now: datetime, using: str
) -> Iterable[Facts]:
    """The facts of a chunk, with the first of each repeat. Costs nothing where the event has no window.

    Decided once for each recipient, for all channels. Who gets nothing anyway reserves nothing.
    """
    event = request.event
    if not event.dedup_window:
        return found
    found = list(found)
    reached = [facts.person.key for facts in found if not isinstance(decide(facts, BEFORE_DUPLICATE), Drop)]
    if not reached:
        return found
    fingerprint = fingerprints(event, request.cluster, request.context)
    # In the order of the audience, which is the same for everybody: so no two sends wait for each other.
    wanted = {fingerprint(key): key for key in reached}
    until = now + timedelta(seconds=event.dedup_window)
    channels = {*event.channels, *map(key_of, event.fallback.values())}
    repeats = Fingerprint.objects.using(using).reserve(wanted, First(notification.pk, now), until, channels)
    firsts = {wanted[key]: first for key, first in repeats.items()}
    return [replace(facts, first=firsts.get(facts.person.key)) for facts in found]

"""What becomes of each recipient on each channel. ``send()`` writes it down, ``explain()`` tells it; both ask here."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from notifications.audience import Chunk
from notifications.channel_classes import address_kind
from notifications.events import NotificationPriority
from notifications.gates import Facts, Person, decide, people
from notifications.manager.duplicates import Repeats, with_firsts
from notifications.manager.request import Request
from notifications.models import Notification, Suppression
from notifications.outcomes import Answer, Drop, Hold, Reason


def kinds_of(request: Request) -> dict[str, str]:
    """The channels of a call, each with the kind of address that it sends to."""
    return {channel: address_kind(channel) for channel in request.channels}


def decided(
    request: Request,
    notification: Notification,
    chunk: Chunk,
    kinds: Mapping[str, str],
    now: datetime,
    repeats: Repeats,
) -> Iterator[tuple[Facts, Answer]]:
    """Everyone of the chunk on every channel, with the answer.

    :param repeats: tells who has had the same before; it may reserve for the others.
    """
    for facts in with_firsts(_facts(request, notification, chunk, kinds, now), request, repeats):
        yield facts, not_before(facts.wanted_at, decide(facts), now)


def _facts(
    request: Request, notification: Notification, chunk: Chunk, kinds: Mapping[str, str], now: datetime
) -> Iterator[Facts]:
    """Everyone of the chunk on every channel, with what the gates need, in a fixed number of statements."""
    persons = [*people(request.cluster, chunk.user_ids).values()]
    persons += [Person(address.key, bare=address) for address in chunk.addresses]
    found = [
        (channel, kind, person, person.address_for(channel, kind))
        for person in persons
        for channel, kind in kinds.items()
        if chunk.is_for(person.key, channel)
    ]
    outside = {(kind, address) for _channel, kind, _person, address in found if address and kind != "user"}
    suppressed = Suppression.objects.among(outside)
    wanted_at = max(request.options.send_at or now, now)
    for channel, kind, person, address in found:
        yield Facts(
            request.event,
            channel,
            kind,
            person,
            address,
            suppressed,
            topic=notification.topic,
            actor_id=notification.actor_id,
            expires_at=notification.expires_at,
            urgent=request.priority == NotificationPriority.CRITICAL,
            now=now,
            wanted_at=wanted_at,
        )


def not_before(wanted_at: datetime, answer: Answer, now: datetime) -> Answer:
    """The answer of the gates, kept back until the ``send_at`` of the call."""
    if wanted_at <= now or isinstance(answer, Drop) or (isinstance(answer, Hold) and answer.until > wanted_at):
        return answer
    return Hold(wanted_at, Reason.SCHEDULED, "its send_at is to come")

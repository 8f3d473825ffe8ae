"""What belongs together: the waiting deliveries of one recipient, sorted into digests and batches."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from notifications import conf
from notifications.core.channel_classes import get_channel_class
from notifications.events import DIGESTS, NOTIFICATION_EVENTS, NotificationEvent
from notifications.models import Delivery, Notification, Suppression, UserSettings
from notifications.outcomes import Drop, Reason
from notifications.sending.gates import DIGEST_ITEM_GATES, Person, decide
from notifications.sending.gates.recheck import (
    build_facts,
    collect_addresses,
    find_obstacle,
    load_delivery_recipients,
    recheck,
)


@dataclass
class Gathering:
    """What will be one digest or batch, and what does not come along.

    :param going: those that are merged, the oldest first.
    :param impossible: those that a worker will bury, because their channel or event is gone.
    :param apart: those whose attachments, with those of the others, would make it larger than ``ATTACHMENT_BYTES``.
    :param refused: those that a gate now says no to, or that have expired.
    :param is_wanted: whether the recipient would take the digest as such.
    """

    person: Person
    reason: str
    going: list[Delivery] = field(default_factory=list)
    impossible: list[Delivery] = field(default_factory=list)
    apart: list[Delivery] = field(default_factory=list)
    refused: list[tuple[Delivery, Drop]] = field(default_factory=list)
    is_wanted: bool = True
    attachment_bytes: int = 0

    def take(self, row: Delivery) -> None:
        """Let it come along if there is room for what is attached to it, where its channel carries that at all."""
        more = row.notification.attachment_bytes
        is_too_much = more and self.attachment_bytes + more > conf.current().attachment_bytes
        if is_too_much and get_channel_class(row.channel).takes_attachments:
            self.apart.append(row)
            return
        self.going.append(row)
        self.attachment_bytes += more

    @property
    def alone(self) -> list[Delivery]:
        """Those that go out by themselves."""
        others = [*self.apart, *self.impossible]
        return others if self.is_worth_it else [*self.going, *others]

    @property
    def is_worth_it(self) -> bool:
        """One alone needs no batch; a digest comes also with one item, at the hour that its user has chosen."""
        return self.is_wanted and len(self.going) > (1 if self.reason == Reason.BATCH else 0)

    @property
    def gathers(self) -> str:
        return Notification.Gathers.BATCH if self.reason == Reason.BATCH else kind_for(self.person)

    @property
    def event(self) -> str:
        """The event that it is sent as."""
        digest = DIGESTS.get(self.gathers)
        return digest.value if digest else self.going[0].notification.event


def kind_for(person: Person) -> str:
    """Which digest is made for this person. Who has none any more gets what was held for one as a daily one."""
    weekly = person.settings is not None and person.settings.digest == UserSettings.Digest.WEEKLY
    return Notification.Gathers.WEEKLY if weekly else Notification.Gathers.DAILY


def gathered(waiting: Iterable[Delivery], using: str, now: datetime) -> Iterator[Gathering]:
    """Those for which it is time, with everything that belongs into them."""
    groups = [group for group in _groups(waiting, now) if any(_is_due(row, now) for row in group)]
    rows = [row for group in groups for row in group]
    persons = load_delivery_recipients(rows)
    suppressed = Suppression.objects.using(using).find_suppressed(collect_addresses(rows))
    for group in groups:
        yield _asked(group, persons[group[0].pk], suppressed, now)


def _is_due(row: Delivery, now: datetime) -> bool:
    return row.due_at is not None and row.due_at <= now


def _groups(waiting: Iterable[Delivery], now: datetime) -> Iterable[Sequence[Delivery]]:
    found: defaultdict[Any, list[Delivery]] = defaultdict(list)
    for row in waiting:
        # What is to go out at a later time waits for the next one.
        if row.notification.wanted_at <= now:
            found[_key(row)].append(row)
    return found.values()


def _key(row: Delivery) -> tuple[Any, ...]:
    like = row.notification.event if row.reason == Reason.BATCH else ""
    return row.notification.cluster_id, row.recipient_key, row.channel, row.address_hash, row.reason, like


def _asked(group: Sequence[Delivery], person: Person, suppressed: frozenset[Any], now: datetime) -> Gathering:
    gathering = Gathering(person, group[0].reason)
    for row in group:
        if find_obstacle(row):
            gathering.impossible.append(row)
            continue
        answer = recheck(row, person, suppressed, now, DIGEST_ITEM_GATES)
        if isinstance(answer, Drop):
            gathering.refused.append((row, answer))
        else:
            gathering.take(row)
    if gathering.going:
        gathering.is_wanted = _is_wanted(gathering, suppressed, now)
    return gathering


def _is_wanted(gathering: Gathering, suppressed: frozenset[Any], now: datetime) -> bool:
    """Who has opted out of digests gets what waited for one piece by piece, not nothing."""
    event: NotificationEvent = NOTIFICATION_EVENTS.find(gathering.event)
    facts = build_facts(gathering.going[0], gathering.person, suppressed, now)
    return not isinstance(decide(replace(facts, event=event, topic="", actor_id=None), DIGEST_ITEM_GATES), Drop)

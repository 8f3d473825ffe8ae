"""The grouping of the held deliveries of a recipient into digests and batches."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from notifications import conf
from notifications.conf import get_channel_class
from notifications.events import DIGESTS, NOTIFICATION_EVENTS, NotificationEvent
from notifications.models import Delivery, Notification, Suppression, UserSettings
from notifications.outcomes import Deliver, Drop, Reason
from notifications.sending.gates import DIGEST_ITEM_GATES, Person, decide, find_obstacle, recheck
from notifications.sending.gates.facts import build_facts, collect_addresses, load_delivery_recipients
from notifications.sending.gates.hours import find_digest_opt_out


@dataclass
class PendingDigest:
    """A digest or batch that can be made, and the deliveries that are not part of it.

    :param items: the deliveries to merge, the oldest first.
    :param undeliverable: the deliveries that will become dead letters, because their channel or event no longer exists.
    :param oversized: the deliveries with which the attachments would exceed ``ATTACHMENT_BYTES``.
    :param refused: the deliveries that a gate now refuses or that have expired.
    :param is_wanted: whether the recipient accepts the digest itself.
    """

    person: Person
    reason: str
    items: list[Delivery] = field(default_factory=list)
    undeliverable: list[Delivery] = field(default_factory=list)
    oversized: list[Delivery] = field(default_factory=list)
    refused: list[tuple[Delivery, Drop]] = field(default_factory=list)
    is_wanted: bool = True
    attachment_bytes: int = 0

    def add(self, row: Delivery) -> None:
        """Add a delivery if there is room for its attachments, or if its channel sends none."""
        size = row.notification.attachment_bytes
        is_too_large = size and self.attachment_bytes + size > conf.current().attachment_bytes
        if is_too_large and get_channel_class(row.channel).takes_attachments:
            self.oversized.append(row)
            return
        self.items.append(row)
        self.attachment_bytes += size

    @property
    def single(self) -> list[Delivery]:
        """The deliveries that are sent as ordinary messages."""
        others = [*self.oversized, *self.undeliverable]
        return others if self.should_be_made else [*self.items, *others]

    @property
    def should_be_made(self) -> bool:
        """Whether the digest or batch is made. A batch needs two items. A digest needs one: its user chose the time."""
        return self.is_wanted and len(self.items) > (1 if self.reason == Reason.BATCH else 0)

    @property
    def digest_kind(self) -> str:
        return Notification.DigestKind.BATCH if self.reason == Reason.BATCH else get_digest_kind(self.person)

    @property
    def event(self) -> str:
        """The event that it is sent as."""
        digest = DIGESTS.get(self.digest_kind)
        return digest.value if digest else self.items[0].notification.event


def get_digest_kind(person: Person) -> str:
    """Return the kind of digest of a person. It is daily if the person has chosen none since deliveries were held."""
    weekly = person.settings is not None and person.settings.digest == UserSettings.Digest.WEEKLY
    return Notification.DigestKind.WEEKLY if weekly else Notification.DigestKind.DAILY


def group_due(waiting: Iterable[Delivery], using: str, now: datetime) -> Iterator[PendingDigest]:
    """Yield the digests and batches that are due, with all the deliveries that belong to them."""
    groups = [group for group in _groups(waiting, now) if any(_is_due(row, now) for row in group)]
    rows = [row for group in groups for row in group]
    persons = load_delivery_recipients(rows)
    suppressed = Suppression.objects.using(using).find_suppressed(collect_addresses(rows))
    for group in groups:
        yield _build(group, persons[group[0].pk], suppressed, now)


def _is_due(row: Delivery, now: datetime) -> bool:
    return row.due_at is not None and row.due_at <= now


def _groups(waiting: Iterable[Delivery], now: datetime) -> Iterable[Sequence[Delivery]]:
    groups: defaultdict[Any, list[Delivery]] = defaultdict(list)
    for row in waiting:
        # A delivery with a later ``send_at`` waits for the next digest.
        if row.notification.wanted_at <= now:
            groups[_key(row)].append(row)
    return groups.values()


def _key(row: Delivery) -> tuple[Any, ...]:
    event = row.notification.event if row.reason == Reason.BATCH else ""
    return row.notification.cluster_id, row.recipient_key, row.channel, row.address_hash, row.reason, event


def _build(group: Sequence[Delivery], person: Person, suppressed: frozenset[Any], now: datetime) -> PendingDigest:
    pending = PendingDigest(person, group[0].reason)
    opt_out = find_digest_opt_out(person.settings, group[0].channel) if pending.reason == Reason.DIGEST else None
    for row in group:
        if find_obstacle(row):
            pending.undeliverable.append(row)
            continue
        answer = recheck(row, person, suppressed, now, DIGEST_ITEM_GATES)
        if opt_out and isinstance(answer, Deliver) and not _is_always_sent(row):
            answer = Drop(Reason.PREFERENCE, opt_out)
        if isinstance(answer, Drop):
            pending.refused.append((row, answer))
        else:
            pending.add(row)
    if pending.items:
        pending.is_wanted = _is_wanted(pending, suppressed, now)
    return pending


def _is_always_sent(row: Delivery) -> bool:
    return NOTIFICATION_EVENTS.find(row.notification.event).bypasses_preferences


def _is_wanted(pending: PendingDigest, suppressed: frozenset[Any], now: datetime) -> bool:
    """Return whether the recipient accepts digests. If their role or the cluster does not, the items are sent one by
    one."""
    event: NotificationEvent = NOTIFICATION_EVENTS.find(pending.event)
    facts = build_facts(pending.items[0], pending.person, suppressed, now)
    return not isinstance(decide(replace(facts, event=event, topic="", actor_id=None), DIGEST_ITEM_GATES), Drop)

"""Record opens and clicks of tracked mails, those of machines apart from those of people."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from django.db import router, transaction

from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.events import NOTIFICATION_EVENTS
from notifications.models import Delivery, TrackingEvent
from notifications.tracking.figures import count_event
from notifications.tracking.machines import BURST
from notifications.tracking.reports import Kind, make_key

SITE, BURST_SIGN = "site", "burst"
MAX_HITS = 100
"""The number of opens and of clicks of one delivery that are recorded, of people and of machines each.

Anybody who has an email could fill the database with its links.
"""


@read_from_primary()
def record_hit(kind: Kind, delivery_id: int, machine_sign: str, link_id: int | None = None) -> None:
    """Record a hit of a tracked image or link.

    Nothing is recorded if the delivery no longer exists or already has :data:`MAX_HITS` such hits.
    """
    using = router.db_for_write(Delivery)
    now = clock.now(using)
    with transaction.atomic(using=using):
        # Locked, so that clicks at the same time see each other.
        rows = Delivery.objects.using(using).select_for_update(no_key=True, of=("self",)).select_related("notification")
        delivery = rows.filter(pk=delivery_id).first()
        if delivery is None or not may_track(delivery, kind):
            return
        if kind == Kind.CLICKED and not machine_sign and _marks_burst(delivery, link_id, now, using):
            machine_sign = BURST_SIGN
        hits = TrackingEvent.objects.using(using).filter(delivery=delivery, kind=kind, is_machine=bool(machine_sign))
        if hits[:MAX_HITS].count() == MAX_HITS:
            return
        event = TrackingEvent.objects.using(using).create(
            key=make_key(SITE, uuid4().hex),
            delivery=delivery,
            kind=kind,
            source=SITE,
            link_id=link_id,
            machine_sign=machine_sign,
            is_machine=bool(machine_sign),
            happened_at=now,
            recorded_at=now,
        )
        count_first(event, delivery)


@read_from_primary()
def receive_unsubscription(sender: Any, user: Any, channel: str, notification_id: int | None, **kwargs: Any) -> None:
    """Record that a recipient has unsubscribed by a link in an email. A receiver of ``recipient_unsubscribed``."""
    using = router.db_for_write(Delivery)
    now = clock.now(using)
    rows = Delivery.objects.using(using).filter(notification=notification_id, channel=channel, recipient=user)
    with transaction.atomic(using=using):
        delivery = rows.select_related("notification").first() if notification_id else None
        if delivery is None:
            return
        event = TrackingEvent.objects.using(using).add(
            make_key(SITE, Kind.UNSUBSCRIBED, str(delivery.pk)),
            delivery=delivery,
            kind=Kind.UNSUBSCRIBED,
            source=SITE,
            happened_at=now,
            recorded_at=now,
        )
        if event is not None:
            count_first(event, delivery)


def may_track(delivery: Delivery, kind: Kind | str) -> bool:
    """Return whether the event of a delivery allows to record an open or a click. Other kinds are always recorded."""
    event = NOTIFICATION_EVENTS.named(delivery.notification.event)
    if kind == Kind.OPENED:
        return event is not None and event.track_opens
    return kind != Kind.CLICKED or (event is not None and event.track_clicks)


def count_first(event: TrackingEvent, delivery: Delivery) -> None:
    """Count an event if it is the first of its kind about its delivery."""
    if TrackingEvent.objects.using(event._state.db).mark_first(event):
        count_event(event, delivery)


def _marks_burst(delivery: Delivery, link_id: int | None, now: datetime, using: str) -> bool:
    """Return whether another link was clicked within a second; then those clicks become a machine's too."""
    others = TrackingEvent.objects.using(using).filter(
        delivery=delivery,
        kind=Kind.CLICKED,
        source=SITE,
        happened_at__gt=now - BURST,
        machine_sign__in=("", BURST_SIGN),
    )
    found = list(others.exclude(link=link_id))
    for event in found:
        if not event.is_machine:
            _make_machine(event, delivery)
    return bool(found)


def _make_machine(event: TrackingEvent, delivery: Delivery) -> None:
    if event.is_first:
        count_event(event, delivery, number=-1)
    TrackingEvent.objects.using(event._state.db).filter(pk=event.pk).update(
        machine_sign=BURST_SIGN, is_machine=True, is_first=None
    )
    event.machine_sign, event.is_machine, event.is_first = BURST_SIGN, True, None
    count_first(event, delivery)

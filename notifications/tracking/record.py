"""Record reports: the event, the log row and the suppression, in one transaction."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from django.db import router, transaction

from notifications import signals
from notifications.channels.mailboxes import to_dns_address
from notifications.context import UNSTORABLE
from notifications.core import clock
from notifications.core.addresses import mask_addresses
from notifications.core.databases import get_current_partition, read_as_routed, read_from_primary
from notifications.delivering.workers.periodic_tasks import ShouldStop
from notifications.models import Delivery, NotificationLog, Suppression, TrackingEvent
from notifications.models.suppression import Pair
from notifications.sending.gates.facts import get_account_address
from notifications.tracking.hits import count_first, may_track
from notifications.tracking.reports import EMAIL, Effect, Kind, Report

CAUSES = {
    Effect.HARD: Suppression.Cause.HARD_BOUNCE,
    Effect.BLOCK: Suppression.Cause.BLOCKED,
    Effect.COMPLAINT: Suppression.Cause.COMPLAINT,
    Effect.STOP: Suppression.Cause.STOPPED,
}
# Opens and clicks are the recipient's behaviour. They are not copied into the log, which is never changed.
LOGGED_KINDS = (Kind.DELIVERED, Kind.DEFERRED, Kind.REJECTED, Kind.BOUNCED, Kind.COMPLAINED, Kind.UNSUBSCRIBED)
MAX_LATE, MATCHED_AT_ONCE = 10_000, 500
LATE = timedelta(hours=1)
"""How long an event may wait for the outcome of its delivery."""


@read_from_primary()
def record(report: Report) -> TrackingEvent | None:
    """Record a report, and suppress the address if the report says so.

    Return None if it was recorded before, or is an open or click that its event does not track; then nothing changes.
    """
    using = router.db_for_write(Delivery)
    now = clock.now(using)
    with transaction.atomic(using=using):
        delivery = _find_reported(report, using)
        if delivery is not None and not may_track(delivery, report.kind):
            return None
        event = TrackingEvent.objects.using(using).add(
            report.key,
            delivery=delivery,
            kind=report.kind,
            source=report.source[:50],
            provider_message_id=clean(report.message_ids[0], 255) if report.message_ids else "",
            is_machine=bool(report.machine_sign),
            machine_sign=report.machine_sign,
            detail=clean(mask_addresses(report.detail), 500),
            happened_at=min(report.at or now, now),
            recorded_at=now,
        )
        if event is None:
            return None
        if delivery is not None:
            apply_to_delivery(event, delivery, now)
        _suppress(report, event, delivery, now)
        _send_signal(event, using)
    return event


def _find_reported(report: Report, using: str) -> Delivery | None:
    if report.delivery_id is None:
        return find_delivery(report.message_ids, report.address, using)
    rows = Delivery.objects.using(using).select_related("notification", "recipient")
    return rows.filter(pk=report.delivery_id).first()


def _send_signal(event: TrackingEvent, using: str) -> None:
    signal = signals.tracking_event_recorded
    if signal.has_listeners(TrackingEvent):
        send = partial(signal.send_robust, sender=TrackingEvent, partition=get_current_partition(), event=event)
        transaction.on_commit(read_as_routed()(send), using=using, robust=True)


@read_from_primary()
def record_named(report: Report) -> str:
    """Record a report only if it names a delivery, because anyone can send a mail.

    Return ``"recorded"``, ``"known"`` if it was recorded before, or ``"unmatched"``.
    """
    delivery = find_delivery(report.message_ids, report.address, router.db_for_write(Delivery))
    if delivery is None:
        return "unmatched"
    if report.effect in (Effect.HARD, Effect.BLOCK) and not _is_same_address(report.address, delivery.address):
        # The address forwards to others, perhaps to many people, and only one of them has bounced.
        report = replace(report, effect=Effect.SOFT)
    return "known" if record(report) is None else "recorded"


def _is_same_address(reported: str, address: str) -> bool:
    """Return whether a report is about an address. Servers report international domains in ASCII."""
    try:
        return not reported or reported.lower() in (address.lower(), to_dns_address(address).lower())
    except UnicodeError:
        return False


def find_delivery(message_ids: Iterable[str], address: str, using: str) -> Delivery | None:
    """Return the delivery with one of these provider ids; if there are several, the one to this address."""
    found = _find_deliveries([clean(message_id, 255) for message_id in message_ids if message_id], using)
    to_address = [row for row in found if row.address.lower() == address.lower()]
    return next(iter(to_address or found), None)


def _find_deliveries(message_ids: Collection[str], using: str) -> list[Delivery]:
    """Return the deliveries with these provider ids. It takes one query, or none without ids."""
    if not message_ids:
        return []
    # Some services send an id with angle brackets in one place and without them in another.
    bare = {message_id.strip("<>") for message_id in message_ids}
    message_ids = {*bare, *(f"<{message_id}>" for message_id in bare)}
    # The literal lets SQLite use the partial index.
    rows = Delivery.objects.using(using).extra(where=["klaxon_delivery.provider_message_id > ''"])
    return list(rows.filter(provider_message_id__in=message_ids).select_related("notification", "recipient"))


def apply_to_delivery(event: TrackingEvent, delivery: Delivery, now: datetime) -> None:
    """Write what an event means for its delivery."""
    count_first(event, delivery)
    if event.kind in LOGGED_KINDS:
        row = NotificationLog.for_delivery(
            delivery,
            NotificationLog.Kind.PROVIDER_EVENT,
            now,
            success=event.kind == Kind.DELIVERED,
            error_message=": ".join(filter(None, (event.kind, event.detail))),
            provider=event.source,
            provider_message_id=event.provider_message_id,
        )
        NotificationLog.objects.using(event._state.db).append([row])


def _suppress(report: Report, event: TrackingEvent, delivery: Delivery | None, now: datetime) -> None:
    address = delivery.address if delivery is not None else report.address
    if not address or report.effect is Effect.NONE:
        return
    suppressions = Suppression.objects.using(event._state.db)
    if report.effect is Effect.SOFT:
        # Behind the address of a group, many can report the same mail.
        if delivery is None or event.is_first:
            suppressions.count_refusal(report.address_kind, address, now, event.detail)
        return
    if report.effect is Effect.COMPLAINT and delivery is not None:
        _suppress_person(event, delivery, now)
    else:
        suppressions.suppress({(report.address_kind, address)}, CAUSES[report.effect], now, None, event.detail)


def _suppress_person(event: TrackingEvent, delivery: Delivery, now: datetime) -> None:
    """Suppress the recipient of a delivery after a complaint.

    It is about the mails of one tenant, and about the person: not about one of their addresses.
    """
    pairs: set[Pair] = {(EMAIL, delivery.address)}
    if delivery.recipient is not None and (account := get_account_address(delivery.recipient, EMAIL)):
        pairs.add((EMAIL, account))
    suppressions = Suppression.objects.using(event._state.db)
    suppressions.suppress(pairs, Suppression.Cause.COMPLAINT, now, delivery.notification.cluster_id, event.detail)


def _narrow_complaint(event: TrackingEvent, delivery: Delivery) -> None:
    """Limit the suppression by an early complaint, which applies to all clusters, to the person and their cluster.

    If somebody has lifted it in the meantime, it stays lifted.
    """
    at, suppressions = event.recorded_at, Suppression.objects.using(event._state.db)
    is_narrowed = suppressions.withdraw(EMAIL, delivery.address, Suppression.Cause.COMPLAINT, at)
    is_complaint = event.kind == Kind.COMPLAINED and not suppressions.was_lifted(EMAIL, delivery.address, at)
    if is_narrowed or is_complaint:
        _suppress_person(event, delivery, at)


@read_from_primary()
def match_late(now: datetime, should_stop: ShouldStop) -> None:
    """Match events to deliveries whose outcome was not written yet when the provider reported them. A periodic task."""
    using = router.db_for_write(Delivery)
    events = TrackingEvent.objects.using(using)
    late = events.unmatched().filter(provider_message_id__gt="", recorded_at__gt=now - LATE)
    # The newest first: other mails of the same account at the service may cause many events, which match nothing.
    rows = list(late.order_by("-recorded_at")[:MAX_LATE])
    for start in range(0, len(rows), MATCHED_AT_ONCE):
        if should_stop():
            return
        _match(rows[start : start + MATCHED_AT_ONCE], now, using)
    events.delete_unmatched(now)


def _match(events: Sequence[TrackingEvent], now: datetime, using: str) -> None:
    deliveries = _find_deliveries({row.provider_message_id for row in events}, using)
    found = {row.provider_message_id.strip("<>"): row for row in deliveries}
    for event in events:
        delivery = found.get(event.provider_message_id.strip("<>"))
        if delivery is not None and not may_track(delivery, event.kind):
            event.delete()
        elif delivery is not None:
            with transaction.atomic(using=using):
                unmatched = TrackingEvent.objects.using(using).filter(pk=event.pk, delivery=None)
                if unmatched.update(delivery=delivery):
                    event.delivery = delivery
                    apply_to_delivery(event, delivery, now)
                    _narrow_complaint(event, delivery)
                    _send_signal(event, using)


def clean(text: str, length: int) -> str:
    """Return a text as the database can store it."""
    return UNSTORABLE.sub("", text)[:length]

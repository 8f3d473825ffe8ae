"""The plan of a purge: its steps, by the ages of the setting ``RETENTION``."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import models, router
from django.db.models import Exists, OuterRef, Q

from notifications import conf
from notifications.core import clock
from notifications.models import (
    AddressConfirmation,
    Bucket,
    CanAlert,
    CanDevice,
    CanFault,
    Delivery,
    Device,
    EscalationEntry,
    EscalationRun,
    Fingerprint,
    IdempotentRequest,
    InboxFeed,
    InboxItem,
    LiveMessage,
    MagicLink,
    Mute,
    NotificationLog,
    PreferenceChange,
    Presence,
    PushSubscription,
    TopicSubscription,
    TrackingEvent,
    TrackingFigure,
    UserSettings,
    WebhookAttempt,
    allow_log_changes,
)
from notifications.monitoring.retention.archive import Archive, open_archive
from notifications.monitoring.retention.steps import (
    PURPOSE,
    AgedStep,
    LogStep,
    NotificationStep,
    OrphanStep,
    Row,
    SimpleStep,
    Step,
)
from notifications.storage import retention
from notifications.storage.engine import get_engine

PAGES_TO_RELEASE = 200


def build_steps(now: datetime) -> list[Step]:
    """Return the steps of a purge at this time, by the ages of ``RETENTION``.

    :raises ArchiveDamaged: if there is an archive and it cannot be read.
    """
    archive = open_archive()
    ages = {name: get_limit(name, now) for name in AGED}
    aged = [AGED[name](before, archive) for name, before in ages.items() if before is not None]
    return [*aged, *_list_ended(now)]


def get_limit(name: str, now: datetime) -> datetime | None:
    """Return the time before which rows are old, by an age of ``RETENTION``; None if they are kept for ever."""
    days = conf.current().get_retention(name)
    return None if days is None else now - timedelta(days=days)


def _using(model: type[models.Model]) -> str:
    return router.db_for_write(model)


def _notifications(before: datetime, archive: Archive | None) -> Step:
    return NotificationStep("notifications and deliveries", _using(Delivery), before, archive)


def _attachments(before: datetime, archive: Archive | None) -> Step:
    return NotificationStep("attachments", _using(Delivery), before, archive, only_files=True)


def _log(before: datetime, archive: Archive | None) -> Step:
    return LogStep("log rows", _using(NotificationLog), before, archive)


def _dead_letters(before: datetime, archive: Archive | None) -> Step:
    letters = Delivery.objects.using(_using(Delivery)).dead_letters(until=before)

    def read(after: Row | None, limit: int) -> list[Row]:
        rows = letters
        if after is not None:
            pk, time = after
            rows = letters.filter(Q(settled_at__gt=time) | Q(settled_at=time, pk__gt=pk))
        return [(row.pk, row.settled_at) for row in rows.only("settled_at")[:limit] if row.settled_at is not None]

    return AgedStep("dead letters", before, read, delete_dead_letters, letters, _find_in(archive, Delivery))


def _find_in(archive: Archive | None, model: type[models.Model]) -> Callable[[int], bool]:
    """Return the function that says whether a row is archived, which all are if there is no archive."""
    return (lambda pk: True) if archive is None else partial(archive.contains, model._meta.label_lower)


def _by_key(model: type[models.Model], column: str, before: datetime) -> Callable[[Row | None, int], list[Row]]:
    """Return the function that reads the next rows of a table whose keys are in the order of time."""

    def read(after: Row | None, limit: int) -> list[Row]:
        return retention.read_rows(model, _using(model), column, before, after[0] if after else 0, limit)

    return read


def delete_dead_letters(keys: list[int]) -> int:
    """Delete these deliveries unless they were sent again in the meantime; return how many were deleted."""
    # The condition is checked again when the rows are locked.
    letters = Delivery.objects.using(_using(Delivery)).dead_letters().filter(pk__in=keys)
    return letters.delete()[1].get(Delivery._meta.label, 0) if keys else 0


def _append_only(model: Any, field_name: str, title: str) -> Callable[..., Step]:
    def build(before: datetime, archive: Archive | None) -> Step:
        using = _using(model)
        rows = model.objects.using(using).filter(**{f"{field_name}__lt": before})
        is_archived = _find_in(archive if model is EscalationEntry else None, model)

        def remove(keys: list[int]) -> int:
            if model is EscalationEntry:
                keys = _choose_entries(keys, using)
            if keys:
                with allow_log_changes(PURPOSE, using):
                    model.objects.using(using).filter(pk__in=keys)._raw_delete(using)
            return len(keys)

        return AgedStep(title, before, _by_key(model, field_name, before), remove, rows, is_archived)

    return build


def _choose_entries(keys: list[int], using: str) -> list[int]:
    """Return the entries that may be deleted: those of escalations that are over."""
    runs = EscalationRun.objects.using(using).filter(Q(due_at__isnull=False) | Q(state=EscalationRun.State.ACTIVE))
    entries = EscalationEntry.objects.using(using).filter(~Exists(runs.filter(pk=OuterRef("run_id"))), pk__in=keys)
    return list(entries.order_by("pk").values_list("pk", flat=True))


def _inbox(before: datetime, archive: Archive | None) -> Step:
    items = InboxItem.objects.using(_using(InboxItem))

    def remove(keys: list[int]) -> int:
        # A snoozed item is shown again at the time that its user has chosen.
        snoozed = items.filter(pk__in=keys).snoozed(clock.now(items.db)).values_list("pk", flat=True)
        return items.discard(set(keys).difference(snoozed))

    rows = items.filter(created_at__lt=before)
    return AgedStep("inbox items", before, _by_key(InboxItem, "created_at", before), remove, rows)


def _tracking_events(before: datetime, archive: Archive | None) -> Step:
    events = TrackingEvent.objects.using(_using(TrackingEvent)).unmatched().filter(recorded_at__lt=before)
    return SimpleStep("tracking events", partial(_delete_first, events), events)


def _tracking_figures(before: datetime, archive: Archive | None) -> Step:
    rows = TrackingFigure.objects.using(_using(TrackingFigure)).filter(day__lt=before.date()).order_by("day")
    return SimpleStep("tracking figures", partial(_delete_first, rows), rows)


def _webhook_attempts(before: datetime, archive: Archive | None) -> Step:
    rows = WebhookAttempt.objects.using(_using(WebhookAttempt))
    return SimpleStep("webhook attempts", partial(rows.delete_older, before), rows.filter(at__lt=before))


def _can_state(before: datetime, archive: Archive | None) -> Step:
    def delete(limit: int) -> int:
        kinds: list[Any] = [CanFault, CanAlert, CanDevice]
        return sum(kind.objects.using(_using(kind)).delete_older(before, limit) for kind in kinds)

    return SimpleStep("CAN faults, alerts and devices", delete)


def _delete_first(rows: models.QuerySet[Any], limit: int) -> int:
    keys = list(rows.values_list("pk", flat=True)[:limit])
    return rows.model._base_manager.using(rows.db).filter(pk__in=keys).delete()[0] if keys else 0


AGED: dict[str, Callable[..., Step]] = {
    "NOTIFICATIONS": _notifications,
    "ATTACHMENTS": _attachments,
    # After the notifications: one that ends with its last dead letter is archived and deleted by the next runs.
    "DEAD_LETTERS": _dead_letters,
    "LOG": _log,
    "ESCALATION_ENTRIES": _append_only(EscalationEntry, "at", "entries of escalations"),
    "INBOX": _inbox,
    "TRACKING_EVENTS": _tracking_events,
    "TRACKING_FIGURES": _tracking_figures,
    "WEBHOOK_ATTEMPTS": _webhook_attempts,
    "PREFERENCE_CHANGES": _append_only(PreferenceChange, "at", "records of changed preferences"),
    "CAN_STATE": _can_state,
}
"""The steps whose age is a key of ``RETENTION``."""

PERSONAL: tuple[Any, ...] = (UserSettings, Mute, TopicSubscription, Device, PushSubscription, InboxFeed)


def _list_ended(now: datetime) -> Iterator[Step]:
    """Yield the steps for rows that have an end of their own."""
    ended: tuple[tuple[str, Any, str], ...] = (
        ("rate limits", Bucket, "delete_full"),
        ("deduplication keys", Fingerprint, "delete_ended"),
        ("answers of the API", IdempotentRequest, "delete_expired"),
        ("magic links", MagicLink, "delete_expired"),
        ("address confirmations", AddressConfirmation, "delete_expired"),
        ("live messages", LiveMessage, "delete_expired"),
        ("presences", Presence, "delete_expired"),
    )
    for name, model, method in ended:
        rows = model.objects.using(_using(model))
        yield SimpleStep(name, partial(_delete_ended, getattr(rows, method), now))
    for model in PERSONAL:
        yield OrphanStep(f"{model._meta.verbose_name_plural} of deleted users", model)
    yield SimpleStep("unused pages", _release_pages)


def _release_pages(limit: int) -> int:
    return get_engine(_using(Delivery)).release_pages(min(limit, PAGES_TO_RELEASE))


def _delete_ended(delete: Callable[..., Any], now: datetime, limit: int) -> int:
    return int(delete(now, limit) or 0)

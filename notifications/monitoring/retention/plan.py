"""The plan of a purge: its steps, by the ages of the setting ``RETENTION``."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import models, router
from django.db.models import Exists, OuterRef, Q

from notifications import conf
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
    LogStep,
    NotificationStep,
    OrphanStep,
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
    return SimpleStep("dead letters", partial(_delete_letters, letters, archive), letters)


def _delete_letters(letters: Any, archive: Archive | None, limit: int) -> int:
    keys = list(letters.values_list("pk", flat=True)[:limit])
    return delete_dead_letters([pk for pk in keys if archive is None or archive.contains("klaxon.delivery", pk)])


def delete_dead_letters(keys: list[int]) -> int:
    """Delete these deliveries unless they were sent again in the meantime; return how many were deleted."""
    # The condition is checked again when the rows are locked.
    letters = Delivery.objects.using(_using(Delivery)).dead_letters().filter(pk__in=keys)
    return letters.delete()[1].get(Delivery._meta.label, 0) if keys else 0


def _append_only(model: Any, field_name: str, title: str) -> Callable[..., Step]:
    def build(before: datetime, archive: Archive | None) -> Step:
        using = _using(model)
        rows = model.objects.using(using).filter(**{f"{field_name}__lt": before})

        def delete(limit: int) -> int:
            keys = retention.find_oldest(model, using, field_name, before, limit)
            if model is EscalationEntry:
                keys = _choose_entries(keys, using, archive)
            if keys:
                with allow_log_changes(PURPOSE, using):
                    model.objects.using(using).filter(pk__in=keys)._raw_delete(using)
            return len(keys)

        return SimpleStep(title, delete, rows)

    return build


def _choose_entries(keys: list[int], using: str, archive: Archive | None) -> list[int]:
    """Return the entries that may be deleted: those of escalations that are over, if they are archived."""
    runs = EscalationRun.objects.using(using).filter(Q(due_at__isnull=False) | Q(state=EscalationRun.State.ACTIVE))
    entries = EscalationEntry.objects.using(using).filter(~Exists(runs.filter(pk=OuterRef("run_id"))), pk__in=keys)
    over = entries.order_by("pk").values_list("pk", flat=True)
    return [pk for pk in over if archive is None or archive.contains("klaxon.escalationentry", pk)]


def _inbox(before: datetime, archive: Archive | None) -> Step:
    items = InboxItem.objects.using(_using(InboxItem))

    def delete(limit: int) -> int:
        keys = retention.find_oldest(InboxItem, items.db, "created_at", before, limit)
        return items.discard(keys)

    return SimpleStep("inbox items", delete, items.filter(created_at__lt=before))


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

"""Write what a purge would delete now, and what is not archived yet, into one file of the archive."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.db import router

from notifications.models import (
    Acknowledgement,
    AttachedFile,
    Delivery,
    EscalationEntry,
    EscalationRun,
    LogPersonal,
    Notification,
    NotificationLog,
    TrackingEvent,
)
from notifications.monitoring.retention.archive import PART, Archive, Writer, get_folder, locked, open_archive
from notifications.monitoring.retention.plan import get_limit
from notifications.monitoring.retention.steps import NotificationStep

PAGE = 500
OnProgress = Callable[[int], None]


def write_archive(now: datetime, on_progress: OnProgress = lambda count: None) -> tuple[Path | None, Counter[str]]:
    """Write a file of the archive; return the path of its manifest, None if there is nothing to write, and the counts.

    Nothing is deleted. The contents of attachments are not archived, only their names.

    :raises ArchiveBusy: if another process is writing or changing the archive.
    :raises ArchiveDamaged: if an earlier manifest cannot be read.
    :raises ValueError: if the site has no archive.
    :raises OSError: if the file cannot be written.
    """
    folder = get_folder()
    if folder is None:
        raise ValueError("There is no archive, because NOTIFICATIONS['RETENTION']['ARCHIVE_DIR'] is empty.")
    # Two runs at once would write the same rows twice, and each would remove the file of the other.
    with locked(folder):
        return _write_file(folder, now, on_progress)


def _write_file(folder: Path, now: datetime, on_progress: OnProgress) -> tuple[Path | None, Counter[str]]:
    archive = open_archive() or Archive(folder)
    name = f"klaxon-{now:%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"
    for part in folder.glob(f"klaxon-*{PART}"):
        part.unlink(missing_ok=True)
    writer = Writer(folder, name)
    try:
        for count in _write(writer, archive, now):
            on_progress(count)
        if not writer.counts:
            writer.abandon()
            return None, writer.counts
        return writer.finish(now), writer.counts
    except BaseException:
        writer.abandon()
        raise


def _write(writer: Writer, archive: Archive, now: datetime) -> Iterator[int]:
    yield from _write_notifications(writer, archive, now)
    yield from _write_dead_letters(writer, archive, now)
    if (before := get_limit("LOG", now)) is not None:
        for keys in _find_old(NotificationLog, "sent_at", before, archive):
            writer.write_rows(_rows(NotificationLog, pk__in=keys), in_ranges=True)
            writer.write_rows(_rows(LogPersonal, log__in=keys))
            yield len(keys)
    if (before := get_limit("ESCALATION_ENTRIES", now)) is not None:
        for keys in _find_old(EscalationEntry, "at", before, archive):
            writer.write_rows(_rows(EscalationEntry, pk__in=keys), in_ranges=True)
            yield len(keys)


def _write_notifications(writer: Writer, archive: Archive, now: datetime) -> Iterator[int]:
    if (before := get_limit("NOTIFICATIONS", now)) is None:
        return
    step = NotificationStep("notifications", router.db_for_write(Delivery), before)
    for ended in step.iterate_ended():
        ids = [pk for pk in ended if not archive.contains("klaxon.notification", pk)]
        if ids:
            writer.write_rows(_rows(Notification, pk__in=ids), in_ranges=True)
            writer.write_rows(_rows(AttachedFile, notification__in=ids), without=["content"])
            for model in (Acknowledgement, EscalationRun):
                writer.write_rows(_rows(model, notification__in=ids))
            yield from _write_deliveries(writer, ids)


def _write_deliveries(writer: Writer, notification_ids: list[int]) -> Iterator[int]:
    rows, after = _rows(Delivery, notification__in=notification_ids).order_by("pk"), 0
    while keys := list(rows.filter(pk__gt=after).values_list("pk", flat=True)[:PAGE]):
        writer.write_rows(_rows(Delivery, pk__in=keys))
        writer.write_rows(_rows(TrackingEvent, delivery__in=keys))
        after = keys[-1]
        yield len(keys)


def _write_dead_letters(writer: Writer, archive: Archive, now: datetime) -> Iterator[int]:
    if (before := get_limit("DEAD_LETTERS", now)) is None:
        return
    letters = Delivery.objects.using(router.db_for_write(Delivery)).dead_letters(until=before).order_by("pk")
    after = 0
    while keys := list(letters.filter(pk__gt=after).values_list("pk", flat=True)[:PAGE]):
        after = keys[-1]
        new = [pk for pk in keys if not archive.contains("klaxon.delivery", pk)]
        writer.write_rows(_rows(Delivery, pk__in=new), in_ranges=True)
        writer.write_rows(_rows(TrackingEvent, delivery__in=new))
        yield len(new)


def _find_old(model: Any, name: str, before: datetime, archive: Archive) -> Iterator[list[int]]:
    """Yield the keys of old rows in pages, up to the first page without any: keys are nearly in the order of time."""
    table, rows, after = model._meta.label_lower, _rows(model).order_by("pk"), 0
    while page := list(rows.filter(pk__gt=after).values_list("pk", name)[:PAGE]):
        after = page[-1][0]
        old = [pk for pk, time in page if time < before]
        if not old:
            return
        yield [pk for pk in old if not archive.contains(table, pk)]


def _rows(model: Any, **lookups: Any) -> Any:
    return model._base_manager.using(router.db_for_write(model)).filter(**lookups)

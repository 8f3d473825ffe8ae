"""Erase everything that Klaxon holds about a person. What must stay is anonymous.

First texts that mention the person are changed, also those in rows of others and in the archive, then the rows of the
person are deleted. So an erasure that was interrupted finds all names and addresses again when it is repeated.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import models, router, transaction
from django.db.models import Exists, OuterRef, Q

from notifications import conf
from notifications.context import is_encrypted
from notifications.core import clock
from notifications.core.addresses import user_key
from notifications.exceptions import KlaxonError
from notifications.models import (
    Acknowledgement,
    AttachedFile,
    Delivery,
    EscalationEntry,
    EscalationPolicyStep,
    EscalationRun,
    IdempotentRequest,
    InboxItem,
    LiveMessage,
    Notification,
    NotificationLog,
    PreferenceChange,
    Suppression,
    TrackedLink,
    UserSettings,
    allow_log_changes,
)
from notifications.models.append_only import AppendOnly
from notifications.monitoring.privacy.admin_history import find_history_model, scrub_history
from notifications.monitoring.privacy.files import find_attachments, find_files, make_line_filter, rewrite_archive
from notifications.monitoring.privacy.holdings import AUTHORS, HOLDINGS, MENTIONS, Holding, find_mentions
from notifications.monitoring.privacy.person import Person
from notifications.monitoring.retention import archive
from notifications.outcomes import WAITING, DeliveryState
from notifications.storage import retention
from notifications.storage.chunks import iterate_in_chunks
from notifications.storage.engine import array_subquery, get_engine

logger = logging.getLogger("notifications.privacy")

PURPOSE = "erase"
BATCH = 200
POLL_SECONDS = 0.2
KEPT = (NotificationLog, Suppression, EscalationEntry)
"""Tables whose rows stay without what identifies the person."""
DELETED_MENTIONS = (TrackedLink, IdempotentRequest, LiveMessage)
"""Tables whose rows are deleted if they mention the person, because they are of no use without the text."""
IN_PROGRESS = (DeliveryState.CLAIMED, DeliveryState.SENDING)
LAST = (Delivery, UserSettings)
"""Tables that the names and addresses come from."""


class StillSending(KlaxonError):
    """A delivery to the person is being sent at this moment, and did not end in time."""


@dataclass
class Erasure:
    """What an erasure has done or would do.

    :param counts: rows by what happened to them.
    :param remaining: sentences about what it cannot erase.
    """

    counts: Counter[str] = field(default_factory=Counter)
    remaining: list[str] = field(default_factory=list)


def erase(person: Person, by: Any = None, wait_seconds: float = 30.0) -> Erasure:
    """Erase a person from the database and the archive, in many short transactions.

    :param by: the user who does it, for the record.
    :param wait_seconds: how long to wait for deliveries that are being sent.
    :raises StillSending: if one is still being sent then. Nothing but waiting deliveries has been changed.
    :raises ArchiveBusy: if another process is writing the archive. Nothing has been changed.
    :raises ArchiveDamaged: if a file of the archive cannot be read. The database is changed only afterwards.
    """
    folder = archive.get_folder()
    # Until the end. Otherwise rows that are not erased yet could be archived in the meantime.
    with archive.locked(folder) if folder is not None else nullcontext():
        return _erase(person, by, wait_seconds)


def _erase(person: Person, by: Any, wait_seconds: float) -> Erasure:
    result, using = Erasure(), router.db_for_write(Delivery)
    get_engine(using).overwrite_deleted()
    known = _cancel(person, using, result, wait_seconds)
    result.counts["lines of the archive"] += rewrite_archive(person, partial(_remain, result))
    _scrub_mentions(person, result)
    result.counts["entries of the admin's history"] += scrub_history(person)
    _scrub_encrypted(person, using, result)
    _remove_targets(person, result)
    _forget_author(person, result)
    for holding in sorted(HOLDINGS, key=lambda one: (one.model in LAST, one.model is UserSettings)):
        if holding.model is Delivery:
            _delete_notifications(person, holding, using, result, known)
        else:
            _erase_rows(person, holding, result)
    result.remaining += [*find_files(person), *find_attachments(person), *_list_others(person)]
    _record(person, by, result)
    return result


def preview(person: Person) -> Erasure:
    """Return what :func:`erase` would do, without changing anything."""
    result = Erasure()
    for holding in HOLDINGS:
        action = "anonymized" if holding.model in KEPT else "deleted"
        result.counts[f"{holding.model._meta.verbose_name_plural} {action}"] += holding.rows(person).count()
    for model, columns in MENTIONS:
        rows = sum(_mentions(person, row, columns) for row in find_mentions(person, model, columns))
        result.counts[f"{model._meta.verbose_name_plural} that mention the person"] += rows
    if folder := archive.get_folder():
        change = make_line_filter(person)
        for path in archive.list_manifests(folder):
            lines = archive.read_lines(folder / archive.read_manifest(path)["file"])
            result.counts["lines of the archive"] += sum(change(line) != line for line in lines)
    result.remaining += [*find_files(person), *_list_others(person)]
    return result


def _list_others(person: Person) -> Iterator[str]:
    for pk in person.others:
        yield f"The account {user_key(pk)} has an address of the person too, so that address and its rows stay."


def _cancel(person: Person, using: str, result: Erasure, wait_seconds: float) -> set[int]:
    """Cancel all deliveries that are not sent yet, wait for those that are being sent, and return the keys of all."""
    deadline = time.monotonic() + wait_seconds
    keys = list(_keys(_get_holding(Delivery).rows(person)))
    rows = Delivery.objects.using(using).filter(pk__in=array_subquery(keys, Delivery._meta.pk, using))
    while True:
        now = clock.now(using)
        with transaction.atomic(using=using):
            result.counts["deliveries cancelled"] += rows.cancel(now) + rows.cancel_merged(now) + rows.withdraw(now)
        if not rows.filter(state__in=(*WAITING, *IN_PROGRESS)).exists():
            return set(keys)
        if time.monotonic() >= deadline:
            raise StillSending(
                f"Deliveries to {person.label} are being sent at this moment, or their worker was lost. Run the "
                "command again when they have ended."
            )
        time.sleep(POLL_SECONDS)


def _scrub_mentions(person: Person, result: Erasure) -> None:
    for model, columns in MENTIONS:
        name = f"{model._meta.verbose_name_plural} that mention the person"
        using = router.db_for_write(model)
        for row in find_mentions(person, model, columns):
            if not _mentions(person, row, columns):
                continue
            rows: Any = models.QuerySet(model, using=using).filter(pk=row.pk)
            with _changing(model, using):
                if model in DELETED_MENTIONS:
                    rows.delete()
                else:
                    rows.update(**{column: _scrub_column(person, row, column) for column in columns})
            result.counts[name] += 1


def _mentions(person: Person, row: Any, columns: tuple[str, ...]) -> bool:
    return any(person.scrub(value) != value for value in (getattr(row, column) for column in columns))


def _scrub_column(person: Person, row: Any, column: str) -> Any:
    value = getattr(row, column)
    scrubbed = person.scrub(value)
    if scrubbed == value:
        return value
    if isinstance(row, EscalationRun):
        # The engine reads it, so it must stay in its form.
        return [[*page[:3], _without_targets(person, page[3]), *page[4:]] for page in value]
    if column == "targets":
        return _without_targets(person, value)
    if column in ("idempotency_key", "cancel_key"):
        scrubbed = f"{scrubbed}-{row.pk}"
    most = row._meta.get_field(column).max_length
    return scrubbed[:most] if most and isinstance(scrubbed, str) else scrubbed


def _without_targets(person: Person, targets: list[str]) -> list[str]:
    return [target for target in targets if not person.is_target(target)]


def _scrub_encrypted(person: Person, using: str, result: Erasure) -> None:
    """Change contexts and inbox items that are encrypted and mention the person."""
    rows = Notification.objects.using(using).filter(context__has_key="$encrypted")
    for pk, context in iterate_in_chunks(rows, "pk", "context"):
        if not is_encrypted(context):
            continue
        try:
            scrubbed = person.scrub_context(context)
        except KlaxonError as error:
            _remain(result, f"Notification {pk} is encrypted and cannot be read: {error}")
            continue
        if scrubbed != context:
            rows.filter(pk=pk).update(context=scrubbed)
            result.counts["notifications that mention the person"] += 1
    items = InboxItem.objects.using(router.db_for_write(InboxItem)).exclude(encrypted="")
    for (pk,) in iterate_in_chunks(items, "pk"):
        _scrub_encrypted_item(person, items.filter(pk=pk), result)


def _scrub_encrypted_item(person: Person, rows: Any, result: Erasure) -> None:
    for item in rows:
        try:
            content, label = item.reveal(), item.title
        except KlaxonError as error:
            _remain(result, f"Inbox item {item.pk} is encrypted and cannot be read: {error}")
            continue
        if (scrubbed := person.scrub([*content])) != [*content]:
            item.title, item.body = scrubbed
            item.encrypt(label)
            rows.update(encrypted=item.encrypted)
            result.counts["inbox items that mention the person"] += 1


def _remain(result: Erasure, sentence: str) -> None:
    if len(result.remaining) < 20:
        result.remaining.append(sentence)


def _remove_targets(person: Person, result: Erasure) -> None:
    """Remove the person from what staff have set for escalations, and from the pages of those that run."""
    for step in EscalationPolicyStep.objects.using(router.db_for_write(EscalationPolicyStep)):
        left = _without_targets(person, step.target_list)
        if len(left) < len(step.target_list):
            step.targets = "\n".join(left)
            step.save(update_fields=["targets"])
            result.counts["targets of escalations removed"] += 1
            if not left:
                result.remaining.append(f"The step after {step.after} of {step.policy} has no target any more.")
    runs = EscalationRun.objects.using(router.db_for_write(EscalationRun))
    for run in runs.filter(due_at__isnull=False):
        pages = [[*page[:3], _without_targets(person, page[3]), *page[4:]] for page in run.pages]
        if pages != run.pages:
            runs.filter(pk=run.pk).update(pages=pages)
            result.counts["targets of escalations removed"] += 1
    named = [name for name, value in conf.current().escalation_targets.items() if _names(person, value)]
    if named:
        result.remaining.append(f"NOTIFICATIONS['ESCALATION_TARGETS'] names the person: {', '.join(named)}.")


def _names(person: Person, value: Any) -> bool:
    return any(person.is_target(target) for target in ([value] if isinstance(value, str) else value))


def _forget_author(person: Person, result: Erasure) -> None:
    """Empty the columns that say that the person has done something."""
    if person.user is None:
        return
    for model, column in AUTHORS:
        using = router.db_for_write(model)
        rows: Any = models.QuerySet(model, using=using)
        values = {column: None, **({"actor_name": ""} if model is InboxItem else {})}
        for keys in _pages(rows.filter(**{column: person.user.pk})):
            with _changing(model, using):
                rows.filter(pk__in=keys).update(**values)
            result.counts[f"{model._meta.verbose_name_plural} without their author"] += len(keys)


def _erase_rows(person: Person, holding: Holding, result: Erasure) -> None:
    model, using = holding.model, holding.using
    if model is NotificationLog:
        # Its texts were changed; the recipient key stays, and names nobody when the account is deleted.
        return
    rows: Any = models.QuerySet(model, using=using)
    for keys in _pages(holding.rows(person)):
        these = rows.filter(pk__in=keys)
        with _changing(model, using):
            if model is Suppression:
                # It must stay, so that nothing is sent to the address again. Its hash cannot be read.
                these.update(address="", detail="", lift_note="")
            elif model is EscalationEntry:
                these.update(by=None, by_key="", note="")
            elif model is InboxItem:
                InboxItem.objects.using(using).discard(keys)
            elif issubclass(model, AppendOnly):
                these._raw_delete(using)
            else:
                these.delete()
        action = "anonymized" if model in KEPT else "deleted"
        result.counts[f"{model._meta.verbose_name_plural} {action}"] += len(keys)


def _delete_notifications(person: Person, holding: Holding, using: str, result: Erasure, known: set[int]) -> None:
    """Delete the deliveries to the person, and the notifications that nobody else got.

    :param known: the deliveries that existed when the erasure began.
    """
    mine = set(_find_own_notifications(person, using))
    are_new = False
    for keys in _pages(holding.rows(person)):
        are_new |= not known.issuperset(keys)
        with transaction.atomic(using=using):
            # The worker that sends a new one needs its row.
            deliveries = Delivery.objects.using(using).filter(pk__in=keys).exclude(state__in=IN_PROGRESS)
            found = dict(deliveries.select_for_update().order_by("pk").values_list("pk", "notification"))
            mine.update(found.values())
            retention.delete_delivery_rows(get_engine(using), found)
        result.counts["deliveries deleted"] += len(found)
    if are_new:
        result.remaining.append(
            "Something was sent to the person during the erasure. Deactivate the account, and run the command again."
        )
    for start in range(0, len(mine), BATCH):
        ids = sorted(mine)[start : start + BATCH]
        others = Delivery.objects.using(using).filter(notification=OuterRef("pk"))
        active = EscalationRun.objects.using(using).filter(
            Q(due_at__isnull=False) | Q(state=EscalationRun.State.ACTIVE), notification=OuterRef("pk")
        )
        rows = Notification.objects.using(using).filter(~Exists(others), ~Exists(active), pk__in=ids)
        alone = list(rows.values_list("pk", flat=True))
        with transaction.atomic(using=using):
            AttachedFile.objects.using(using).filter(notification__in=alone).delete()
            Acknowledgement.objects.using(using).filter(notification__in=alone).delete()
            result.counts["notifications deleted"] += retention.delete_notifications(using, alone)


def _find_own_notifications(person: Person, using: str) -> Iterator[int]:
    """Yield the notifications without deliveries that only the person would have got: all were dropped."""
    log = NotificationLog.objects.using(using)
    others = log.filter(notification=OuterRef("notification")).exclude(recipient_key__in=person.keys)
    mine: Any = models.QuerySet(NotificationLog, using=using).filter(recipient_key__in=person.keys)
    rows = mine.filter(~Exists(others), notification__isnull=False).order_by()
    yield from rows.values_list("notification", flat=True).distinct()


def _keys(rows: models.QuerySet[Any]) -> Iterator[Any]:
    return (pk for (pk,) in iterate_in_chunks(rows, "pk"))


def _pages(rows: models.QuerySet[Any]) -> Iterator[list[Any]]:
    keys = list(_keys(rows))
    yield from (keys[start : start + BATCH] for start in range(0, len(keys), BATCH))


def _get_holding(model: Any) -> Holding:
    return next(holding for holding in HOLDINGS if holding.model is model)


def _changing(model: Any, using: str) -> Any:
    """Return a transaction in which rows of the model may be changed."""
    return allow_log_changes(PURPOSE, using) if issubclass(model, AppendOnly) else transaction.atomic(using=using)


def _record(person: Person, by: Any, result: Erasure) -> None:
    """Record that somebody was erased, without saying who but for the key of the account."""
    counts = {name: count for name, count in result.counts.items() if count}
    using = router.db_for_write(PreferenceChange)
    PreferenceChange.objects.using(using).create(
        at=clock.now(using),
        by=by,
        action=PreferenceChange.Action.DELETED,
        table="person",
        subject=person.label,
        after=counts,
    )
    logger.info("Erased a person (%s): %s.", person.label, ", ".join(f"{name} {n}" for name, n in counts.items()))


def get_tables() -> list[str]:
    """Return the names of the tables that an erasure changes."""
    found = {holding.model for holding in HOLDINGS} | {model for model, _columns in (*MENTIONS, *AUTHORS)}
    history = {model for model in [find_history_model()] if model is not None}
    return sorted(model._meta.db_table for model in found | history | {Notification, EscalationPolicyStep})

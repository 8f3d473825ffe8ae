"""Attachments: files of notifications. Each is stored once, regardless of the number of recipients."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain

from django.apps import apps
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.attachments import MAX_NAME_BYTES, Attachment
from notifications.events import NOTIFICATION_EVENTS
from notifications.models.notification import Notification
from notifications.storage.engine import InsertTarget, get_engine

TARGET = InsertTarget("klaxon_attachedfile", ("notification_id", "place", "name", "mimetype", "content"))
Files = tuple[Attachment, ...]


class AttachedFileQuerySet(models.QuerySet["AttachedFile"]):
    def attach(self, notification: Notification, attachments: Sequence[Attachment]) -> None:
        """Store attachments of a notification in the caller's transaction, with at most one statement on PostgreSQL."""
        if not attachments:
            return
        engine = get_engine(self.db)
        connection = engine.connection
        prepare = models.BinaryField().get_db_prep_save
        rows = [
            (notification.pk, place, attachment.name, attachment.mimetype, prepare(attachment.content, connection))
            for place, attachment in enumerate(attachments)
        ]
        engine.insert_rows(TARGET, rows)

    def load_attachments(self, notifications: Iterable[Notification]) -> dict[int, Files]:
        """Return the attachments by the primary key of their notification; a digest or batch has those of its items.

        If an event was declared as sensitive after the send, its files stay where they are.
        It takes one query, two if there is a digest or batch with attachments, and none if there are no attachments.
        """
        with_files = {row.pk: row for row in notifications if row.attachment_bytes and not row.is_sensitive}
        digest_ids = [pk for pk, row in with_files.items() if row.digest_kind]
        items = self._load_item_ids(digest_ids) if digest_ids else {}
        sources = {pk: items.get(pk, ()) if row.digest_kind else (pk,) for pk, row in with_files.items()}
        files = self._load_files({source for ids in sources.values() for source in ids}) if with_files else {}
        return {pk: tuple(chain.from_iterable(files.get(source, ()) for source in ids)) for pk, ids in sources.items()}

    def _load_item_ids(self, digest_ids: Sequence[int]) -> dict[int, list[int]]:
        """Return the notifications with attachments in each digest, in the order of the digest."""
        merged = apps.get_model("klaxon", "Delivery")._base_manager.using(self.db)
        with_files = merged.filter(merged_into__notification__in=digest_ids, notification__attachment_bytes__gt=0)
        sensitive = [event.name for event in NOTIFICATION_EVENTS.values() if event.sensitive]
        with_files = with_files.exclude(notification__event__in=sensitive) if sensitive else with_files
        ordered = with_files.order_by("notification__priority", "notification__created_at", "pk")
        found: defaultdict[int, list[int]] = defaultdict(list)
        for digest_id, item_id in ordered.values_list("merged_into__notification_id", "notification_id"):
            found[digest_id].append(item_id)
        return found

    def _load_files(self, ids: Iterable[int]) -> dict[int, list[Attachment]]:
        found: defaultdict[int, list[Attachment]] = defaultdict(list)
        rows = self.filter(notification__in=list(ids)).order_by("notification", "place")
        for pk, name, content, mimetype in rows.values_list("notification_id", "name", "content", "mimetype"):
            found[pk].append(Attachment(name, content, mimetype))
        return found


class AttachedFile(models.Model):
    """A file that is attached to a notification."""

    notification = models.ForeignKey(
        Notification,
        verbose_name=_("notification"),
        on_delete=models.CASCADE,
        related_name="attachments",
        db_index=False,
    )
    place = models.PositiveSmallIntegerField(_("position"))
    name = models.CharField(_("name"), max_length=MAX_NAME_BYTES)
    mimetype = models.CharField(_("type"), max_length=255)
    content = models.BinaryField(_("content"))

    objects = AttachedFileQuerySet.as_manager()

    class Meta:
        verbose_name = _("attachment")
        verbose_name_plural = _("attachments")
        constraints = [
            models.UniqueConstraint(fields=["notification", "place"], name="klaxon_attachment_once"),
        ]

    def __str__(self) -> str:
        return self.name

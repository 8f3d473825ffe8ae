"""Attachments: files that go along with notifications, each stored once however many receive it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain

from django.apps import apps
from django.db import connections, models
from django.utils.translation import gettext_lazy as _

from notifications.attachments import MAX_NAME_BYTES, Attachment
from notifications.models.notification import Notification
from notifications.storage.bulk_insert import insert_rows

INSERT_INTO = "INSERT INTO klaxon_attachedfile (notification_id, place, name, mimetype, content)"
PLACEHOLDERS = "%s, %s, %s, %s, %s"
Files = tuple[Attachment, ...]


class AttachedFileQuerySet(models.QuerySet["AttachedFile"]):
    def attach(self, notification: Notification, attachments: Sequence[Attachment]) -> None:
        """Store them with a notification, in the caller's transaction; one statement, or none where there are none."""
        if not attachments:
            return
        connection = connections[self.db]
        as_taken = models.BinaryField().get_db_prep_save
        rows = [
            (notification.pk, place, one.name, one.mimetype, as_taken(one.content, connection))
            for place, one in enumerate(attachments)
        ]
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                insert_rows(cursor, INSERT_INTO, PLACEHOLDERS, rows)
            else:
                values = ", ".join([f"({PLACEHOLDERS})"] * len(rows))
                cursor.execute(f"{INSERT_INTO} VALUES {values}", [*chain.from_iterable(rows)])

    def carried_by(self, notifications: Iterable[Notification]) -> dict[int, Files]:
        """By primary key, the files of those that have some; a digest or batch carries those of its items.

        One query, two where there is a digest or batch among them, none where nobody has any.
        """
        heavy = {row.pk: row for row in notifications if row.attachment_bytes}
        wholes = [pk for pk, row in heavy.items() if row.gathers]
        items = self._items_of(wholes) if wholes else {}
        sources = {pk: items.get(pk, ()) if row.gathers else (pk,) for pk, row in heavy.items()}
        files = self._files_of({source for ids in sources.values() for source in ids}) if heavy else {}
        return {pk: tuple(chain.from_iterable(files.get(source, ()) for source in ids)) for pk, ids in sources.items()}

    def _items_of(self, wholes: Sequence[int]) -> dict[int, list[int]]:
        """In the order in which a digest tells them."""
        merged = apps.get_model("klaxon", "Delivery")._base_manager.using(self.db)
        with_files = merged.filter(merged_into__notification__in=wholes, notification__attachment_bytes__gt=0)
        ordered = with_files.order_by("notification__priority", "notification__created_at", "pk")
        found: defaultdict[int, list[int]] = defaultdict(list)
        for whole, item in ordered.values_list("merged_into__notification_id", "notification_id"):
            found[whole].append(item)
        return found

    def _files_of(self, ids: Iterable[int]) -> dict[int, list[Attachment]]:
        found: defaultdict[int, list[Attachment]] = defaultdict(list)
        rows = self.filter(notification__in=list(ids)).order_by("notification", "place")
        for pk, name, content, mimetype in rows.values_list("notification_id", "name", "content", "mimetype"):
            found[pk].append(Attachment(name, content, mimetype))
        return found


class AttachedFile(models.Model):
    """One file that goes along with a notification."""

    notification = models.ForeignKey(
        Notification,
        verbose_name=_("notification"),
        on_delete=models.CASCADE,
        related_name="attachments",
        db_index=False,
    )
    place = models.PositiveSmallIntegerField(_("place"))
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

"""Inbox items: what users see in the app. They keep their own text and remain when the notification is deleted."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.core.encryption import decrypt, encrypt
from notifications.events import NotificationPriority
from notifications.models.delivery import Delivery

TITLE_LENGTH = 255


class InboxQuerySet(models.QuerySet["InboxItem"]):
    def of(self, user: Any) -> "InboxQuerySet":
        """Return the items of a user."""
        return self.filter(recipient=user)

    def unread(self) -> "InboxQuerySet":
        """Return the items that are not marked as read."""
        return self.filter(read_at__isnull=True)

    def mark_read(self, now: datetime) -> int:
        """Mark the unread items as read and return their number."""
        return self.unread().update(read_at=now)

    def add_items(self, items: Iterable["InboxItem"]) -> None:
        """Save new items; if a delivery already has an item, that item stays unchanged."""
        self.bulk_create(list(items), ignore_conflicts=True)  # type: ignore[arg-type]


class InboxItem(models.Model):
    """A notification as a user sees it, in that user's language."""

    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name=_("cluster"), on_delete=models.CASCADE, related_name="+"
    )
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("recipient"), on_delete=models.CASCADE, related_name="inbox_items"
    )
    delivery = models.OneToOneField(
        Delivery,
        verbose_name=_("delivery"),
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        related_name="+",
    )
    event = models.CharField(_("event"), max_length=100)
    priority = models.PositiveSmallIntegerField(
        _("priority"), choices=[(item.value, item.name.lower()) for item in NotificationPriority]
    )
    topic = models.CharField(_("topic"), max_length=200, blank=True)
    title = models.CharField(_("title"), max_length=TITLE_LENGTH)
    body = models.TextField(_("body"), blank=True)
    # A token with the title and the body, if the event is sensitive. Then title is the name of the event for users.
    encrypted = models.TextField(_("encrypted content"), blank=True, default="", editable=False)
    created_at = models.DateTimeField(_("created at"))
    read_at = models.DateTimeField(_("read at"), null=True, blank=True)

    objects = InboxQuerySet.as_manager()

    class Meta:
        verbose_name = _("inbox item")
        verbose_name_plural = _("inbox items")
        ordering = ("-created_at", "-id")
        indexes = [
            models.Index(fields=["recipient", "-created_at", "-id"], name="klaxon_inbox_newest"),
            models.Index(fields=["recipient"], condition=models.Q(read_at__isnull=True), name="klaxon_inbox_unread"),
        ]

    def __str__(self) -> str:
        return self.title

    def encrypt(self, label: str) -> None:
        """Replace title and body by a token, and the title by a label that everybody may read.

        :raises EncryptionUnavailable, MissingExtra: if this site cannot encrypt.
        """
        self.encrypted = encrypt(json.dumps([self.title, self.body]))
        self.title, self.body = label[:TITLE_LENGTH], ""

    def reveal(self) -> tuple[str, str]:
        """Return title and body, decrypted if they are encrypted.

        :raises DecryptionFailed, MissingExtra: if this site cannot decrypt them.
        """
        if not self.encrypted:
            return self.title, self.body
        title, body = json.loads(decrypt(self.encrypted))
        return title, body

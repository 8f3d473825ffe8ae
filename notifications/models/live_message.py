"""Live messages: what open pages show for a moment, and what nobody keeps."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models, router
from django.utils.translation import gettext_lazy as _

from notifications import signals
from notifications.core.databases import get_current_partition
from notifications.storage.engine import array_subquery


class LiveMessageQuerySet(models.QuerySet["LiveMessage"]):
    def add_messages(self, messages: Iterable["LiveMessage"]) -> None:
        """Save new messages, and send ``live_messages_added``. Call it in a transaction."""
        rows = list(messages)
        self.bulk_create(rows)  # type: ignore[arg-type]
        if rows:
            user_ids = tuple(dict.fromkeys(row.user_id for row in rows))
            signals.live_messages_added.send(
                sender=self.model, partition=get_current_partition(), user_ids=user_ids, using=self._write_db
            )

    def load_current(self, user_ids: Collection[Any], now: datetime) -> list["LiveMessage"]:
        """Return the messages of these users that have not expired, the oldest first, with one query."""
        users = array_subquery(user_ids, get_user_model()._meta.pk, self._write_db)
        return list(self.using(self._write_db).filter(user__in=users, expires_at__gt=now).order_by("pk"))

    def delete_expired(self, now: datetime, limit: int = 5000) -> int:
        """Delete at most ``limit`` expired messages; return their number."""
        expired = self.filter(expires_at__lte=now).order_by("expires_at").values_list("pk", flat=True)
        return self.filter(pk__in=list(expired[:limit])).delete()[0]

    @property
    def _write_db(self) -> str:
        chosen: str | None = getattr(self, "_db", None)
        return chosen or router.db_for_write(self.model)


class LiveMessage(models.Model):
    """A message for the pages that a user has open, or opens before it expires."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
    )
    # What pages get, as JSON: title, text, url, icon, label, priority and created_at.
    content = models.JSONField(_("content"), default=dict)
    expires_at = models.DateTimeField(_("expires at"), db_index=True)

    objects = LiveMessageQuerySet.as_manager()

    class Meta:
        verbose_name = _("live message")
        verbose_name_plural = _("live messages")

    def __str__(self) -> str:
        return f"{self.pk}"

"""Presences: which users have a page with a live stream open.

Each web process records the users of its streams and renews the rows while they are open. A row that is not renewed
expires, so a process that dies leaves nobody present for longer than a minute.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.models.unconstrained import UnconstrainedForeignKey
from notifications.storage.engine import array_subquery

PRESENCE_LIFETIME = timedelta(seconds=60)
"""How long a row is valid after it was written."""
PRESENCE_LINGER = timedelta(seconds=10)
"""How long a user stays present after their last stream has ended: they may only open another page."""


class PresenceQuerySet(models.QuerySet["Presence"]):
    def renew(self, user_ids: Collection[Any], hub: str, now: datetime) -> None:
        """Record that these users have a stream in the process ``hub``."""
        expires_at = now + PRESENCE_LIFETIME
        rows: list[Any] = [Presence(user_id=pk, hub=hub, expires_at=expires_at) for pk in user_ids]
        self.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["user", "hub"],
            update_fields=["expires_at"],
        )

    def end(self, user_ids: Collection[Any], hub: str, now: datetime) -> None:
        """Let the presence of these users in this process end soon."""
        users = array_subquery(user_ids, get_user_model()._meta.pk, self.db)
        self.filter(hub=hub, user__in=users, expires_at__gt=now + PRESENCE_LINGER).update(
            expires_at=now + PRESENCE_LINGER
        )

    def find_present(self, user_ids: Collection[Any], now: datetime) -> frozenset[Any]:
        """Return those of these users who have a page with a live stream open, with one query."""
        users = array_subquery(user_ids, get_user_model()._meta.pk, self.db)
        return frozenset(self.filter(user__in=users, expires_at__gt=now).values_list("user_id", flat=True))

    def delete_expired(self, now: datetime, limit: int = 5000) -> int:
        """Delete at most ``limit`` expired rows; return their number."""
        expired = self.filter(expires_at__lte=now).order_by("expires_at").values_list("pk", flat=True)
        return self.filter(pk__in=list(expired[:limit]), expires_at__lte=now).delete()[0]


class Presence(models.Model):
    """A user with an open live stream in a web process."""

    user = UnconstrainedForeignKey(settings.AUTH_USER_MODEL, verbose_name=_("user"), db_index=False)
    # The process that serves the stream: a random text.
    hub = models.CharField(_("hub"), max_length=32)
    expires_at = models.DateTimeField(_("expires at"), db_index=True)

    objects = PresenceQuerySet.as_manager()

    class Meta:
        verbose_name = _("presence")
        verbose_name_plural = _("presences")
        constraints = [models.UniqueConstraint(fields=["user", "hub"], name="klaxon_presence_once")]

    def __str__(self) -> str:
        return f"{self.pk}"

"""Links that show a page to their user once, without a log-in."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.utils.translation import gettext_lazy as _

KEPT_AFTER_END = timedelta(hours=1)
"""Rows are kept for this time after their end, because they count the links that a user has got in an hour."""


class MagicLinkQuerySet(models.QuerySet["MagicLink"]):
    def use(self, link_hash: str, now: datetime) -> "MagicLink | None":
        """Use a link up, and return it; None if there is no such link, or it has expired or was used.

        One conditional UPDATE decides, so that of several concurrent calls only one gets the link.
        """
        if not self.filter(link_hash=link_hash, used_at__isnull=True, expires_at__gt=now).update(used_at=now):
            return None
        return self.select_related("user", "cluster").get(link_hash=link_hash)

    def lock_user(self, user: Any) -> None:
        """Lock the row of a user until the end of the transaction. On SQLite, the transaction locks everything."""
        users = get_user_model()._base_manager.using(self.db)
        list(users.select_for_update(no_key=True).filter(pk=user.pk).values_list("pk", flat=True))

    def count_recent(self, user: Any, now: datetime) -> int:
        """Return the number of links that were made for a user within the last hour."""
        return self.filter(user=user, created_at__gt=now - timedelta(hours=1)).count()

    def delete_expired(self, now: datetime, limit: int = 5000) -> int:
        """Delete at most ``limit`` links that ended more than an hour ago; return their number."""
        ended = self.filter(expires_at__lte=now - KEPT_AFTER_END).order_by("expires_at")
        return self.filter(pk__in=list(ended.values_list("pk", flat=True)[:limit])).delete()[0]


class MagicLink(models.Model):
    """A link that shows one page to its user once. The table contains no part of the link, only its hash.

    :ivar link_hash: the SHA-256 of the purpose, the key of the cluster and the token, which has 32 random bytes. So the
        token of one page or cluster is worth nothing for another one.
    """

    class Purpose(models.TextChoices):
        """The pages that a link can show."""

        NOTIFICATION_STATUS = "notification_status", _("What was sent to me")
        SETTINGS_VIEW = "settings_view", _("My settings")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
    )
    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name=_("cluster"), on_delete=models.CASCADE, related_name="+"
    )
    purpose = models.CharField(_("purpose"), max_length=30, choices=Purpose.choices)
    link_hash = models.CharField(_("hash"), max_length=64, unique=True)
    created_at = models.DateTimeField(_("created at"))
    expires_at = models.DateTimeField(_("expires at"), db_index=True)
    used_at = models.DateTimeField(_("used at"), null=True, blank=True)

    objects = MagicLinkQuerySet.as_manager()

    class Meta:
        verbose_name = _("magic link")
        verbose_name_plural = _("magic links")

    def __str__(self) -> str:
        return f"{self.get_purpose_display()} #{self.pk}"

"""New addresses of users that wait until their owner confirms them."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.core.addresses import mask_address

CONFIRMATION_LIFETIME = timedelta(days=1)


class AddressConfirmationQuerySet(models.QuerySet["AddressConfirmation"]):
    def of(self, user: Any, cluster: Any) -> "AddressConfirmationQuerySet":
        """Return the requests of a user in a cluster."""
        return self.filter(user=user, cluster=cluster)

    def waiting(self, now: datetime) -> "AddressConfirmationQuerySet":
        """Return the requests that can still be confirmed, the newest first."""
        return self.filter(
            is_open=True, confirmed_at__isnull=True, requested_at__gt=now - CONFIRMATION_LIFETIME
        ).order_by("-pk")

    def delete_expired(self, now: datetime, limit: int = 5000) -> int:
        """Delete at most ``limit`` requests that can no longer be confirmed; return their number."""
        expired = self.filter(requested_at__lte=now - CONFIRMATION_LIFETIME).order_by("requested_at")
        return self.filter(pk__in=list(expired.values_list("pk", flat=True)[:limit])).delete()[0]


class AddressConfirmation(models.Model):
    """A request to use a new address. The link in the message to this address confirms it.

    Rows are deleted a day after the request. Until then, they also count the requests of a user.

    :ivar is_open: False if a newer request for the same channel has replaced it, or the user has withdrawn it.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
    )
    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name=_("cluster"), on_delete=models.CASCADE, related_name="+"
    )
    channel = models.CharField(_("channel"), max_length=50)
    address = models.CharField(_("address"), max_length=500)
    requested_at = models.DateTimeField(_("requested at"), db_index=True)
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True, blank=True)
    is_open = models.BooleanField(_("open"), default=True)

    objects = AddressConfirmationQuerySet.as_manager()

    class Meta:
        verbose_name = _("address confirmation")
        verbose_name_plural = _("address confirmations")

    def __str__(self) -> str:
        return f"{self.channel}: {mask_address(self.address)}"

    @property
    def expires_at(self) -> datetime:
        """The time until which it can be confirmed."""
        return self.requested_at + CONFIRMATION_LIFETIME

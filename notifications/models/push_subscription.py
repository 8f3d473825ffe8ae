"""Push subscriptions: the browsers that a user receives web push notifications in."""

import hashlib
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.models.push_target import PushTargetQuerySet

BROWSER_LENGTH = 100


def hash_endpoint(endpoint: str) -> str:
    """Return the hash by which the table finds an endpoint."""
    return hashlib.sha256(endpoint.encode(errors="surrogatepass")).hexdigest()


class PushSubscriptionQuerySet(PushTargetQuerySet["PushSubscription"]):
    oldest_first = ("created_at", "pk")

    def usable(self, server_key: str) -> "PushSubscriptionQuerySet":
        """Return those that were made for this public key. A push service refuses the messages of any other key."""
        return self.filter(server_key=server_key)

    def store(self, user: Any, endpoint: str, keys: "PushKeys", now: datetime) -> "PushSubscription":
        """Store the subscription of a browser. If it was another user's, it is no longer theirs."""
        values = {"user": user, "endpoint": endpoint, "created_at": now, **keys}
        return self.update_or_create(endpoint_hash=hash_endpoint(endpoint), defaults=values)[0]


PushKeys = dict[str, str]
"""The fields ``p256dh``, ``auth``, ``server_key`` and ``browser`` of a subscription."""


class PushSubscription(models.Model):
    """One browser of one user: the address that its push service gave it, and the keys that encrypt messages for it."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
    )
    endpoint = models.TextField(_("endpoint"))
    endpoint_hash = models.CharField(_("hash of the endpoint"), max_length=64, unique=True, editable=False)
    p256dh = models.CharField(_("public key of the browser"), max_length=100)
    auth = models.CharField(_("authentication secret"), max_length=50)
    server_key = models.CharField(_("public key of the site"), max_length=100)
    browser = models.CharField(_("browser"), max_length=BROWSER_LENGTH, blank=True)
    created_at = models.DateTimeField(_("created at"))
    accepted_at = models.DateTimeField(_("last accepted at"), null=True, blank=True)

    objects = PushSubscriptionQuerySet.as_manager()

    class Meta:
        verbose_name = _("push subscription")
        verbose_name_plural = _("push subscriptions")

    def __str__(self) -> str:
        return self.browser or f"{self.pk}"

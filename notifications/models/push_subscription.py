"""Push subscriptions: the browsers that a user receives web push notifications in."""

import hashlib
from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models, router
from django.utils.translation import gettext_lazy as _

from notifications.storage.engine import array_subquery

BROWSER_LENGTH = 100


def hash_endpoint(endpoint: str) -> str:
    """Return the hash by which the table finds an endpoint."""
    return hashlib.sha256(endpoint.encode(errors="surrogatepass")).hexdigest()


class PushSubscriptionQuerySet(models.QuerySet["PushSubscription"]):
    def of(self, user: Any) -> "PushSubscriptionQuerySet":
        """Return the subscriptions of a user."""
        return self.filter(user=user)

    def usable(self, server_key: str) -> "PushSubscriptionQuerySet":
        """Return those that were made for this public key. A push service refuses the messages of any other key."""
        return self.filter(server_key=server_key)

    def store(self, user: Any, endpoint: str, keys: "PushKeys", now: datetime) -> "PushSubscription":
        """Store the subscription of a browser. If it was another user's, it is no longer theirs."""
        values = {"user": user, "endpoint": endpoint, "created_at": now, **keys}
        return self.update_or_create(endpoint_hash=hash_endpoint(endpoint), defaults=values)[0]

    def find_users(self, user_ids: Collection[Any]) -> set[Any]:
        """Return the primary keys of those of these users who have a subscription."""
        return set(self.filter(user__in=self._select(user_ids)).values_list("user", flat=True).distinct())

    def _select(self, user_ids: Collection[Any]) -> Any:
        using = getattr(self, "_db", None) or router.db_for_write(self.model)
        return array_subquery(user_ids, get_user_model()._meta.pk, using)

    def load_by_user(self, user_ids: Collection[Any]) -> dict[Any, list["PushSubscription"]]:
        """Return the subscriptions of these users, with one query."""
        found: dict[Any, list[PushSubscription]] = defaultdict(list)
        for subscription in self.filter(user__in=self._select(user_ids)).order_by("pk"):
            found[subscription.user_id].append(subscription)
        return found


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

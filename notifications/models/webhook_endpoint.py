"""Endpoints of webhooks, and the attempts to reach them.

Every change of an endpoint's state is one conditional UPDATE, so that several workers agree on it.
"""

import random
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models, router, transaction
from django.db.models import F, Q
from django.db.models.functions import Least
from django.utils.translation import gettext_lazy as _

from notifications import conf
from notifications.core.encryption import decrypt, encrypt
from notifications.models.delivery import Delivery
from notifications.models.unconstrained import UnconstrainedForeignKey
from notifications.signals import webhook_endpoint_disabled

URL_LENGTH = 2000
DESCRIPTION_LENGTH = 200
UID_PREFIX = "ep_"
SECRET_PREFIX = "whs"  # noqa: S105 - whsec_ and whsk_
SLOW_SECONDS = 60.0
MAX_SLOW_SECONDS = 3600.0
MAX_SLOW_ANSWERS = 10
MIN_FAILURES = 5
"""An endpoint that has failed less often is not disabled, however long ago the first failure was."""


def make_uid() -> str:
    """Return a new public id of an endpoint."""
    return UID_PREFIX + secrets.token_hex(12)


def seal_secret(text: str) -> str:
    """Return a secret as the table stores it: encrypted if the site has encryption keys."""
    return encrypt(text) if text and conf.current().encryption_keys else text


def reveal_secret(stored: str) -> str:
    """Return a secret that :func:`seal_secret` was called with.

    :raises DecryptionFailed, MissingExtra: if this site cannot decrypt it.
    """
    return stored if stored.startswith(SECRET_PREFIX) or not stored else decrypt(stored)


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def find_subscribers(self, cluster: Any, event_name: str) -> list[str]:
        """Return the public ids of the enabled endpoints of a cluster that are subscribed to an event."""
        rows = self.filter(cluster=cluster, enabled=True).values_list("uid", "events")
        return [uid for uid, events in rows if not events or event_name in events]

    def load_by_uid(self, uids: Collection[str]) -> dict[str, "WebhookEndpoint"]:
        """Return endpoints by public id, with one query."""
        return {row.uid: row for row in self.filter(uid__in=uids)}

    def record_success(self, pk: int, now: datetime, paused_until: datetime | None = None) -> None:
        """Note that the endpoint has accepted a message, so that it does not fail.

        :param paused_until: until when nothing else is sent to it, because its answer took long.
        """
        self.filter(pk=pk).update(succeeded_at=now, failing_since=None, slowed_until=paused_until, slow_answers=0)

    def record_failure(self, pk: int, now: datetime, grace: timedelta) -> bool:
        """Note that the endpoint has failed. Disable it if it has only failed for the time ``grace``, and often.

        Return whether this call has disabled it.
        """
        self.filter(pk=pk, failing_since=None).update(failing_since=now)
        is_over = Q(pk=pk, failing_since__lte=now - grace)
        since = self.filter(is_over).values_list("failing_since", flat=True).first()
        if since is None:
            return False
        failures = WebhookAttempt.objects.using(self.db).filter(endpoint=pk, at__gte=since, accepted=False)
        # Two bad moments with a week of silence in between do not mean that the endpoint is gone.
        if failures.order_by("-pk")[:MIN_FAILURES].count() < MIN_FAILURES:
            return False
        return self.disable(is_over, WebhookEndpoint.Disabled.FAILING, now)

    def slow_down(self, pk: int, now: datetime, retry_after: float | None) -> datetime | None:
        """Send nothing to the endpoint for a while, and return until when; None if it does not exist.

        The pause is as long as the endpoint asks for, and at least a minute after the first such answer in a row, two
        after the second, and so on, up to an hour.
        """
        row = self.filter(pk=pk).first()
        if row is None:
            return None
        own = min(SLOW_SECONDS * 2**row.slow_answers, MAX_SLOW_SECONDS)
        # Endpoints that were slowed down together must not all be tried at the same moment.
        wait = max(own * random.uniform(1, 1.2), min(retry_after or 0, 86_400))  # noqa: S311
        until = now + timedelta(seconds=wait)
        self.filter(pk=pk).update(slowed_until=until, slow_answers=Least(F("slow_answers") + 1, MAX_SLOW_ANSWERS))
        return until

    def disable(self, condition: Q, reason: "WebhookEndpoint.Disabled", now: datetime) -> bool:
        """Disable the endpoint that the condition finds, unless it is disabled; return whether it was enabled.

        Only one of several concurrent calls returns True. It sends ``webhook_endpoint_disabled`` in the transaction.
        """
        using = getattr(self, "_db", None) or router.db_for_write(self.model)
        with transaction.atomic(using=using):
            rows = self.filter(condition, enabled=True)
            changed = list(rows.select_for_update().values_list("pk", flat=True))
            if not changed or not self.filter(pk__in=changed, enabled=True).update(
                enabled=False, disabled_at=now, disabled_reason=reason
            ):
                return False
            for endpoint in self.filter(pk__in=changed):
                webhook_endpoint_disabled.send(sender=type(endpoint), endpoint=endpoint)
        return True


class WebhookEndpoint(models.Model):
    """An address that gets the notifications of a cluster by HTTP, signed as Standard Webhooks 1.0 says.

    :ivar uid: the public id, which deliveries have as their address.
    :ivar events: the names of the events that it is subscribed to; empty for all.
    :ivar secret: the signing secret, encrypted if the site has encryption keys.
    :ivar previous_secret: the secret before the last rotation, which signs too until ``previous_until``.
    :ivar failing_since: the first failure after the last success; None if the last message was accepted.
    :ivar slowed_until: until when nothing is sent, because the endpoint has asked for it or does not answer.
    """

    class Kind(models.TextChoices):
        V1 = "v1", _("v1 (HMAC-SHA256, a shared secret)")
        V1A = "v1a", _("v1a (Ed25519, a public key)")

    class Disabled(models.TextChoices):
        PERSON = "person", _("by a person")
        GONE = "gone", _("it answered 410 Gone")
        FAILING = "failing", _("it only failed for days")

    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name=_("cluster"), on_delete=models.CASCADE, related_name="+"
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("owner"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    uid = models.CharField(_("id"), max_length=40, unique=True, default=make_uid, editable=False)
    url = models.CharField(_("URL"), max_length=URL_LENGTH)
    description = models.CharField(_("description"), max_length=DESCRIPTION_LENGTH, blank=True)
    events = models.JSONField(_("events"), default=list, blank=True)
    kind = models.CharField(_("signature"), max_length=3, choices=Kind.choices, default=Kind.V1)
    secret = models.TextField(_("secret"), editable=False)
    previous_secret = models.TextField(_("previous secret"), blank=True, editable=False)
    previous_until = models.DateTimeField(_("previous secret valid until"), null=True, blank=True, editable=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    disabled_at = models.DateTimeField(_("disabled at"), null=True, blank=True, editable=False)
    disabled_reason = models.CharField(
        _("disabled because"), max_length=10, choices=Disabled.choices, blank=True, editable=False
    )
    failing_since = models.DateTimeField(_("failing since"), null=True, blank=True, editable=False)
    succeeded_at = models.DateTimeField(_("last accepted at"), null=True, blank=True, editable=False)
    slowed_until = models.DateTimeField(_("slowed down until"), null=True, blank=True, editable=False)
    slow_answers = models.PositiveSmallIntegerField(_("slow answers in a row"), default=0, editable=False)
    created_at = models.DateTimeField(_("created at"), editable=False)

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook endpoint")
        verbose_name_plural = _("webhook endpoints")
        permissions = [("manage_webhooks", _("Can manage the webhook endpoints of their own clusters"))]
        constraints = [
            # A receiver with two endpoints would get everything twice, with two ids.
            models.UniqueConstraint(fields=["cluster", "url"], name="klaxon_webhook_url_once"),
        ]

    def __str__(self) -> str:
        return self.description or self.uid

    def list_secrets(self, now: datetime) -> list[str]:
        """Return the secrets that sign messages now: the present one and, after a rotation, the one before it.

        :raises DecryptionFailed, MissingExtra: if this site cannot decrypt them.
        """
        secrets_now = [self.secret]
        if self.previous_secret and self.previous_until is not None and now < self.previous_until:
            secrets_now.append(self.previous_secret)
        return [reveal_secret(stored) for stored in secrets_now]


class WebhookAttemptQuerySet(models.QuerySet["WebhookAttempt"]):
    def delete_older(self, before: datetime, limit: int = 5000) -> int:
        """Delete at most ``limit`` attempts that were made before a time; return their number."""
        old = list(self.filter(at__lt=before).order_by("at").values_list("pk", flat=True)[:limit])
        return self.filter(pk__in=old).delete()[0]


class WebhookAttempt(models.Model):
    """One request to an endpoint, with its answer. Both are cut, and contain no secret.

    :ivar status: the HTTP status; None if there was no answer.
    :ivar duration: seconds.
    """

    endpoint = models.ForeignKey(
        WebhookEndpoint,
        verbose_name=_("endpoint"),
        on_delete=models.CASCADE,
        related_name="attempts",
        db_index=False,
    )
    delivery: Any = UnconstrainedForeignKey(Delivery, verbose_name=_("delivery"), null=True, db_index=False)
    message_id = models.CharField(_("message id"), max_length=64)
    event = models.CharField(_("event"), max_length=100)
    at = models.DateTimeField(_("at"), db_index=True)
    url = models.CharField(_("URL"), max_length=URL_LENGTH)
    request_headers = models.JSONField(_("headers of the request"), default=dict)
    request_body = models.TextField(_("body of the request"), blank=True)
    status = models.PositiveSmallIntegerField(_("status"), null=True, blank=True)
    response_headers = models.JSONField(_("headers of the answer"), default=dict)
    response_body = models.TextField(_("body of the answer"), blank=True)
    error = models.TextField(_("error"), blank=True)
    duration = models.FloatField(_("seconds"), default=0)
    accepted = models.BooleanField(_("accepted"), default=False)

    objects = WebhookAttemptQuerySet.as_manager()

    class Meta:
        verbose_name = _("attempt of a webhook")
        verbose_name_plural = _("attempts of webhooks")
        indexes = [models.Index(fields=["endpoint", "-id"], name="klaxon_webhook_attempts")]

    def __str__(self) -> str:
        return f"{self.message_id} {self.status or ''}".strip()

"""Tracking events: what happened to deliveries after they were sent, such as a bounce, a complaint or an open."""

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.models.delivery import Delivery

UNMATCHED_LIFETIME = timedelta(days=1)
"""How long an event without a delivery is kept, unless it is the evidence of a suppression."""


class TrackingEventQuerySet(models.QuerySet["TrackingEvent"]):
    def add(self, key: str, **values: Any) -> "TrackingEvent | None":
        """Insert an event and return it, or return None if there is one with this key already."""
        event, is_new = self.get_or_create(key=key, defaults=values)
        return event if is_new else None

    def unmatched(self) -> "TrackingEventQuerySet":
        """Return the events whose delivery is not known, the oldest first."""
        return self.filter(delivery__isnull=True).order_by("recorded_at")

    def delete_unmatched(self, now: datetime, limit: int = 1000) -> int:
        """Delete old events of mails that Klaxon did not send; keep those that suppressed an address."""
        old = self.unmatched().filter(recorded_at__lt=now - UNMATCHED_LIFETIME, kind__in=TrackingEvent.HARMLESS)
        keys = list(old.values_list("pk", flat=True)[:limit])
        return self.filter(pk__in=keys, delivery__isnull=True).delete()[0] if keys else 0


class TrackingEvent(models.Model):
    """One event. ``key`` identifies it, so that an event that is reported twice is recorded once."""

    class Kind(models.TextChoices):
        DELIVERED = "delivered", _("delivered")
        DEFERRED = "deferred", _("delayed")
        REJECTED = "rejected", _("rejected by the provider")
        BOUNCED = "bounced", _("bounced")
        COMPLAINED = "complained", _("reported as spam")
        UNSUBSCRIBED = "unsubscribed", _("unsubscribed at the provider")
        OPENED = "opened", _("opened")
        CLICKED = "clicked", _("clicked")

    HARMLESS = (Kind.DELIVERED, Kind.DEFERRED, Kind.UNSUBSCRIBED, Kind.OPENED, Kind.CLICKED)

    key = models.CharField(_("key"), max_length=64, unique=True)
    delivery = models.ForeignKey(
        Delivery,
        verbose_name=_("delivery"),
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="tracking_events",
    )
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    source = models.CharField(_("source"), max_length=50)
    provider_message_id = models.CharField(_("provider message id"), max_length=255, blank=True)
    detail = models.CharField(_("detail"), max_length=500, blank=True)
    happened_at = models.DateTimeField(_("happened at"))
    recorded_at = models.DateTimeField(_("recorded at"))

    objects = TrackingEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("tracking event")
        verbose_name_plural = _("tracking events")
        indexes = [
            models.Index(
                fields=["recorded_at"], condition=models.Q(delivery__isnull=True), name="klaxon_tracking_unmatched"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.pk}"

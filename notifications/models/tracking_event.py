"""Tracking events: what happened to deliveries after they were sent, such as a bounce, a complaint or an open."""

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext_lazy as _

from notifications.models.delivery import Delivery
from notifications.models.tracked_link import TrackedLink

UNMATCHED_LIFETIME = timedelta(days=1)
"""How long an event without a delivery is kept, unless it is the evidence of a suppression."""


class TrackingEventQuerySet(models.QuerySet["TrackingEvent"]):
    def add(self, key: str, **values: Any) -> "TrackingEvent | None":
        """Insert an event and return it, or return None if there is one with this key already."""
        event, is_new = self.get_or_create(key=key, defaults=values)
        return event if is_new else None

    def mark_first(self, event: "TrackingEvent") -> bool:
        """Mark an event as the first of its kind about its delivery, unless there is one; return whether it is."""
        kind = {"delivery": event.delivery_id, "kind": event.kind, "is_machine": event.is_machine}
        if self.filter(**kind, is_first=True).exists():
            return False
        try:
            with transaction.atomic(using=self.db):
                event.is_first = bool(self.filter(pk=event.pk).update(is_first=True)) or None
        except IntegrityError:
            # Another event was the first in the meantime.
            return False
        return bool(event.is_first)

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
        UNSUBSCRIBED = "unsubscribed", _("unsubscribed")
        OPENED = "opened", _("opened")
        CLICKED = "clicked", _("clicked")
        STOPPED = "stopped", _("answered STOP")
        RESUMED = "resumed", _("answered START")

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
    # None instead of False, so that the constraint is the same on every database.
    is_first = models.BooleanField(_("first of its kind"), null=True, default=None)
    is_machine = models.BooleanField(_("by a machine"), default=False)
    machine_sign = models.CharField(_("sign of a machine"), max_length=20, blank=True)
    link = models.ForeignKey(
        TrackedLink,
        verbose_name=_("link"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
    )
    detail = models.CharField(_("detail"), max_length=500, blank=True)
    happened_at = models.DateTimeField(_("happened at"))
    recorded_at = models.DateTimeField(_("recorded at"))

    objects = TrackingEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("tracking event")
        verbose_name_plural = _("tracking events")
        constraints = [
            models.UniqueConstraint(
                fields=["delivery", "kind", "is_machine"],
                condition=models.Q(is_first=True),
                name="klaxon_tracking_first",
            ),
        ]
        indexes = [
            models.Index(
                fields=["recorded_at"], condition=models.Q(delivery__isnull=True), name="klaxon_tracking_unmatched"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.pk}"

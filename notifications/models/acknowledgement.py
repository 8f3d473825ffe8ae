"""Acknowledgements: which users have taken note of a notification."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.models.notification import Notification


class AcknowledgementQuerySet(models.QuerySet["Acknowledgement"]):
    def acknowledge(self, notification: Notification, user: Any, now: datetime) -> bool:
        """Record an acknowledgement; return False if it exists. The unique constraint prevents a second one."""
        return self.get_or_create(notification=notification, user=user, defaults={"at": now})[1]


class Acknowledgement(models.Model):
    """The record that a user has taken note of a notification."""

    notification = models.ForeignKey(
        Notification, verbose_name=_("notification"), on_delete=models.CASCADE, related_name="acknowledgements"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
    )
    at = models.DateTimeField(_("at"))

    objects = AcknowledgementQuerySet.as_manager()

    class Meta:
        verbose_name = _("acknowledgement")
        verbose_name_plural = _("acknowledgements")
        constraints = [
            models.UniqueConstraint(fields=["notification", "user"], name="klaxon_acknowledgement_once"),
        ]

    def __str__(self) -> str:
        return f"{self.notification} by {self.user}"

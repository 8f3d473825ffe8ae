"""Devices: the phones and tablets on which a user has the site's own app, which receives push messages."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.models.push_target import PushTargetQuerySet

TOKEN_LENGTH = 1000
NAME_LENGTH = 100
SHOWN_CHARACTERS = 6


class Platform(models.TextChoices):
    """The system of a device, as its app names it."""

    ANDROID = "android", "Android"
    IOS = "ios", "iOS"
    WEB = "web", _("Web")


class DeviceQuerySet(PushTargetQuerySet["Device"]):
    oldest_first = ("registered_at", "pk")

    def store(self, user: Any, token: str, platform: str, name: str, now: datetime) -> "Device":
        """Store a device. If it was another user's, it is no longer theirs."""
        values = {"user": user, "platform": platform, "name": name, "registered_at": now}
        return self.update_or_create(token=token, defaults=values)[0]


class Device(models.Model):
    """One app on one device of one user, and the registration token under which Firebase reaches it."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
    )
    token = models.CharField(_("registration token"), max_length=TOKEN_LENGTH, unique=True, editable=False)
    platform = models.CharField(_("platform"), max_length=10, choices=Platform.choices)
    name = models.CharField(_("name"), max_length=NAME_LENGTH, blank=True)
    registered_at = models.DateTimeField(_("registered at"))
    accepted_at = models.DateTimeField(_("last accepted at"), null=True, blank=True)

    objects = DeviceQuerySet.as_manager()

    class Meta:
        verbose_name = _("device")
        verbose_name_plural = _("devices")

    def __str__(self) -> str:
        return self.name or f"{self.platform} {self.pk}"

    @property
    def masked_token(self) -> str:
        """The beginning of the token. Whoever has the whole token and the site's key can send to the device."""
        return f"{self.token[:SHOWN_CHARACTERS]}…"

"""Preferences of a user within a cluster. Reading never creates a row: no row means the defaults."""

from enum import Enum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.events import NOTIFICATION_EVENTS, key_of
from notifications.models.choices import Choices, by_channel, normalised, resolved
from notifications.models.shared import SharedPreference
from notifications.recipients import user_key


def validate_time_zone(name: str) -> None:
    """:raises ValidationError: unless it is a name of the IANA time zone database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValidationError(_("Write a time zone such as Europe/Berlin.")) from error


class UserSettings(Choices):
    """What one user wants in one cluster.

    What they do not mention is answered by their roles and the cluster (:class:`SharedPreference`); otherwise it is on.
    """

    keyed = (*Choices.keyed, "addresses")
    masked = frozenset({"addresses"})

    class Digest(models.TextChoices):
        NONE = "none", _("none")
        DAILY = "daily", _("daily")
        WEEKLY = "weekly", _("weekly")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        on_delete=models.CASCADE,
        related_name="notification_settings",
    )
    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name=_("cluster"), on_delete=models.CASCADE, related_name="+"
    )
    addresses = models.JSONField(_("addresses"), default=dict, blank=True)
    quiet_from = models.TimeField(_("quiet from"), null=True, blank=True)
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    delivery_windows = models.JSONField(_("delivery windows"), default=dict, blank=True)
    digest = models.CharField(_("digest"), max_length=10, choices=Digest.choices, default=Digest.NONE)
    digest_hour = models.PositiveSmallIntegerField(_("digest hour"), default=8, validators=[MaxValueValidator(23)])
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[validate_time_zone])
    language = models.CharField(_("language"), max_length=20, blank=True)

    class Meta:
        verbose_name = _("user settings")
        verbose_name_plural = _("user settings")
        constraints = [models.UniqueConstraint(fields=["user", "cluster"], name="klaxon_user_settings_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.cluster}"

    @property
    def subject(self) -> str:
        return user_key(self.user_id)

    def get_notification_preference(self, event_name: Enum | str, channel: Enum | str) -> bool:
        """Whether this user wants this event on this channel: their own choice, else their roles', else the cluster's.

        Priority is not looked at, nor are mutes; the gates do that. One query, and none where the user has chosen.
        """
        event = NOTIFICATION_EVENTS.named(key_of(event_name))
        asked = key_of(event_name), event.category if event else "", key_of(channel)
        if self.opinion(*asked) is not None or self.user_id is None or self.cluster_id is None:
            return resolved([self], *asked)[0]
        shared = SharedPreference.objects.held_by(self.cluster, [self.user_id])
        return resolved(shared[self.user_id], *asked)[0]

    def set_notification_preference(self, event_name: Enum | str, channel: Enum | str, wanted: bool) -> None:
        """Choose for one event on one channel; the caller saves."""
        self.events = normalised(self.events)
        before = by_channel(self.events.get(key_of(event_name)))
        self.events[key_of(event_name)] = {**before, key_of(channel): wanted}

    def set_channel(self, channel: Enum | str, wanted: bool) -> None:
        """Turn a whole channel on or off; the caller saves."""
        self.channels = {**normalised(self.channels), key_of(channel): wanted}

    def address_for(self, channel: str) -> str:
        """The address that the user gave for a channel, or nothing."""
        return str(normalised(self.addresses).get(channel) or "")

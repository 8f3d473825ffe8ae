"""Preferences of a user within a cluster. Reading never creates a row: no row means the defaults."""

from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext_lazy as _

from notifications.events import NOTIFICATION_EVENTS, key_of
from notifications.hours import Hours, Timetable, site_quiet_hours, windows_from
from notifications.models.choices import Choices, by_channel, chosen, normalised, resolved
from notifications.models.default_cluster import InAClusterQuerySet
from notifications.models.shared import SharedPreference
from notifications.primary import read_from_primary
from notifications.recipients import user_key

# As dates count them: Monday is 0.
WEEK = [(number, WEEKDAYS[number]) for number in range(7)]
UTC_ZONE = ZoneInfo("UTC")


def validate_time_zone(name: str) -> None:
    """:raises ValidationError: unless it is a name of the IANA time zone database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValidationError(_("Write a time zone such as Europe/Berlin.")) from error


def validate_delivery_windows(written: Any) -> None:
    """:raises ValidationError: unless it is a dict of channel to windows."""
    try:
        for windows in written.values():
            windows_from(windows)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValidationError(_("This does not have the form of the example.")) from error


class UserSettings(Choices):
    """What one user wants in one cluster.

    What they do not mention is answered by their roles and the cluster (:class:`SharedPreference`); otherwise it is on.

    It is quiet from ``quiet_from`` until ``quiet_until`` on the clocks of ``time_zone``; equal times mean never, not
    even in the site's own quiet hours. ``delivery_windows`` are by channel:
    ``{"email": [["08:00", "12:00"], ["14:00", "18:00", ["mon", "tue"]]]}``.
    """

    keyed = (*Choices.keyed, "addresses", "delivery_windows")
    masked = frozenset({"addresses"})
    identity = Choices.identity | {"digest_asked_at"}

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
    quiet_until = models.TimeField(
        _("quiet until"), null=True, blank=True, help_text=_("The same time as the beginning means: never quiet.")
    )
    delivery_windows = models.JSONField(
        _("delivery windows"), default=dict, blank=True, validators=[validate_delivery_windows]
    )
    digest = models.CharField(_("digest"), max_length=10, choices=Digest.choices, default=Digest.NONE)
    digest_hour = models.PositiveSmallIntegerField(_("digest hour"), default=8, validators=[MaxValueValidator(23)])
    digest_day = models.PositiveSmallIntegerField(_("digest day"), default=0, choices=WEEK)
    digest_asked_at = models.DateTimeField(_("digest asked at"), null=True, editable=False)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[validate_time_zone])
    language = models.CharField(_("language"), max_length=20, blank=True)

    objects = InAClusterQuerySet["UserSettings"].as_manager()

    class Meta:
        verbose_name = _("user settings")
        verbose_name_plural = _("user settings")
        constraints = [models.UniqueConstraint(fields=["user", "cluster"], name="klaxon_user_settings_once")]
        indexes = [
            models.Index(
                fields=["time_zone", "digest_hour"],
                condition=~models.Q(digest="none"),
                name="klaxon_user_settings_digest",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.cluster}"

    @property
    def subject(self) -> str:
        return user_key(self.user_id)

    def clean(self) -> None:
        """:raises ValidationError: if half of the quiet hours is missing, or some channel could hardly ever be used."""
        if (self.quiet_from is None) != (self.quiet_until is None):
            raise ValidationError(_("Quiet hours need both a beginning and an end."))
        if self.quiet_hours and not Timetable(UTC_ZONE, self.quiet_hours).is_usable():
            raise ValidationError(_("These quiet hours leave less than a quarter of an hour of the day."))
        never = [channel for channel in normalised(self.delivery_windows) if not self._is_usable(channel)]
        if never:
            words = _("Outside the quiet hours no delivery window of %(name)s is open for a quarter of an hour.")
            raise ValidationError(words, params={"name": ", ".join(never)})

    def _is_usable(self, channel: str) -> bool:
        try:
            return Timetable(UTC_ZONE, self.quiet_hours, windows_from(self.windows_for(channel))).is_usable()
        except (TypeError, ValueError):
            return True  # The field has said already what is wrong.

    @read_from_primary()
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
        """Choose for one event on one channel; the caller saves. On its other channels it stays as it was."""
        self.events = normalised(self.events)
        before = by_channel(chosen(self.events, key_of(event_name)))
        self.events[key_of(event_name)] = {**before, key_of(channel): wanted}

    def set_channel(self, channel: Enum | str, wanted: bool) -> None:
        """Turn a whole channel on or off; the caller saves."""
        self.channels = {**normalised(self.channels), key_of(channel): wanted}

    @property
    def chooses_quiet_hours(self) -> bool:
        """Whether the user has a say of their own, be it that it is never quiet."""
        return self.quiet_from is not None and self.quiet_until is not None

    @property
    def quiet_hours(self) -> Hours | None:
        """Those of the user, or else of the site; None if it is never quiet."""
        if self.quiet_from is None or self.quiet_until is None:
            return site_quiet_hours()
        return Hours(self.quiet_from, self.quiet_until) if self.quiet_from != self.quiet_until else None

    def windows_for(self, channel: str) -> Any:
        """The delivery windows of a channel as they were written; none means that it is always open."""
        return chosen(normalised(self.delivery_windows), channel) or ()

    def address_for(self, channel: str) -> str:
        """The address that the user gave for a channel, or nothing."""
        return str(normalised(self.addresses).get(channel) or "")

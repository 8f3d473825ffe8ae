"""Preferences of a user within a cluster. Reading never creates a row: no row means the defaults."""

from collections.abc import Iterator
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext_lazy as _

from notifications.core.addresses import is_well_formed
from notifications.core.hours import Hours, Timetable, get_site_quiet_hours, parse_windows
from notifications.core.primary import read_from_primary
from notifications.events import NOTIFICATION_EVENTS, key_of
from notifications.models.audit import AuditedQuerySet
from notifications.models.preferences import Choices, by_channel, chosen, normalised, resolved
from notifications.models.shared_preference import SharedPreference
from notifications.models.validation import (
    Fault,
    checked_channel,
    checked_event,
    has_language,
    is_mapping_to,
    is_time_zone,
    known_kind,
    unknown,
    unknown_error,
    wrong_form,
)
from notifications.recipients import user_key

# As dates count them: Monday is 0.
WEEK = [(number, WEEKDAYS[number]) for number in range(7)]
UTC_ZONE = ZoneInfo("UTC")


def is_address_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def are_windows(written: Any) -> bool:
    try:
        parse_windows(written)
    except (TypeError, ValueError):
        return False
    return True


class UserSettings(Choices):
    """What one user wants in one cluster.

    What they do not mention is answered by their roles and the cluster (:class:`SharedPreference`); otherwise it is on.

    It is quiet from ``quiet_from`` until ``quiet_until`` on the clocks of ``time_zone``; equal times mean never, not
    even in the site's own quiet hours. ``delivery_windows`` are by channel:
    ``{"email": [["08:00", "12:00"], ["14:00", "18:00", ["mon", "tue"]]]}``.
    """

    examples = {
        **Choices.examples,
        "addresses": '{"email": "me@example.com"}',
        "delivery_windows": '{"email": [["08:00", "12:00"], ["14:00", "18:00", ["mon", "tue"]]]}',
    }
    masked_columns = frozenset({"addresses"})
    unrecorded_columns = Choices.unrecorded_columns | {"digest_asked_at"}

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
        _("quiet until"), null=True, blank=True, help_text=_("The same time as the beginning turns quiet hours off.")
    )
    delivery_windows = models.JSONField(_("delivery windows"), default=dict, blank=True)
    digest = models.CharField(_("digest"), max_length=10, choices=Digest.choices, default=Digest.NONE)
    digest_hour = models.PositiveSmallIntegerField(_("digest hour"), default=8, validators=[MaxValueValidator(23)])
    digest_day = models.PositiveSmallIntegerField(_("digest day"), default=0, choices=WEEK)
    digest_asked_at = models.DateTimeField(_("digest asked at"), null=True, editable=False)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True)
    language = models.CharField(_("language"), max_length=20, blank=True)

    objects = AuditedQuerySet["UserSettings"].as_manager()

    class Meta:
        verbose_name = _("user settings")
        verbose_name_plural = _("user settings")
        base_manager_name = "objects"
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

    def wrong_forms(self) -> Iterator[Fault]:
        yield from super().wrong_forms()
        if not is_mapping_to(are_windows, self.delivery_windows):
            yield Fault("delivery_windows", wrong_form(self.examples["delivery_windows"]))
        if is_mapping_to(is_address_or_none, self.addresses):
            yield from self._unusable_addresses()
        else:
            yield Fault("addresses", wrong_form(self.examples["addresses"]))

    def _unusable_addresses(self) -> Iterator[Fault]:
        for channel, address in normalised(self.addresses).items():
            kind = known_kind(channel)
            if address and kind in ("", "user"):
                words = _("The channel %(channel)s takes no address.")
                yield Fault("addresses", ValidationError(words, "no_address", {"channel": channel}))
            elif address and not is_well_formed(kind or "", address):
                words = _("The address for the channel %(channel)s is no usable address (%(kind)s).")
                params = {"channel": channel, "kind": kind or channel}
                yield Fault("addresses", ValidationError(words, "invalid_address", params))

    def unknown_names(self) -> Iterator[Fault]:
        yield from super().unknown_names()
        yield from unknown("addresses", "channel", normalised(self.addresses), star=False)
        yield from unknown("delivery_windows", "channel", normalised(self.delivery_windows))
        if self.language and not has_language(self.language_code):
            yield Fault("language", unknown_error("language", self.language), self.language)
        if self.time_zone and not is_time_zone(self.time_zone):
            yield Fault("time_zone", unknown_error("time_zone", self.time_zone), self.time_zone)

    @property
    def language_code(self) -> str:
        """The language as Django spells it: ``de-at`` for ``de_AT``; empty for that of the site."""
        return self.language.strip().lower().replace("_", "-")

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
            return Timetable(UTC_ZONE, self.quiet_hours, parse_windows(self.windows_for(channel))).is_usable()
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
        shared = SharedPreference.objects.load_for_users(self.cluster, [self.user_id])
        return resolved(shared[self.user_id], *asked)[0]

    def set_notification_preference(self, event_name: Enum | str, channel: Enum | str, wanted: bool) -> None:
        """Choose for one event on one channel; the caller saves. On its other channels it stays as it was.

        :raises UnknownEvent: if there is no such event. It names the nearest, as does the other error.
        :raises InvalidOption: if there is no such channel.
        """
        event = checked_event(event_name)
        by_name = checked_channel(channel)
        self.events = normalised(self.events)
        self.events[event] = {**by_channel(chosen(self.events, event)), by_name: wanted}

    def set_channel(self, channel: Enum | str, wanted: bool) -> None:
        """Turn a whole channel on or off; the caller saves.

        :raises InvalidOption: if there is no such channel; it names the nearest.
        """
        self.channels = {**normalised(self.channels), checked_channel(channel): wanted}

    @property
    def chooses_quiet_hours(self) -> bool:
        """Whether the user has a say of their own, be it that it is never quiet."""
        return self.quiet_from is not None and self.quiet_until is not None

    @property
    def quiet_hours(self) -> Hours | None:
        """Those of the user, or else of the site; None if it is never quiet."""
        if self.quiet_from is None or self.quiet_until is None:
            return get_site_quiet_hours()
        return Hours(self.quiet_from, self.quiet_until) if self.quiet_from != self.quiet_until else None

    def windows_for(self, channel: str) -> Any:
        """The delivery windows of a channel as they were written; none means that it is always open."""
        return chosen(normalised(self.delivery_windows), channel) or ()

    def address_for(self, channel: str) -> str:
        """The address that the user gave for a channel, or nothing."""
        return str(normalised(self.addresses).get(channel) or "")

"""The preferences of a user in a cluster. Reading never creates a row: without a row, the defaults apply."""

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

from notifications.core.addresses import is_well_formed, user_key
from notifications.core.databases import read_from_primary
from notifications.core.hours import Hours, Timetable, get_site_quiet_hours, parse_windows
from notifications.events import NOTIFICATION_EVENTS, key_of
from notifications.models.audit import AuditedQuerySet
from notifications.models.preferences import (
    PreferenceLevel,
    expand_channels,
    get_choice,
    normalize_keys,
    resolve_preference,
)
from notifications.models.shared_preference import SharedPreference
from notifications.models.validation import (
    Fault,
    build_form_error,
    build_unknown_error,
    find_address_kind,
    find_unknown,
    has_language,
    is_mapping_of,
    is_time_zone,
    validate_channel_name,
    validate_event_name,
)

# As in ``date.weekday()``, Monday is 0.
WEEKDAY_CHOICES = [(number, WEEKDAYS[number]) for number in range(7)]
UTC_ZONE = ZoneInfo("UTC")


def is_address_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def are_windows(value: Any) -> bool:
    try:
        parse_windows(value)
    except (TypeError, ValueError):
        return False
    return True


class UserSettings(PreferenceLevel):
    """The preferences of a user in a cluster.

    For everything that they do not mention, the roles of the user and the cluster decide (:class:`SharedPreference`).
    If these do not mention it either, it is on.

    Quiet hours last from ``quiet_from`` until ``quiet_until`` in ``time_zone``. If both times are equal, the user has
    no quiet hours, not even those of the site. ``delivery_windows`` are by channel:
    ``{"email": [["08:00", "12:00"], ["14:00", "18:00", ["mon", "tue"]]]}``.
    """

    examples = {
        **PreferenceLevel.examples,
        "addresses": '{"email": "me@example.com"}',
        "delivery_windows": '{"email": [["08:00", "12:00"], ["14:00", "18:00", ["mon", "tue"]]]}',
    }
    masked_columns = frozenset({"addresses"})
    unrecorded_columns = PreferenceLevel.unrecorded_columns | {"digest_asked_at"}

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
    digest_day = models.PositiveSmallIntegerField(_("digest day"), default=0, choices=WEEKDAY_CHOICES)
    digest_asked_at = models.DateTimeField(_("sections last requested at"), null=True, editable=False)
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

    def find_malformed_columns(self) -> Iterator[Fault]:
        yield from super().find_malformed_columns()
        if not is_mapping_of(are_windows, self.delivery_windows):
            yield Fault("delivery_windows", build_form_error(self.examples["delivery_windows"]))
        if is_mapping_of(is_address_or_none, self.addresses):
            yield from self._unusable_addresses()
        else:
            yield Fault("addresses", build_form_error(self.examples["addresses"]))

    def _unusable_addresses(self) -> Iterator[Fault]:
        for channel, address in normalize_keys(self.addresses).items():
            kind = find_address_kind(channel)
            if address and kind in ("", "user"):
                message = _("The channel %(channel)s does not use an address. Remove the address.")
                yield Fault("addresses", ValidationError(message, "no_address", {"channel": channel}))
            elif address and not is_well_formed(kind or "", address):
                message = _("The address for the channel %(channel)s is not a usable address (%(kind)s).")
                params = {"channel": channel, "kind": kind or channel}
                yield Fault("addresses", ValidationError(message, "invalid_address", params))

    def find_unknown_names(self) -> Iterator[Fault]:
        yield from super().find_unknown_names()
        yield from find_unknown("addresses", "channel", normalize_keys(self.addresses), star=False)
        yield from find_unknown("delivery_windows", "channel", normalize_keys(self.delivery_windows))
        if self.language and not has_language(self.language_code):
            yield Fault("language", build_unknown_error("language", self.language), self.language)
        if self.time_zone and not is_time_zone(self.time_zone):
            yield Fault("time_zone", build_unknown_error("time_zone", self.time_zone), self.time_zone)

    @property
    def language_code(self) -> str:
        """The language as a Django language code, such as ``de-at`` for ``de_AT``; empty for that of the site."""
        return self.language.strip().lower().replace("_", "-")

    def clean(self) -> None:
        """Check that the quiet hours are complete and that each channel can be used.

        :raises ValidationError: if the beginning or end of the quiet hours is missing, or a channel is never open for
            15 minutes.
        """
        if (self.quiet_from is None) != (self.quiet_until is None):
            raise ValidationError(_("Quiet hours need both a beginning and an end."))
        if self.quiet_hours and not Timetable(UTC_ZONE, self.quiet_hours).is_usable():
            raise ValidationError(_("The quiet hours leave less than 15 minutes of the day."))
        never = [channel for channel in normalize_keys(self.delivery_windows) if not self._is_usable(channel)]
        if never:
            message = _("Outside the quiet hours, no delivery window of %(name)s is open for 15 minutes.")
            raise ValidationError(message, params={"name": ", ".join(never)})

    def _is_usable(self, channel: str) -> bool:
        try:
            return Timetable(UTC_ZONE, self.quiet_hours, parse_windows(self.windows_for(channel))).is_usable()
        except (TypeError, ValueError):
            return True  # The validation of the field reports this error.

    @read_from_primary()
    def get_notification_preference(self, event_name: Enum | str, channel: Enum | str) -> bool:
        """Return whether the user wants this event on this channel.

        The user's own choice comes first, then those of the user's roles, then that of the cluster. The priority of the
        event and mutes are not considered. It takes one query, or none if the user has chosen.
        """
        event = NOTIFICATION_EVENTS.named(key_of(event_name))
        names = key_of(event_name), event.category if event else "", key_of(channel)
        if self.find_choice(*names) is not None or self.user_id is None or self.cluster_id is None:
            return resolve_preference([self], *names)[0]
        shared = SharedPreference.objects.load_for_users(self.cluster, [self.user_id])
        return resolve_preference(shared[self.user_id], *names)[0]

    def set_notification_preference(self, event_name: Enum | str, channel: Enum | str, wanted: bool) -> None:
        """Set the choice for an event on a channel, without saving. The choices for other channels stay unchanged.

        :raises UnknownEvent: if there is no such event; the error suggests the nearest name.
        :raises InvalidOption: if there is no such channel; the error suggests the nearest name.
        """
        event, channel_name = validate_event_name(event_name), validate_channel_name(channel)
        self.events = normalize_keys(self.events)
        self.events[event] = {**expand_channels(get_choice(self.events, event)), channel_name: wanted}

    def set_channel(self, channel: Enum | str, wanted: bool) -> None:
        """Turn a channel on or off for all events, without saving.

        :raises InvalidOption: if there is no such channel; the error suggests the nearest name.
        """
        self.channels = {**normalize_keys(self.channels), validate_channel_name(channel): wanted}

    @property
    def has_own_quiet_hours(self) -> bool:
        """Whether the user has set quiet hours or turned them off."""
        return self.quiet_from is not None and self.quiet_until is not None

    @property
    def quiet_hours(self) -> Hours | None:
        """The quiet hours of the user, by default those of the site; None if there are none."""
        if self.quiet_from is None or self.quiet_until is None:
            return get_site_quiet_hours()
        return Hours(self.quiet_from, self.quiet_until) if self.quiet_from != self.quiet_until else None

    def windows_for(self, channel: str) -> Any:
        """Return the delivery windows of a channel as stored; if there are none, the channel is always open."""
        return get_choice(normalize_keys(self.delivery_windows), channel) or ()

    def address_for(self, channel: str) -> str:
        """Return the address that the user has set for a channel, or an empty text."""
        return str(normalize_keys(self.addresses).get(channel) or "")

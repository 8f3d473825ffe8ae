"""Preferences of a user within a cluster. Reading never creates a row: no row means the defaults."""

from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.events import NOTIFICATION_EVENTS, key_of


def validate_time_zone(name: str) -> None:
    """:raises ValidationError: unless it is a name of the IANA time zone database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValidationError(_("Write a time zone such as Europe/Berlin.")) from error


EVERY = "*"


def normalised(choices: Any) -> Any:
    """The same choices with every key in its one spelling, at each depth: ``EMAIL`` and ``email`` are one.

    Where two spellings disagree, the opt-out stands; what is no mapping says nothing.
    """
    if not isinstance(choices, dict):
        return {}
    merged: dict[str, Any] = {}
    for key, value in choices.items():
        clean = normalised(value) if isinstance(value, dict) else value
        merged[key_of(key)] = _stricter(merged.get(key_of(key)), clean)
    return merged


def _stricter(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, dict) or isinstance(other, dict):
        first, second = _by_channel(one), _by_channel(other)
        return {key: _stricter(_chosen(first, key), _chosen(second, key)) for key in {**first, **second}}
    return other if _is_yes(one) else one


def _is_yes(choice: Any) -> bool:
    """Only a plain yes is one. Whatever else was written, it was written to turn something off."""
    return choice is True or choice == 1


def _by_channel(chosen: Any) -> dict[str, Any]:
    """A choice as channel to yes or no; a plain yes or no is one for every channel."""
    if isinstance(chosen, dict):
        return chosen
    return {} if chosen is None else {EVERY: chosen}


def _chosen(by_channel: dict[str, Any], channel: str) -> Any:
    return by_channel.get(channel, by_channel.get(EVERY))


class UserSettings(models.Model):
    """What one user wants in one cluster.

    ``channels`` is the master switch, ``{"email": false}``. ``events`` and ``categories`` refine what is left of it:
    ``{"visitor_arrival": {"email": false}}``; ``"*"`` is every channel, event or
    category that is not named. What is not mentioned is on.
    """

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
    channels = models.JSONField(_("channels"), default=dict, blank=True)
    events = models.JSONField(_("events"), default=dict, blank=True)
    categories = models.JSONField(_("categories"), default=dict, blank=True)
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

    def save(self, *args: Any, **kwargs: Any) -> None:
        for name in ("channels", "events", "categories", "addresses"):
            setattr(self, name, normalised(getattr(self, name)))
        super().save(*args, **kwargs)

    def get_notification_preference(self, event_name: Enum | str, channel: Enum | str) -> bool:
        """Whether this user wants this event on this channel. Priority is not looked at; the gate does that."""
        event = NOTIFICATION_EVENTS.named(key_of(event_name))
        return self.decision(key_of(event_name), event.category if event else "", key_of(channel))[0]

    def decision(self, event: str, category: str, channel: str) -> tuple[bool, str]:
        """Yes or no, and the rule that says so. Keys that were written past ``save()`` are normalised here too."""
        on = _chosen(normalised(self.channels), channel)
        if on is not None and not _is_yes(on):
            return False, f"user: channel {channel} is off"
        for rules, key, word in ((self.events, key_of(event), "event"), (self.categories, category, "category")):
            chosen = _chosen(_by_channel(_chosen(normalised(rules), key)), channel)
            if chosen is not None:
                wanted = _is_yes(chosen)
                return wanted, f"user: {word} {key} on {channel} is {'on' if wanted else 'off'}"
        return True, "system: on by default"

    def set_notification_preference(self, event_name: Enum | str, channel: Enum | str, wanted: bool) -> None:
        """Choose for one event on one channel; the caller saves."""
        self.events = normalised(self.events)
        before = _by_channel(self.events.get(key_of(event_name)))
        self.events[key_of(event_name)] = {**before, key_of(channel): wanted}

    def set_channel(self, channel: Enum | str, wanted: bool) -> None:
        """Turn a whole channel on or off; the caller saves."""
        self.channels = {**normalised(self.channels), key_of(channel): wanted}

    def address_for(self, channel: str) -> str:
        """The address that the user gave for a channel, or nothing."""
        return str(normalised(self.addresses).get(channel) or "")

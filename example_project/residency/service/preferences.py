"""Preferences of a user, with the names that the programme's settings page uses."""

from collections.abc import Iterable, Mapping
from datetime import time
from typing import Any, Unpack

from django.db import DEFAULT_DB_ALIAS

from example_project.residency.notification_events import ResidencyEvents
from example_project.residency.service.calls import Where, find_program, find_users
from notifications.events import key_of
from notifications.models import UserSettings

CHANNELS = ("app", "email", "sms")
ALIASES = {"in_app": "app"}
"""The page's own names of channels. Klaxon's names are accepted too."""

UNCHANGED: Any = object()
"""The default for quiet hours, because None clears them."""


def update_preferences(
    *,
    user_id: int,
    enabled_channels: Iterable[str] | None = None,
    notification_types: Mapping[ResidencyEvents | str, bool] | None = None,
    quiet_hours_start: int | None = UNCHANGED,
    quiet_hours_end: int | None = UNCHANGED,
    **where: Unpack[Where],
) -> UserSettings:
    """Store the preferences of a user. Arguments that are not given change nothing.

    :param enabled_channels: the channels to turn on; all others are turned off.
    :param quiet_hours_start: an hour from 0 to 23 in the user's time zone. None for both ends clears the quiet hours;
        then the site's quiet hours apply, if it has any. The same hour for both ends means no quiet hours.
    :raises ValueError: if a channel or the user is unknown.
    :raises ValidationError: if the settings are invalid, such as quiet hours without an end.
    """
    db = where.get("db", DEFAULT_DB_ALIAS)
    [user] = find_users([user_id], db)
    program = where.get("program") or find_program([user], db)
    settings, _ = UserSettings.objects.get_or_create(user=user, cluster=program)
    if enabled_channels is not None:
        enabled = find_channels(enabled_channels)
        for channel in CHANNELS:
            settings.set_channel(channel, channel in enabled)
    choices = {key_of(event): wanted for event, wanted in (notification_types or {}).items()}
    settings.events = {**settings.events, **choices}
    if quiet_hours_start is not UNCHANGED:
        settings.quiet_from = to_time(quiet_hours_start)
    if quiet_hours_end is not UNCHANGED:
        settings.quiet_until = to_time(quiet_hours_end)
    settings.full_clean()
    settings.save()
    return settings


def find_channels(names: Iterable[str]) -> set[str]:
    """Return Klaxon's names of these channels.

    :raises ValueError: if users cannot choose one of them.
    """
    named = {ALIASES.get(key_of(name), key_of(name)) for name in names}
    unknown = sorted(named.difference(CHANNELS))
    if unknown:
        choices = ", ".join([*CHANNELS, *ALIASES])
        raise ValueError(f"enabled_channels names {', '.join(unknown)}; it takes {choices}.")
    return named


def to_time(number: int | None) -> time | None:
    return None if number is None else time(number)

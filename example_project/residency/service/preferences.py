"""What a user wants, in the words of the programme's own settings page."""

from collections.abc import Iterable, Mapping
from datetime import time
from typing import Any, Unpack

from django.db import DEFAULT_DB_ALIAS

from example_project.residency.notification_events import ResidencyEvents
from example_project.residency.service.calls import Where, find_program, find_users
from notifications.events import key_of
from notifications.models import UserSettings

CHANNELS = ("app", "email", "sms")
WORDS = {"in_app": "app"}
"""The page's own words for channels. Klaxon's are understood as well."""

UNCHANGED: Any = object()
"""For quiet hours, of which None means that there are to be none."""


def update_preferences(
    *,
    user_id: int,
    enabled_channels: Iterable[str] | None = None,
    notification_types: Mapping[ResidencyEvents | str, bool] | None = None,
    quiet_hours_start: int | None = UNCHANGED,
    quiet_hours_end: int | None = UNCHANGED,
    **where: Unpack[Where],
) -> UserSettings:
    """Store what a user chose; what is not given stays as it is.

    :param enabled_channels: all that are to be on; the others are turned off.
    :param quiet_hours_start: a full hour, from 0 to 23, on the clocks of the user's time zone. None for both ends
        clears the quiet hours; then those of the site hold, if it has any. Twice the same hour means never quiet.
    :raises ValueError: if a channel or the user is unknown.
    :raises ValidationError: if the settings cannot be, such as quiet hours without an end.
    """
    db = where.get("db", DEFAULT_DB_ALIAS)
    [user] = find_users([user_id], db)
    program = where.get("program") or find_program([user], db)
    settings, _ = UserSettings.objects.get_or_create(user=user, cluster=program)
    if enabled_channels is not None:
        enabled = find_channels(enabled_channels)
        for channel in CHANNELS:
            settings.set_channel(channel, channel in enabled)
    chosen = {key_of(event): wanted for event, wanted in (notification_types or {}).items()}
    settings.events = {**settings.events, **chosen}
    if quiet_hours_start is not UNCHANGED:
        settings.quiet_from = to_time(quiet_hours_start)
    if quiet_hours_end is not UNCHANGED:
        settings.quiet_until = to_time(quiet_hours_end)
    settings.full_clean()
    settings.save()
    return settings


def find_channels(words: Iterable[str]) -> set[str]:
    """:raises ValueError: if a word is no channel that users can choose."""
    named = {WORDS.get(key_of(word), key_of(word)) for word in words}
    unknown = sorted(named.difference(CHANNELS))
    if unknown:
        choices = ", ".join([*CHANNELS, *WORDS])
        raise ValueError(f"enabled_channels names {', '.join(unknown)}; it takes {choices}.")
    return named


def to_time(number: int | None) -> time | None:
    return None if number is None else time(number)

"""What a user wants, in the words of the programme's own settings page."""

from collections.abc import Iterable, Mapping
from datetime import time
from typing import Any

from example_project.residency.notification_events import ResidencyEvents
from notifications.events import key_of
from notifications.models import Cluster, UserSettings

CHANNELS = {"in_app": "app", "email": "email", "sms": "sms"}
"""The page's words for channels, and Klaxon's."""


def update_preferences(
    user: Any,
    program: Cluster,
    *,
    enabled_channels: Iterable[str],
    notification_types: Mapping[ResidencyEvents, bool],
    quiet_hours_start: int,
    quiet_hours_end: int,
) -> UserSettings:
    """Store what a user chose; hours are full ones on the clocks of their time zone."""
    settings, _ = UserSettings.objects.get_or_create(user=user, cluster=program)
    enabled = set(enabled_channels)
    settings.channels = {channel: word in enabled for word, channel in CHANNELS.items()}
    settings.events = {**settings.events, **{key_of(event): wanted for event, wanted in notification_types.items()}}
    settings.quiet_from, settings.quiet_until = time(quiet_hours_start), time(quiet_hours_end)
    settings.full_clean()
    settings.save()
    return settings

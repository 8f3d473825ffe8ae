"""Checks of preferred channels: whether anybody can be present."""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Warning

from notifications import conf
from notifications.checks.site_urls import find_path
from notifications.events import NOTIFICATION_EVENTS
from notifications.sending.gates.reach import needs_presence


def check_preferred_channels() -> Iterator[CheckMessage]:
    enabled = conf.current().enabled_channels
    for event in NOTIFICATION_EVENTS.values():
        for name, entry in event.preferred.items():
            if name in enabled and needs_presence(entry) and not find_path("notifications:inbox-stream"):
                yield Warning(
                    f"The event {event.name!r} prefers the channel {name!r} for users who have a page open, but this "
                    "site has no live stream. Nobody is ever present, so the channel is always passed over.",
                    hint='Add path("notifications/", include("notifications.urls")) to your urls.py, or declare '
                    f"Prefer({name!r}, …, needs_presence=False).",
                    id="klaxon.W014",
                )

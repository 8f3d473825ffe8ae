"""Checks of tracked events: whether their links can lead over this site."""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error

from notifications import conf
from notifications.checks.site_urls import find_path
from notifications.events import NOTIFICATION_EVENTS

Messages = Iterator[CheckMessage]


def check_tracking() -> Messages:
    names = sorted(event.name for event in NOTIFICATION_EVENTS.values() if event.is_tracked)
    if not names:
        return
    configured = conf.current()
    if not (configured.tracking_url or configured.base_url or configured.theme.get("base_url") or configured.theme_of):
        yield Error(
            f"Emails of these events cannot be tracked, because the site's address is not set: {', '.join(names)}.",
            hint="Set NOTIFICATIONS['TRACKING_URL'] or BASE_URL, or remove track_opens and track_clicks.",
            id="klaxon.E024",
        )
    if not find_path("notifications:open", "x"):
        yield Error(
            f"Emails of these events cannot be tracked, because the URLs are missing: {', '.join(names)}.",
            hint='Add path("notifications/", include("notifications.urls")) to your urls.py.',
            id="klaxon.E024",
        )

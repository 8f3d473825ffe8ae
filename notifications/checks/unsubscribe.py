"""Checks for deployment: whether emails have a link to unsubscribe, and whether it works."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.utils.module_loading import import_string

from notifications import conf
from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents
from notifications.preferences import DatabasePreferenceSource
from notifications.unsubscribe.links import get_path_parts

CHANNEL = "email"


def check_unsubscribe() -> Iterator[CheckMessage]:
    """Report why emails have no link for one click, which large mailbox providers require of commercial email."""
    if not _sends_optional_emails():
        return
    for fault, hint in _find_link_faults():
        yield Warning(f"Emails have no link to unsubscribe with one click: {fault}.", hint=hint, id="klaxon.W011")
    path = conf.current().preferences
    if not _can_change(import_string(path)):
        yield Warning(
            f"The link to unsubscribe fails: NOTIFICATIONS['PREFERENCES'] is {path!r}, and Klaxon cannot change its "
            "preferences.",
            hint="Give the class a method set_wanted(cluster, user, scope, name, channel, wanted).",
            id="klaxon.W012",
        )


def _sends_optional_emails() -> bool:
    if CHANNEL not in conf.current().enabled_channels:
        return False
    return any(
        CHANNEL in event.channels and not event.bypasses_preferences
        for member, event in NOTIFICATION_EVENTS.items()
        if not isinstance(member, BuiltInEvents)
    )


def _find_link_faults() -> Iterator[tuple[str, str]]:
    configured = conf.current()
    base_url = configured.theme.get("base_url", configured.base_url)
    if not base_url.startswith("https://") and not configured.theme_of:
        yield f"BASE_URL is {base_url!r}", "Set NOTIFICATIONS['BASE_URL'] to the address of your site with https://."
    if get_path_parts(getattr(settings, "ROOT_URLCONF", "")) is None:
        hint = 'Add path("notifications/", include("notifications.urls")) to the urlpatterns of ROOT_URLCONF.'
        yield "the site does not include notifications.urls", hint


def _can_change(source: Any) -> bool:
    """Return whether what Klaxon writes to its own tables is what the source reads."""
    default = DatabasePreferenceSource
    is_default = all(getattr(source, name, None) is getattr(default, name) for name in ("load", "settings_of"))
    return is_default or hasattr(source, "set_wanted")

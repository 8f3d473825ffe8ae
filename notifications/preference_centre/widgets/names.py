"""The names of channels, categories and events for people."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from notifications import conf
from notifications.conf import has_subscribers
from notifications.events import NOTIFICATION_EVENTS
from notifications.models.validation import EVERY, find_address_kind

CHANNEL_NAMES: Mapping[str, Any] = {
    "email": pgettext_lazy("channel", "Email"),
    "sms": pgettext_lazy("channel", "SMS"),
    "app": pgettext_lazy("channel", "In the app"),
    "push": pgettext_lazy("channel", "Browser"),
    "websocket": pgettext_lazy("channel", "Open pages"),
    "voice": pgettext_lazy("channel", "Phone call"),
    "webhook": pgettext_lazy("channel", "Webhook"),
    "log": pgettext_lazy("channel", "Log"),
}
CATEGORY_NAMES: Mapping[str, Any] = {"digest": _("Digest")}
"""The categories of Klaxon's own events."""
EVERY_OTHER = _("Every other one")


def get_channel_name(channel: str) -> str:
    """Return the name of a channel, in the active language if Klaxon knows the channel."""
    if channel == EVERY:
        return str(EVERY_OTHER)
    return str(CHANNEL_NAMES.get(channel) or _capitalize(channel))


def get_category_name(category: str) -> str:
    """Return the name of a category, in the active language if it is one of Klaxon's own."""
    if category == EVERY:
        return str(EVERY_OTHER)
    return str(CATEGORY_NAMES.get(category) or _capitalize(category))


def get_event_name(name: str) -> str:
    """Return the name of an event, in the active language; its key if it is not registered."""
    if name == EVERY:
        return str(EVERY_OTHER)
    event = NOTIFICATION_EVENTS.named(name)
    return event.words if event else name


def _capitalize(key: str) -> str:
    words = key.replace("_", " ")
    return words[:1].upper() + words[1:]


def list_channels() -> list[str]:
    """Return all channels of the site: those that reach people first, then the others, such as the log."""
    enabled, names = conf.current().enabled_channels, conf.current().all_channels
    return sorted(names, key=lambda name: (name not in enabled, not find_address_kind(name), name))


def list_reaching_channels() -> list[str]:
    """Return the enabled channels that reach people."""
    return [name for name in list_channels() if find_address_kind(name) and not has_subscribers(name)]

"""The tag ``{% notification_bell %}``, which puts the bell into any page of the host, and one of Klaxon's own pages."""

import json
from typing import Any

from django import template
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.middleware.csrf import get_token
from django.templatetags.static import static
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from notifications.core.languages import get_direction, use_own_language
from notifications.push.configuration import has_push_channel
from notifications.webhooks import has_webhooks
from notifications.webhooks.pages.views import MANAGE_PERMISSION

register = template.Library()

DEFAULT_SOCKET = "/ws/notifications"
# A number for each category of plurals in Unicode CLDR, so that a script gets every form of the active language.
PLURAL_EXAMPLES = {"zero": 0, "one": 1, "two": 2, "few": 3, "many": 11, "other": 100}


@register.inclusion_tag("notifications/bell.html", takes_context=True)
def notification_bell(
    context: Any, *, socket: bool | str = False, sound: str = "", toasts: bool = True
) -> dict[str, Any]:
    """Show the bell of the signed-in user, and nothing to others. It takes no query.

    :param socket: whether the site serves the WebSocket, or its path if that is not ``/ws/notifications``.
    :param sound: the URL of a sound for new notifications, such as ``{% static 'ping.ogg' %}`` stored in a variable.
    :param toasts: whether new notifications appear as toasts.
    """
    request: Any = context.get("request") or getattr(context, "request", None)
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"is_shown": False}
    with use_own_language() as language:
        labels = build_labels()
    path = DEFAULT_SOCKET if socket is True else socket
    has_hidden_token = settings.CSRF_USE_SESSIONS or settings.CSRF_COOKIE_HTTPONLY
    attributes = {
        "feed": reverse("notifications:inbox-feed"),
        "change": reverse("notifications:inbox-change"),
        "inbox": reverse("notifications:inbox"),
        # Under WSGI there is no stream.
        "stream": reverse("notifications:inbox-stream") if isinstance(request, ASGIRequest) else "",
        "socket": path or "",
        "style": static("notifications/bell.css"),
        # A module cannot name another one whose name contains a hash.
        "live": static("notifications/live.js"),
        # Tabs of the same user share a stream. It differs between users, and says nothing about them.
        "key": salted_hmac("klaxon.live", str(user.pk), algorithm="sha256").hexdigest()[:16],
        "token": get_token(request),
        "cookie": "" if has_hidden_token else settings.CSRF_COOKIE_NAME,
        "sound": sound,
        "push": reverse("notifications:push") if has_push_channel() else "",
        "toasts": "" if toasts else "off",
        "language": language,
        "direction": get_direction(language),
        "labels": json.dumps(labels),
    }
    shown = {name: value for name, value in attributes.items() if value}
    return {
        "is_shown": True,
        "attributes": shown,
        "inbox": attributes["inbox"],
        "label": labels["notifications"],
    }


@register.simple_tag(takes_context=True)
def webhooks_url(context: Any) -> str:
    """Return the URL of the page of webhooks if the user may manage endpoints, otherwise an empty text.

    It takes no query on a site without webhooks, and otherwise those with which Django loads the user's permissions.
    """
    user = getattr(context.get("request"), "user", None)
    if user is None or not has_webhooks() or not user.has_perm(MANAGE_PERMISSION):
        return ""
    return reverse("notifications:webhooks")


def build_labels() -> dict[str, Any]:
    """Return the texts of the bell in the active language. Those with a number have a text for each form of plurals."""
    return {
        "notifications": _("Notifications"),
        "readAll": _("Mark all as read"),
        "read": _("Mark as read"),
        "isUnread": _("unread"),
        "empty": _("You have no notifications yet."),
        "seeAll": _("See all notifications"),
        "close": _("Close"),
        "push": _("Notifications on this device"),
        "failed": _("That did not work. Please try again."),
        "unread": {
            name: ngettext("%d unread notification", "%d unread notifications", number)
            for name, number in PLURAL_EXAMPLES.items()
        },
        "news": {
            name: ngettext("%d new notification", "%d new notifications", number)
            for name, number in PLURAL_EXAMPLES.items()
        },
    }

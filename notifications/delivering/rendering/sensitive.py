"""The text of notifications whose content only the app may show: it says that there is a message, and links to it.

The templates are those in ``notifications/<event>/link/`` for their channel, or else those in
``notifications/sensitive_link/``. They get no value of the context, except the address that the event's ``link`` names.
"""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, reverse

from notifications.channels.base import Rendered
from notifications.delivering.rendering.templates import ANY_CHANNEL, Locale, Parts, render, use_locale
from notifications.events import NotificationEvent
from notifications.exceptions import (
    ContentIsSensitive,
    DecryptionFailed,
    EncryptionUnavailable,
    MissingExtra,
    TemplateMissing,
)
from notifications.mail import get_theme
from notifications.models import Notification

LINK_FOLDER, EVENT_FOLDER = "sensitive_link", "link"
PAGE = "notifications:sensitive"
"""The name of the URL of the page with the content."""
WITHHELD = "The event is sensitive, so the text of the error is not recorded."
SHOWN_ERRORS = (
    ContentIsSensitive,
    DecryptionFailed,
    EncryptionUnavailable,
    ImproperlyConfigured,
    MissingExtra,
    TemplateMissing,
)
"""Errors whose text does not quote values of a context."""


def render_link(
    notification: Notification,
    event: NotificationEvent,
    channel: str,
    parts: Parts,
    user: Any,
    locale: Locale,
    layout: Any = None,
) -> Rendered:
    """Return a text with a link to the content of a notification, or with the ``link`` of its event.

    :param layout: the layout around it. Its language must be active.
    :raises ImproperlyConfigured: if the page or the address of the site is not configured.
    :raises DecryptionFailed: if the event has a ``link``, and the site does not have the key of the context.
    """
    places = [(f"{event.name}/{EVENT_FOLDER}", channel), (LINK_FOLDER, channel), (LINK_FOLDER, ANY_CHANNEL)]
    variables = build_link_variables(notification, event, user, locale)
    if event.link:
        variables["action_url"] = notification.values[event.link]
    if layout is not None:
        layout.read_variables(variables)
    return render(places, *parts, {**variables, "layout": layout}, locale)


def build_link_variables(
    notification: Notification, event: NotificationEvent, user: Any, locale: Locale
) -> dict[str, Any]:
    """Return the variables of the templates, none of which comes from the context.

    :raises ImproperlyConfigured: if the page or the address of the site is not configured.
    """
    base_url = get_theme(notification.cluster, event.name).base_url
    with use_locale(locale):
        label = event.words
        return {
            "recipient": user,
            "cluster": notification.cluster,
            "base_url": base_url,
            "label": label,
            "action_url": base_url + get_page_path(notification.pk, base_url),
        }


def get_page_path(notification_id: Any, base_url: str) -> str:
    """Return the path of the page with the content of a notification.

    :raises ImproperlyConfigured: if links to it cannot work.
    """
    try:
        path = reverse(PAGE, args=[notification_id])
    except NoReverseMatch:
        path = ""
    if fault := find_page_fault(path, base_url):
        raise ImproperlyConfigured(fault)
    return path


def find_page_fault(path: str, base_url: str) -> str:
    """Return why links to the page cannot work; empty if they can.

    :param path: the path of the page; empty if the site does not have it.
    """
    if not path:
        return (
            "The site has no page for the content of sensitive events. Include notifications.urls in your URLs: "
            'path("notifications/", include("notifications.urls")).'
        )
    if not base_url:
        return "Links to the content of sensitive events need the address of the site. Set NOTIFICATIONS['BASE_URL']."
    return ""


def describe_error(error: BaseException, is_sensitive: bool) -> str:
    """Return an error of rendering or sending as text for the log. That of a sensitive notification quotes no value."""
    name = type(error).__name__
    if is_sensitive and not isinstance(error, SHOWN_ERRORS):
        return f"{name}. {WITHHELD}"
    return f"{name}: {error}"

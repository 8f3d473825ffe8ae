"""Tell the owner of an endpoint that Klaxon has disabled it."""

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.db import Error
from django.urls import NoReverseMatch, reverse

from notifications import conf
from notifications.events import BuiltInEvents
from notifications.mail import get_theme
from notifications.manager import NotificationManager
from notifications.models import WebhookEndpoint, get_members
from notifications.sending.message import find_recipients

logger = logging.getLogger("notifications.channel.webhook")


def warn_owner(*, endpoint: WebhookEndpoint, **kwargs: Any) -> None:
    """Queue the warning in the transaction that disables the endpoint, so that there is exactly one.

    If there is no owner, or the owner is inactive, has left the cluster or cannot be reached, ``MESSAGE_RECIPIENTS``
    get it.
    """
    logger.error("The webhook endpoint %s was disabled: %s.", endpoint.uid, endpoint.get_disabled_reason_display())
    try:
        if _warn_owner(endpoint) or (conf.current().message_recipients and _warn(endpoint, find_recipients)):
            return
        logger.error(
            "The webhook endpoint %s has no owner who can be reached, and NOTIFICATIONS['MESSAGE_RECIPIENTS'] names "
            "nobody who can, so nobody is informed that it was disabled.",
            endpoint.uid,
        )
    except Error:
        raise
    except Exception:
        # A wrong setting, or an error in the site's callable, must not keep the endpoint enabled forever.
        logger.exception("Nobody could be informed that the webhook endpoint %s was disabled.", endpoint.uid)


def _warn_owner(endpoint: WebhookEndpoint) -> bool:
    owner = endpoint.owner
    if owner is None or not owner.is_active or not get_members(endpoint.cluster).filter(pk=owner.pk).exists():
        return False
    return _warn(endpoint, lambda cluster: owner)


def _warn(endpoint: WebhookEndpoint, find: Callable[[Any], Any]) -> bool:
    """Queue the warning, and return whether somebody will get it."""
    recipients, context = find(endpoint.cluster), _describe(endpoint)
    result = NotificationManager.send(BuiltInEvents.WEBHOOK_DISABLED, recipients, endpoint.cluster, context=context)
    return bool(result.queued or result.held)


def _describe(endpoint: WebhookEndpoint) -> dict[str, Any]:
    # The path or the query of the URL may contain a secret.
    parts = urlsplit(endpoint.url)
    return {
        "endpoint": endpoint.description or endpoint.uid,
        "server": f"{parts.scheme}://{parts.hostname}",
        "reason": endpoint.disabled_reason,
        "failing_since": endpoint.failing_since,
        "action_url": _get_page_url(endpoint),
    }


def _get_page_url(endpoint: WebhookEndpoint) -> str:
    try:
        path = reverse("notifications:webhook", args=[endpoint.uid])
    except NoReverseMatch:
        return ""
    return f"{get_theme(endpoint.cluster).base_url}{path}"

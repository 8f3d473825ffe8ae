"""The signed link with which a recipient opens their preferences from an email. It has the token of the link for
unsubscribing, so whoever can use one can use the other."""

from typing import Any

from notifications.events import NotificationEvent
from notifications.mail import get_theme
from notifications.models import Delivery
from notifications.unsubscribe.links import get_page_url

URL_NAME = "notifications:preferences-link"


def get_footer_fields(delivery: Delivery, event: NotificationEvent, person: Any) -> dict[str, str]:
    """Return the link for the footer of an email. The theme's ``preferences_url`` takes precedence over it."""
    notification = delivery.notification
    theme = get_theme(notification.cluster, notification.event)
    if delivery.recipient_id is None or theme.preferences_url:
        return {}
    url = get_page_url(delivery, theme.base_url, URL_NAME)
    return {"preferences_url": url} if url else {}

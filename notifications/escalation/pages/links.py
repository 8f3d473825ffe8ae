"""The link in emails with which their recipients acknowledge. Its token proves that it comes from an email of the site.

It names the delivery, so it says who acknowledges, and contains no address. It does not expire: acknowledging an old
notification does no harm.
"""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext

from notifications.core.tokens import make_token
from notifications.escalation.policies import KNOWN_POLICIES
from notifications.events import NotificationEvent
from notifications.mail import get_theme
from notifications.mail.footer import LazyText
from notifications.models import Delivery
from notifications.unsubscribe.links import get_path_parts

PURPOSE = "acknowledge"
URL_NAME = "notifications:acknowledge"


def get_footer_fields(delivery: Delivery, event: NotificationEvent, person: Any) -> dict[str, Any]:
    """Return the link of an email whose notification escalates, and why somebody gets it who was not the first.

    Without ``BASE_URL`` or the pages, there is no link.
    """
    url = make_url(delivery, event)
    fields: dict[str, Any] = {"acknowledge_url": url} if url else {}
    if delivery.notification.escalates_id:
        fields["reason"] = LazyText(lambda language: gettext("You get this because nobody has acknowledged it yet."))
    return fields


def make_url(delivery: Delivery, event: NotificationEvent) -> str:
    """Return the link of an email; empty if its notification does not escalate, or the site has no such page."""
    notification = delivery.notification
    escalates = notification.escalates_id or event.escalation is not None or KNOWN_POLICIES.has_lately(event)
    if not escalates or delivery.pk is None:
        return ""
    base_url = get_theme(notification.cluster, notification.event).base_url
    parts = get_path_parts(getattr(settings, "ROOT_URLCONF", ""), URL_NAME)
    if not base_url or parts is None:
        return ""
    return f"{base_url}{parts[0]}{make_token(PURPOSE, delivery.pk)}{parts[1]}"

"""A tracked event: the newsletter of the shop, with HTML and links."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from django.conf import settings
from django.test import override_settings

from notifications.events import NOTIFICATION_EVENTS
from notifications.manager import NotificationManager
from notifications.models import Delivery
from notifications.testing import capture_notifications
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

TEMPLATES = Path(__file__).parent / "templates"


@contextmanager
def tracked_newsletter(**options):
    """Let the newsletter track opens and clicks, with a template of this package."""
    options = {"track_opens": True, "track_clicks": True, **options}
    engines = [{**engine, "DIRS": [TEMPLATES]} for engine in settings.TEMPLATES]
    with NOTIFICATION_EVENTS.restored(), override_settings(TEMPLATES=engines):
        NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER] = replace(NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER], **options)
        yield


def send(*recipients, **options) -> list[Delivery]:
    with capture_notifications() as captured:
        NotificationManager.send(ShopEvents.NEWSLETTER, recipients or UserFactory(), **options)
    captured.deliver()
    return list(captured.deliveries)

"""A tracked event: the newsletter of the shop, with HTML and links."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from django.template import Engine, autoreload

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
    with NOTIFICATION_EVENTS.restored(), template_directory(TEMPLATES):
        NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER] = replace(NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER], **options)
        yield


@contextmanager
def template_directory(path):
    """Find the templates of a directory first.

    The setting ``TEMPLATES`` stays, because a test may change other settings meanwhile and restore them later.
    """
    engine = Engine.get_default()
    before, engine.dirs = engine.dirs, [path]
    forget_templates(engine)
    try:
        yield
    finally:
        engine.dirs = before
        forget_templates(engine)


def forget_templates(engine):
    autoreload.reset_loaders()
    vars(engine).pop("klaxon_templates", None)


def send(*recipients, **options) -> list[Delivery]:
    with capture_notifications() as captured:
        NotificationManager.send(ShopEvents.NEWSLETTER, recipients or UserFactory(), **options)
    captured.deliver()
    return list(captured.deliveries)

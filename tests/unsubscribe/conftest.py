import re
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.test import Client

from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

ORDER = {"order_number": "1017", "eta": None}


@pytest.fixture
def ann(db):
    return UserFactory(username="ann")


@pytest.fixture
def browser():
    """A mail program or browser without a session and cookies, on a site that checks for forged requests."""
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def no_preference_centre(settings):
    """A site that does not include the preference centre."""
    settings.ROOT_URLCONF = "tests.unsubscribe.urls"


@pytest.fixture
def link(ann):
    """The path of the link in an email about an order of Ann."""
    return find_link(send(ann))


def send(user, event=ShopEvents.ORDER_SHIPPED, context=ORDER, **options):
    """Send an email, and return it. None if nothing arrives."""
    NotificationManager.send(event, [user], None, context, **{"channels": ["email"], **options})
    return work()


def work():
    before = len(mail.outbox)
    Dispatcher().run_until_idle()
    return mail.outbox[-1] if len(mail.outbox) > before else None


def find_link(message):
    """Return the path of the link in the headers of an email."""
    url = re.fullmatch("<(.+)>", message.extra_headers["List-Unsubscribe"])[1]
    assert url.startswith("https://shop.example.com/notifications/unsubscribe/")
    return urlsplit(url).path


def click(browser, link):
    return browser.post(link, {"List-Unsubscribe": "One-Click"})

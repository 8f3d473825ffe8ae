import re
from html import unescape

import pytest
from django.core import mail
from django.core.management import call_command
from django.urls import reverse

from tests.factories import UserFactory
from tests.sensitive.conftest import make_key

SITE = "https://shop.example.com"


@pytest.fixture
def magic(settings, monkeypatch):
    """A site that sends magic links. Requests for a link are answered at once."""
    monkeypatch.setattr("notifications.magic_links.views.MIN_ANSWER_SECONDS", 0)
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "MAGIC_LINKS": True, "ENCRYPTION_KEYS": [make_key()]}
    return settings


@pytest.fixture
def reader():
    return UserFactory()


def read_mail():
    """Deliver what waits, and return the path of the link in the last mail."""
    call_command("dispatch_notifications")
    return re.search(rf"{SITE}(/notifications/links/\S+)", mail.outbox[-1].body)[1]


def get_link(path):
    """Return the part of a path that the form sends."""
    return path.removeprefix(reverse("notifications:ask-for-link")).rstrip("/")


def read_form(response):
    """Return the hidden fields of the page with the button."""
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', response.content.decode())
    return {name: unescape(value) for name, value in fields}


def press(client, path):
    """Open a link in a browser, press its button, and return the answer."""
    return client.post(reverse("notifications:open-link"), read_form(client.get(path)))

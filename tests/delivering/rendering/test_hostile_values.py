"""Values from CAN buses and users never become markup: an email has the same tags as with a harmless value."""

import re
from html.parser import HTMLParser

import pytest
from django.core import mail
from django.utils import timezone

from example_project.coach.notification_events import CoachEvents
from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

PAYLOADS = [
    "<script>alert(1)</script>",
    "</td></tr></table><script src=https://eve.example/x.js></script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    '" onmouseover="alert(1)',
    "<a href='javascript:alert(1)'>x</a>",
    "<style>*{background:url(https://eve.example)}</style>",
    "<!--<b>--><b>bold</b>",
    "]]><b>x</b>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<form action=https://eve.example><input name=password>",
    "<meta http-equiv=refresh content='0;url=https://eve.example'>",
    "<base href=https://eve.example/>",
    "<b\nonclick=alert(1)>x</b>",
    "<<b>script>alert(1)<</b>/script>",
    "\x3cscript\x3ealert(1)\x3c/script\x3e",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "{{ recipient.password }}{% debug %}{% include 'admin/base.html' %}",
    "\u202e<b>right to left</b>",
    "＜script＞alert(1)＜/script＞<i>",
    # Printable bytes of a CAN frame, read as text.
    bytes.fromhex("3c696d67207372633d783e").decode(),
    bytes.fromhex("3c62723e3c68723e3c753e").decode("latin-1"),
]
OWN_LINK = re.compile(r"^(https://shop\.example\.com/notifications/(?:unsubscribe|preferences/link)/)[\w.-]+/?$")
FAULT = {"instance": 1, "spn": 190, "fmi": 2, "lamps": ["red"], "count": 3}

pytestmark = pytest.mark.django_db


class Tags(HTMLParser):
    """Collects the tags of a text, with the names and values of their attributes, and its comments."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        # Each email has links of its own to unsubscribe and to choose.
        self.found.append((tag, [(name, OWN_LINK.sub(r"\1", value or "")) for name, value in attrs]))

    def handle_comment(self, data):
        self.found.append(("!--", data))


def send(event, **context):
    NotificationManager.send(event, [UserFactory()], None, context, channels=["email"])
    Dispatcher().run_until_idle()
    return mail.outbox.pop()


def send_fault(text):
    return send(CoachEvents.COACH_FAULT_CRITICAL, device=text, problem=text, at=timezone.now(), **FAULT)


def send_order(text):
    return send(ShopEvents.ORDER_SHIPPED, order_number=text, eta=None)


def send_message(text):
    return send("message", message=text, title=text)


def list_tags(message):
    return [Tags(str(content)).found for content, _kind in message.alternatives]


@pytest.mark.parametrize("send", [send_fault, send_order, send_message])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_value_adds_no_tag_to_an_email(send, payload):
    # Of the same length and with the same lines, because long texts have a preview, and lines are separate in HTML.
    harmless, hostile = send(re.sub(r"\S", "x", payload)), send(payload)
    assert list_tags(hostile) == list_tags(harmless)
    assert "\n" not in hostile.subject

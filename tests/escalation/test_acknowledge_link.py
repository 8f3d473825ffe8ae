"""The link in an email: its page acknowledges by its button, and by nothing else."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.urls import reverse

from notifications.delivering.dispatcher import Dispatcher
from notifications.escalation import resolve
from notifications.models import Acknowledgement, Delivery, EscalationRun

pytestmark = pytest.mark.django_db

SCANNERS = (
    "Mozilla/5.0 (compatible; Microsoft Outlook SafeLinks)",
    "Barracuda Sentinel (EE)",
    "Mozilla/5.0 (compatible; proofpoint-urldefense/1.0)",
    "Mimecast-URL-Scanner",
    "GoogleImageProxy",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "WhatsApp/2.23",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "TelegramBot (like TwitterBot)",
    "facebookexternalhit/1.1",
    "python-requests/2.31",
    "",
)
METHODS = ("get", "head", "options", "put", "patch", "delete", "trace")


@pytest.fixture
def sent(story):
    """The alarm is sent and escalates to the office, which has no account."""
    story.send()
    story.wait(minutes=61)
    Dispatcher().run_until_idle()
    return story


def find_link(address):
    [message] = [one for one in mail.outbox if one.to == [address]]
    [link] = re.findall(r"^Acknowledge: https://shop\.example\.com(/\S+)$", message.body, re.MULTILINE)
    return link


def test_no_method_but_post_acknowledges(sent):
    link, client = find_link("ward@example.com"), Client(enforce_csrf_checks=True)
    for agent in SCANNERS:
        for method in METHODS:
            for path in (link, f"{link}?acknowledge=1", f"{link}?_method=POST"):
                response = getattr(client, method)(path, headers={"user-agent": agent, "purpose": "prefetch"})
                assert response.status_code == (200 if method in ("get", "head") else 405)
    assert sent.run.state == "active"
    assert not Acknowledgement.objects.exists()


def test_the_button_acknowledges(sent):
    link, client = find_link("ward@example.com"), Client(enforce_csrf_checks=True)
    page = client.get(link)
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert 'method="post"' in page.content.decode()
    for _ in range(2):
        page = client.post(link)
        assert "This is acknowledged" in page.content.decode()
    assert sent.run.state == "acknowledged"
    assert [row.user.username for row in Acknowledgement.objects.all()] == ["ward"]
    assert "<button>" not in client.get(link).content.decode()


def test_a_recipient_without_an_account_acknowledges(sent):
    Client().post(find_link("office@example.com"))
    entry = sent.run.entries.get(kind="acknowledged")
    assert entry.by is None
    assert entry.by_key == Delivery.objects.get(address="office@example.com").recipient_key
    sent.wait(hours=3)
    assert Delivery.objects.filter(address="office@example.com").count() == 1


def test_somebody_who_has_left_cannot_acknowledge(sent):
    link = find_link("ward@example.com")
    User.objects.filter(username="ward").update(is_active=False)
    assert Client().post(link).status_code == 403
    assert sent.run.state == "active"


def test_a_forged_link(sent):
    link = find_link("ward@example.com")
    for wrong in (link[:-3] + "x" + link[-2:], reverse("notifications:acknowledge", args=["x"])):
        assert Client().post(wrong).status_code == 404
    Delivery.objects.all().delete()
    assert Client().post(link).status_code == 404
    assert EscalationRun.objects.get().state == "active"


def test_the_html_has_the_link_too(sent):
    [message] = [one for one in mail.outbox if one.to == ["ward@example.com"]]
    html = message.alternatives[0][0]
    assert f'href="https://shop.example.com{find_link("ward@example.com")}"' in html


def test_a_page_says_why_it_is_sent(sent):
    bodies = {one.to[0]: one.body for one in mail.outbox}
    words = "You get this because nobody has acknowledged it yet."
    assert words in bodies["office@example.com"]
    assert words not in bodies["ward@example.com"]


def test_the_page_says_what_happens_next(sent):
    link, client = find_link("ward@example.com"), Client()
    EscalationRun.objects.update(acknowledged_for=timedelta(hours=1))
    assert "This is acknowledged until 11/02/2026 5:01 a.m." in client.post(link).content.decode()
    assert "somebody else will be called" in client.get(link).content.decode()
    resolve(sent.run, User.objects.get(username="ward"))
    assert "This is over. Nobody else will be called." in client.get(link).content.decode()

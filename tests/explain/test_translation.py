"""Every sentence of an explanation can be translated."""

import re
from datetime import timedelta

import pytest
from django.utils.translation import _trans, override

from notifications.core.hours import get_zone
from notifications.explain.explanation import format_time
from notifications.manager import NotificationManager
from notifications.models import Circuit, Delivery, Heartbeat, NotificationLog, Pause
from notifications.outcomes import DeliveryState
from tests.explain.helpers import MIDNIGHT, NIGHT, SEVEN, explain, put, send, why
from tests.factories import UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


@pytest.fixture
def mark(monkeypatch):
    """Every translated text is put into brackets."""
    translate = _trans.gettext
    monkeypatch.setattr(_trans, "gettext", lambda text: f"«{translate(text)}»")


def strip(text):
    """Return the parts of a text that were not translated."""
    while "«" in text:
        text = re.sub("«[^«»]*»", "", text)
    return text.strip(" .:()")


def untranslated(channel):
    texts = [channel.summary, *channel.notes, *(event.what for event in channel.story)]
    texts += [text for step in channel.steps for text in (step.rule, step.change)]
    return [text for text in map(strip, texts) if text]


def test_a_time_is_given_in_the_active_language():
    with override("de"):
        assert "Sonntag" in format_time(SEVEN, get_zone("Europe/Berlin"))


@pytest.mark.usefixtures("mark")
def test_the_sentences_before_sending(user, choose, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "LIMITS": {"user": "1/h"}}
    for values in ({}, NIGHT, {"channels": {"email": False}}, {"digest": "daily"}, {"addresses": {"email": "x"}}):
        choose(**{"quiet_from": None, "quiet_until": None, "channels": {}, "digest": "none", **values})
        assert [text for channel in explain(user).channels for text in untranslated(channel)] == []
    Pause.objects.pause("*", "", MIDNIGHT)
    Circuit.objects.create(key="email", open_until=SEVEN + timedelta(hours=1))
    for recipient in (user, UserFactory(is_active=False), UserFactory(email="")):
        assert [text for channel in explain(recipient).channels for text in untranslated(channel)] == []


@pytest.mark.usefixtures("mark")
@pytest.mark.parametrize("state", DeliveryState.values)
def test_the_sentences_after_sending(user, state):
    notification = send(user)
    delivery = put(state=state, reason="permanent", settled_at=MIDNIGHT, due_at=MIDNIGHT, owner="one", lease=MIDNIGHT)
    for kind in ("attempt", "resent"):
        row = NotificationLog.for_delivery(delivery, kind, MIDNIGHT, reason="permanent", provider="smtp")
        NotificationLog.objects.append([row])
    Heartbeat.objects.all().delete()
    assert untranslated(why(notification, user)) == []


@pytest.mark.usefixtures("mark")
def test_the_sentences_about_a_drop(user, choose):
    choose(channels={"email": False})
    explanation = NotificationManager.why(send(user), user)
    assert untranslated(explanation.channels[0]) == []
    assert not Delivery.objects.exists()
    lines = str(explanation).splitlines()
    assert lines[0].startswith("«")

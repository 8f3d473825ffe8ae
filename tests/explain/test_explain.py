"""``explain()`` returns what ``send()`` would do; ``tests/properties/test_explain.py`` compares the two."""

import json
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.exceptions import InvalidContext, InvalidOption, InvalidRecipient, UnknownEvent
from notifications.manager import NotificationManager
from notifications.models import Cluster, Fingerprint
from notifications.outcomes import Deliver, Drop, Reason, Rule, RuleKind
from notifications.recipients import Address
from notifications.sending.gates import GATES
from notifications.testing import travelling
from tests.explain.helpers import MIDNIGHT, NIGHT, ORDER, SEVEN, explain
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("worker")
def test_the_steps_contain_the_answer_and_the_rule_of_every_gate(user):
    channel = explain(user).channel("email")
    assert [step.gate for step in channel.steps] == [gate.__name__ for gate in GATES]
    assert all(step.lets_through and step.rule and not step.change for step in channel.steps)
    assert (channel.answer, channel.summary) == (Deliver(), "It would be sent immediately.")


def test_the_first_drop_is_the_last_step(user, choose):
    choose(channels={"email": False}, **NIGHT)
    explanation = explain(user, at=MIDNIGHT)
    assert [step.gate for step in explanation.channel("email").steps][-1] == "preferences"
    rule = Rule(RuleKind.CHANNEL_OFF, "user", {"channel": "email"})
    assert explanation.channel("email").answer == Drop(Reason.PREFERENCE, rule)
    assert explanation.channel("email").arrives_at is None
    assert explanation.reaches, "on the other channel"


def test_a_digest_that_the_user_turned_off_is_the_reason(user, choose):
    choose(digest="daily", events={"daily_digest": {"email": False}})
    channel = explain(user).channel("email")
    rule = Rule(RuleKind.EVENT_OFF, "user", {"name": "daily_digest", "channel": "email"})
    assert (channel.steps[-1].gate, channel.answer) == ("digest", Drop(Reason.PREFERENCE, rule))
    assert "The user would have to turn it on" in channel.summary


def test_a_mandatory_event_says_why_preferences_are_not_checked(user, choose, declare):
    choose(channels={"email": False})
    steps = {step.gate: step.rule for step in explain(user, declare(mandatory=True), {}).channel("email").steps}
    assert steps["preferences"] == steps["mutes"] == "not checked, because the event is mandatory"


def test_it_writes_nothing_not_even_the_default_cluster(user, declare):
    event = declare(dedup_window=900)
    with CaptureQueriesContext(connection) as queries:
        assert explain(user, event).reaches
        assert explain(Address(email="x@example.com"), event).reaches
    assert [query for query in queries if query["sql"].lstrip("(").split()[0] not in ("SELECT", "WITH")] == []
    assert not Cluster.objects.exists()
    assert not Fingerprint.objects.exists()


def test_it_agrees_with_send_before_the_default_cluster_exists(user):
    assert explain(UserFactory(is_active=False)).channel("email").answer.reason == Reason.INACTIVE
    assert explain(user).reaches
    assert NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, ORDER).queued == 2


def test_a_duplicate_is_explained_and_nothing_is_reserved(user, declare):
    event = declare(dedup_window=900, dedup_keys=("room",))
    with travelling(MIDNIGHT) as travel:
        assert explain(user, event, {"room": "hall"}).reaches
        assert explain(user, event, {"room": "hall"}).reaches, "the first call reserved nothing"
        NotificationManager.send(event, user, None, {"room": "hall"})
        explanation = explain(user, event, {"room": "hall"})
        assert explanation.channel("email").answer.reason == Reason.DUPLICATE
        assert "after the event's deduplication window, or with other values of room, or" in str(explanation)
        assert explain(user, event, {"room": "attic"}).reaches
        assert explain(user, event, {"room": "hall"}, at=travel.time + timedelta(seconds=900)).reaches
        assert Fingerprint.objects.get().folded == 0


@pytest.mark.usefixtures("worker")
def test_a_channel_without_addresses_reaches_nobody(user, declare):
    explanation = explain(user, declare(channels=("log",)), {})
    assert explanation.channel("log").summary == "It would be sent immediately."
    assert not explanation.channel("log").reaches
    assert not explanation.reaches
    assert not explanation.as_dict()["reaches"]
    assert "It reaches nobody: deliveries on log are sent to no address" in str(explanation)
    assert explain(user, declare(channels=("log", "app")), {}).reaches


def test_a_naive_moment_is_in_the_time_zone_of_the_site(user, choose, settings):
    settings.TIME_ZONE = "Europe/Berlin"
    choose(**NIGHT)
    assert explain(user, at=datetime(2026, 11, 22, 0, 0)).channel("email").arrives_at == SEVEN


@pytest.mark.parametrize("recipient", [Address(phone="+4915112345678"), Address(email="x@example.com")])
def test_the_explanation_for_an_address_does_not_contain_it(recipient):
    text = str(explain(recipient))
    assert recipient.key in text
    assert recipient.by_kind[0][1] not in text
    assert "The channel app sends only to accounts" in text


def test_an_unusable_address_in_the_settings_is_named(user, choose):
    choose(addresses={"email": "ann@example,com"})
    [step] = [step for step in explain(user).channel("email").steps if step.gate == "address"]
    assert step.lets_through
    assert step.rule == "the email address in the settings is malformed; that of the account is used"


@pytest.mark.parametrize("recipient", [None, "ann", [], Group(name="x")])
def test_the_recipient_must_be_one_user_or_one_address(recipient):
    with pytest.raises(InvalidRecipient, match="one user or one Address"):
        explain(recipient)


def test_it_raises_what_send_raises_for_wrong_arguments(user):
    with pytest.raises(InvalidRecipient, match="not saved"):
        explain(UserFactory.build())
    with pytest.raises(UnknownEvent):
        explain(user, "nonsense")
    with pytest.raises(InvalidContext):
        explain(user, context={})
    with pytest.raises(InvalidOption):
        explain(user, channels=["sms"])
    with pytest.raises(InvalidOption, match="at must be a datetime"):
        explain(user, at="noon")


def test_as_dict_can_be_serialized_to_json(user, choose):
    choose(channels={"app": False}, **NIGHT)
    data = json.loads(json.dumps(explain(user, at=MIDNIGHT).as_dict()))
    email, app = data["channels"]
    assert (data["reaches"], data["zone"], email["answer"], app["answer"]) == (True, "Europe/Berlin", "hold", "drop")
    assert email["arrives_at"] == SEVEN.isoformat() == email["steps"][-2]["until"]
    assert (app["steps"][-1]["reason"], app["arrives_at"]) == ("preference", None)


def test_the_number_of_queries_does_not_depend_on_the_channels(user, declare):
    Cluster.objects.default()
    with CaptureQueriesContext(connection) as for_one:
        explain(user, declare(channels=("email",)), {})
    with CaptureQueriesContext(connection) as for_three:
        explain(user, declare(channels=("email", "app", "log")), {})
    assert len(for_three) == len(for_one) < 12


def test_membership_is_checked_in_the_cluster_of_the_call(user):
    assert explain(user, cluster=ClusterFactory()).channel("email").answer.reason == Reason.NOT_MEMBER

"""Remedies: the sentences that say what would have to change."""

import pytest
from django.contrib.auth.models import Group

from notifications.events import NotificationPriority
from notifications.explain.remedies import REMEDIES, WAITS, Subject, describe_remedy
from notifications.explain.steps import PASS_REASONS
from notifications.models import Cluster, SharedPreference
from notifications.outcomes import Reason
from notifications.sending.gates import GATES
from tests.explain.helpers import explain

pytestmark = pytest.mark.django_db


def test_a_preference_names_whose_it_is(user):
    SharedPreference(cluster=Cluster.objects.default(), channels={"email": False}).save()
    by_cluster = explain(user).channel("email").summary
    assert "The cluster would have to turn it on, or the user for themselves, or" in by_cluster
    group = Group.objects.create(name="Plumbers")
    user.groups.add(group)
    SharedPreference(cluster=Cluster.objects.default(), group=group, channels={"email": False}).save()
    assert "The role Plumbers would have to" in explain(user).channel("email").summary


@pytest.mark.parametrize("choices", [{"channels": {"email": False}}, {"events": {"order_shipped": False}}])
def test_the_name_of_a_role_may_contain_a_colon(user, choices):
    group = Group.objects.create(name="Ward: night")
    user.groups.add(group)
    SharedPreference(cluster=Cluster.objects.default(), group=group, **choices).save()
    assert "The role Ward: night would have to turn it on, or the user" in explain(user).channel("email").summary


class TestSentences:
    def test_every_gate_has_a_reason_for_letting_through(self):
        assert PASS_REASONS.keys() == {gate.__name__ for gate in GATES}

    def test_every_reason_has_a_remedy(self):
        assert REMEDIES.keys() | WAITS.keys() == set(Reason)
        assert not REMEDIES.keys() & WAITS.keys()

    @pytest.mark.parametrize("reason", Reason.values)
    @pytest.mark.parametrize("subject", [Subject("smoke", "email", "u:1"), Subject("gone", "fax", "a:1")])
    def test_every_remedy_is_made_of_sentences(self, reason, subject):
        remedy = describe_remedy(reason, subject)
        assert remedy == "" or remedy.endswith(".")
        assert "{" not in remedy
        assert all(sentence[0].isupper() for sentence in remedy.split(". ") if sentence)

    def test_an_unknown_reason_has_no_remedy(self):
        subject = Subject("smoke", "email")
        assert describe_remedy("", subject) == describe_remedy("newer", subject) == ""

    def test_a_missing_address_names_its_field(self, settings):
        channels = {"sms": {"BACKEND": "example_project.quality.channels.TextStandIn", "OPTIONS": {"file": "x.jsonl"}}}
        settings.NOTIFICATIONS = {"CHANNELS": channels}
        assert "the field email of the account" in describe_remedy("no_address", Subject("smoke", "email"))
        assert "that ADDRESS_FIELDS names for phone" in describe_remedy("no_address", Subject("smoke", "sms"))
        settings.NOTIFICATIONS = {"CHANNELS": channels, "ADDRESS_FIELDS": {"phone": "mobile"}}
        assert "the field mobile of the account" in describe_remedy("no_address", Subject("smoke", "sms"))

    def test_only_critical_limit_applies_to_critical_events(self, settings, declare):
        settings.NOTIFICATIONS = {"LIMITS": {"user": "5/h"}}
        declare()
        assert describe_remedy("over_limit", Subject("smoke", "email")).endswith("LIMITS['user'] 5/h.")
        declare(priority=NotificationPriority.CRITICAL)
        assert describe_remedy("over_limit", Subject("smoke", "email")).endswith("higher: CRITICAL_LIMIT 1000/h.")

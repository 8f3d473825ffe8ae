"""The footer of an email says why its recipient gets it, by the rule that explain() names."""

import dataclasses

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NOTIFICATION_EVENTS
from notifications.explain.receipt_reason import describe_receipt
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, SharedPreference
from notifications.recipients import Address
from notifications.sending.gates import load_people
from notifications.testing import temporary_events
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann():
    return UserFactory()


def find_reason(recipient, event=ShopEvents.NEWSLETTER, context=None, cluster=None, **options):
    """Send an email, and return the reason in its footer, which is the same in its text and in its HTML."""
    NotificationManager.send(event, [recipient], cluster, context or {}, channels=["email"], **options)
    Dispatcher().run_until_idle()
    [message] = mail.outbox
    _, _, footer = message.body.partition("-- \n")
    reason = footer.splitlines()[0]
    assert reason in message.alternatives[0][0]
    return reason


def choose(user, **choices):
    settings = UserSettingsFactory(user=user, cluster=Cluster.objects.default())
    for name, value in choices.items():
        setattr(settings, name, value)
    settings.save()


def test_a_user_who_has_chosen_nothing_has_an_account(ann):
    reason = "You get this because you have an account at shop.example.com and have not turned off “Shop newsletter”."
    assert find_reason(ann) == reason


def test_a_user_of_a_cluster_is_a_member(ann):
    cluster = ClusterFactory(name="Rosewood", members=[ann])
    reason = "You get this because you are a member of Rosewood and have not turned off “Shop newsletter”."
    assert find_reason(ann, cluster=cluster) == reason


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"events": {"shop_newsletter": {"email": True}}}, "you have turned on “Shop newsletter”."),
        ({"categories": {"news": {"email": True}}}, "you have turned on the category “news”."),
        ({"channels": {"email": True}}, "you have turned on notifications by email."),
    ],
)
def test_the_choice_of_the_user_is_the_reason(ann, choices, reason):
    choose(ann, **choices)
    assert find_reason(ann) == f"You get this because {reason}"


def test_the_choice_of_the_cluster_or_of_a_role_is_the_reason(ann):
    SharedPreference(events={"shop_newsletter": {"email": True}}).save()
    assert find_reason(ann) == "You get this because “Shop newsletter” is on for everybody in Default."
    mail.outbox.clear()
    ann.groups.add(Group.objects.create(name="Nurses"))
    SharedPreference(group=ann.groups.get(), categories={"news": {"email": True}}).save()
    assert find_reason(ann) == "You get this because “Shop newsletter” is on for your role Nurses."


def test_critical_and_mandatory_events_are_always_sent(ann):
    fire = find_reason(ann, ShopEvents.STORE_ON_FIRE, {"place": "the cellar"})
    assert fire == "You get this because critical notifications are always sent."
    mail.outbox.clear()
    with temporary_events():
        event = NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER]
        NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER] = dataclasses.replace(event, mandatory=True)
        assert find_reason(ann) == "You get this because notifications of this kind are always sent."


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "You get this because you have an account at shop.example.com."),
        ("Rosewood", "You get this because you are a member of Rosewood."),
    ],
)
def test_an_email_that_the_user_has_turned_off_claims_no_choice(ann, name, reason):
    """The digest of a day is sent after the user has turned off everything in it, for example."""
    cluster = ClusterFactory(name=name, members=[ann]) if name else Cluster.objects.default()
    NotificationManager.send(ShopEvents.NEWSLETTER, [ann], cluster, {}, channels=["email"])
    UserSettingsFactory(user=ann, cluster=cluster, events={"shop_newsletter": {"email": False}})
    delivery = Delivery.objects.select_related("notification__cluster").get()
    person = load_people(cluster, [ann.pk])[ann.pk]
    assert describe_receipt(delivery, NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER], person, "en") == reason


def test_an_address_has_no_preferences():
    reason = find_reason(Address(email="contact@example.com"))
    assert reason == "You get this because it was sent to this address."


def test_the_reason_names_the_rule_of_explain(ann):
    choose(ann, events={"shop_newsletter": {"email": True}})
    explanation = NotificationManager.explain(ShopEvents.NEWSLETTER, ann, context={}, channels=["email"])
    [step] = [step for step in explanation.channel("email").steps if step.gate == "preferences"]
    assert step.rule == "user: event shop_newsletter by email is on"
    assert find_reason(ann) == "You get this because you have turned on “Shop newsletter”."


def test_the_reason_needs_no_query(ann):
    NotificationManager.send(ShopEvents.NEWSLETTER, [ann], None, {}, channels=["email"])
    delivery = Delivery.objects.select_related("notification__cluster").get()
    person = load_people(delivery.notification.cluster, [ann.pk])[ann.pk]
    event = NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER]
    with CaptureQueriesContext(connection) as queries:
        assert "“Shop newsletter”" in describe_receipt(delivery, event, person, "en")
    assert len(queries) == 0

"""The checks of ``explain()`` apart from gates: channel, permission, idempotency key, queue and times."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import AnonymousUser

from notifications.exceptions import IdempotencyConflict, InvalidOption
from notifications.manager import NotificationManager
from notifications.outcomes import Reason
from tests.explain.helpers import MIDNIGHT, NIGHT, ORDER, SEVEN, explain
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def test_a_used_key_queues_nothing_and_names_the_first_notification(user):
    key = {"idempotency_key": "7", "campaign": "spring", "cancel_key": "order 7", "attachments": [("a.txt", b"a")]}
    assert explain(user, **key).channel("email").steps[0].rule == "the idempotency key was not used before"
    assert explain(user, **key).reaches, "it did not use the key up"
    first = NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, ORDER, **key)
    explanation = explain(user, correlation_id="another", **key)
    assert not explanation.reaches
    assert explanation.channel("app").summary == (
        "It would not be sent: the idempotency key was used before, for notification "
        f"{first.notification_id}; nothing is queued again. The call would have to pass another idempotency key."
    )
    assert NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, ORDER, **key).duplicate
    assert explain(user, **key, cluster=ClusterFactory(members=[user])).reaches


@pytest.mark.parametrize(
    "other", [{"context": {"order_number": "8"}}, {"campaign": "spring"}, {"attachments": [("a.txt", b"a")]}]
)
def test_a_used_key_with_another_content_is_a_conflict(user, other):
    first = NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, ORDER, idempotency_key="7")
    explanation = explain(user, idempotency_key="7", **other)
    assert not explanation.reaches
    assert f"for notification {first.notification_id} with another content; send() would raise IdempotencyConflict" in (
        explanation.channel("email").summary
    )
    with pytest.raises(IdempotencyConflict):
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, **{"context": ORDER, "idempotency_key": "7", **other})


@pytest.mark.parametrize("option", ["idempotency_key", "cancel_key", "campaign", "correlation_id"])
def test_options_are_validated_as_send_validates_them(user, option):
    with pytest.raises(InvalidOption, match=option):
        explain(user, **{option: "x" * 1000})
    with pytest.raises(InvalidOption):
        explain(user, attachments=["no file"])


def test_a_channel_that_is_not_configured_is_explained(user, declare):
    channel = explain(user, declare(channels=("email", "sms")), {}).channel("sms")
    assert channel.answer.reason == Reason.NOT_CONFIGURED
    assert [step.gate for step in channel.steps] == ["channel"]
    assert channel.summary == (
        "It would not be sent: the channel sms is not configured. The channel sms would have to be listed in "
        "NOTIFICATIONS['CHANNELS'], with its ENABLED not set to False."
    )


@pytest.mark.parametrize("actor", [None, AnonymousUser(), "anybody"])
def test_a_missing_permission_is_explained_and_does_not_raise(user, declare, actor):
    event = declare(permission="auth.change_group", channels=("email", "sms"))
    explanation = explain(user, event, {}, actor=UserFactory() if actor == "anybody" else actor)
    email = explanation.channel("email")
    assert email.answer.reason == Reason.NOT_PERMITTED
    assert email.steps[-1].change.startswith("The actor would have to have the permission auth.change_group,")
    assert explanation.channel("sms").answer.reason == Reason.NOT_CONFIGURED
    assert explain(user, event, {}, actor=UserFactory(is_superuser=True)).reaches


def test_a_full_queue_is_explained(user, settings):
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, UserFactory(), None, ORDER)
    settings.NOTIFICATIONS = {"QUEUE_LIMIT": 2}
    explanation = explain(user)
    assert {channel.answer.reason for channel in explanation.channels} == {Reason.QUEUE_FULL}
    assert "QUEUE_LIMIT" in explanation.channel("app").summary
    settings.NOTIFICATIONS = {"QUEUE_LIMIT": 3}
    assert explain(user).channel("app").answer.reason == Reason.QUEUE_FULL, "it takes room for both channels"
    settings.NOTIFICATIONS = {"QUEUE_LIMIT": 4}
    assert explain(user).channel("app").steps[0].rule == "the queue has room"


def test_a_notification_that_expires_before_it_is_sent_does_not_arrive(user, choose):
    choose(**NIGHT)
    channel = explain(user, at=MIDNIGHT, expires_at=SEVEN - timedelta(hours=1)).channel("email")
    assert channel.arrives_at is None
    assert channel.steps[-1].gate == "expires_at"
    assert "it expires at 06:00 on Sunday 22 November 2026, Europe/Berlin, before it can be sent" in channel.summary
    assert explain(user, at=MIDNIGHT, expires_at=SEVEN + timedelta(seconds=1)).channel("email").arrives_at == SEVEN


def test_send_at_is_explained_and_quiet_hours_are_those_of_that_time(user, choose):
    choose(**NIGHT)
    noon = datetime(2026, 11, 22, 11, tzinfo=UTC)
    channel = explain(user, at=MIDNIGHT, send_at=noon).channel("email")
    assert (channel.arrives_at, channel.answer.reason) == (noon, Reason.SCHEDULED)
    assert channel.steps[0].gate == "send_at"
    assert explain(user, at=noon, send_at=MIDNIGHT).channel("email").steps[0].rule == "send_at has passed"

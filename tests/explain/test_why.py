"""``why()``: which subjects and recipients it takes, and the recipients that ``send()`` dropped."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.exceptions import InvalidOption, InvalidRecipient
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification, NotificationLog
from notifications.outcomes import Reason, Rule, RuleKind, SendResult
from notifications.recipients import Address
from tests.explain.helpers import MIDNIGHT, send, why
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


def test_a_dropped_recipient_is_explained_from_the_log(user, choose):
    choose(channels={"email": False})
    channel = why(send(user), user)
    assert (channel.state, channel.reason, channel.delivery_id) == ("dropped", "preference", None)
    assert channel.summary.startswith("It was not sent: user: channel email is off. The user would have to turn it on")


def test_a_preference_that_has_changed_since_is_a_text(user, choose):
    choose(channels={"email": False})
    notification = send(user)
    choose(channels={})
    channel = why(notification, user)
    assert channel.answer.rule == Rule(RuleKind.TEXT, detail={"text": "user: channel email is off"})
    assert channel.summary == (
        "It was not sent: user: channel email is off. The preference would have to allow it, or the event would have "
        "to be declared CRITICAL."
    )


def test_a_drop_without_a_rule_has_its_reason_as_a_text(user):
    user.is_active = False
    user.save()
    channel = why(send(user), user)
    assert channel.answer.rule == Rule(RuleKind.TEXT, detail={"text": "The user is inactive"})


def test_a_rejected_send_is_explained_to_any_recipient(user, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "QUEUE_LIMIT": 1}
    send(UserFactory())
    channel = why(send(user), user)
    assert (channel.reason, channel.channel) == ("queue_full", "email")
    assert channel.summary.startswith(
        "It was not sent: the queue was full, so the whole send was rejected and its recipients were not recorded. "
        "Workers would have to deliver some of the queue, QUEUE_LIMIT or CLUSTER_QUEUE_LIMIT would have to be higher"
    )


def test_a_send_that_was_rejected_while_klaxon_was_off_is_explained(user, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "ENABLED": False}
    channel = why(send(user), user)
    assert (channel.reason, channel.channel) == ("switched_off", "email")
    assert channel.summary == (
        "It was not sent: Klaxon was switched off, so the whole send was rejected and its recipients were not "
        "recorded. NOTIFICATIONS['ENABLED'] would have to be True; then a new call would have to send it."
    )


def test_a_rejected_send_is_explained_for_each_channel(user, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "QUEUE_LIMIT": 1}
    send(UserFactory())
    result = NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, {"order_number": "7"})
    explanation = NotificationManager.why(Notification.objects.get(pk=result.notification_id), user)
    assert [channel.channel for channel in explanation.channels] == ["email", "app"]
    assert explanation.channel("app").answer.reason == Reason.QUEUE_FULL
    assert not explanation.reaches


def test_a_channel_whose_name_was_cut_off_in_the_log_has_its_full_name(user):
    notification = send(user)
    Delivery.objects.all().delete()
    facts = {"recipient_key": "*", "channel": "app, em", "reason": "queue_full"}
    NotificationLog.objects.append([NotificationLog.for_notification(notification, "drop", MIDNIGHT, **facts)])
    explanation = NotificationManager.why(notification, user)
    assert [channel.channel for channel in explanation.channels] == ["app", "email"]


def test_a_person_who_was_no_recipient_has_no_channels(user):
    explanation = NotificationManager.why(send(UserFactory()), user)
    assert explanation.channels == ()
    assert not explanation.reaches
    assert "The notification was not meant for this recipient." in str(explanation)


def test_an_address_and_a_deleted_user_have_explanations(user, clock):
    address = Address(email="x@example.com")
    assert why(send(address), address).state == "ready"
    Delivery.objects.all().delete()
    send(user)
    user.delete()
    channel = why(Delivery.objects.get())
    assert "It is waiting, but would not be sent now: The user no longer exists." in channel.summary
    assert channel.notes == (), "a delivery that is dropped waits for no worker"


def test_it_writes_nothing_and_the_number_of_queries_does_not_depend_on_attempts(user):
    send(user)
    delivery = Delivery.objects.select_related("notification").get()
    with CaptureQueriesContext(connection) as for_none:
        why(delivery)
    NotificationLog.objects.append(NotificationLog.for_delivery(delivery, "attempt", MIDNIGHT) for _ in range(50))
    with CaptureQueriesContext(connection) as for_fifty:
        assert len(why(delivery).story) == 51
    assert len(for_fifty) == len(for_none) < 14
    assert [query for query in for_fifty if query["sql"].lstrip("(").split()[0] not in ("SELECT", "WITH")] == []


@pytest.mark.parametrize("recipient", ["ann", UserFactory.build()])
def test_the_recipient_must_be_a_saved_user_or_an_address(user, recipient):
    with pytest.raises(InvalidRecipient, match="one saved user or one Address"):
        why(send(user), recipient)


def test_without_a_recipient_the_error_shows_the_call(user):
    with pytest.raises(InvalidRecipient, match=r"why\(notification, user\)"):
        why(send(user))


def test_the_result_of_send_can_be_explained(user):
    result = NotificationManager.send(ShopEvents.ORDER_SHIPPED, [user], None, {"order_number": "7"})
    explanation = NotificationManager.why(result, user)
    assert str(explanation) == str(NotificationManager.why(Notification.objects.get(), user))
    assert str(explanation).startswith(f"order_shipped to {user}, as of ")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (SendResult(None, spooled=True), "replay_spool"),
        (SendResult(None, problems=("No such event.",)), "Nothing was sent. No such event."),
        (SendResult(0), "has been deleted"),
    ],
    ids=["spooled", "not sent", "gone"],
)
def test_a_result_without_a_notification_raises(user, result, message):
    with pytest.raises(InvalidOption, match=message):
        NotificationManager.why(result, user)


def test_a_deleted_user_is_named_by_their_key(user):
    send(user)
    row = Delivery.objects.select_related("notification").get()
    Delivery.objects.update(recipient=None)
    user.delete()
    assert f"to {row.recipient_key} (deleted), as of" in str(NotificationManager.why(row))


def test_other_subjects_and_deleted_deliveries_raise(user):
    with pytest.raises(InvalidOption, match="a Delivery, a Notification or a SendResult"):
        why(user, user)
    send(user)
    delivery = Delivery.objects.get()
    Delivery.objects.all().delete()
    with pytest.raises(InvalidOption, match="has been deleted"):
        why(delivery)
    with pytest.raises(InvalidOption, match="was never saved"):
        why(Delivery())


def test_a_deleted_or_unsaved_notification_raises(user):
    notification = send(user)
    Notification.objects.all().delete()
    for subject in (notification, Notification(event="shop_newsletter")):
        with pytest.raises(InvalidOption, match="has been deleted or was never saved"):
            why(subject, user)

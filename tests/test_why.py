"""``why()``: what became of it, what it waits for, and what would have to change."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.dispatch.dispatcher import Dispatcher
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import InvalidOption, InvalidRecipient
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, Heartbeat, Mute, Notification, NotificationLog, Pause, UserSettings
from notifications.outcomes import DeliveryState, Reason
from notifications.recipients import Address
from notifications.testing import temporary_events, travelling
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
MIDNIGHT = datetime(2026, 11, 21, 23, tzinfo=UTC)
SEVEN = datetime(2026, 11, 22, 6, tzinfo=UTC)
NIGHT = {"quiet_from": time(22), "quiet_until": time(7), "time_zone": "Europe/Berlin"}


@pytest.fixture(autouse=True)
def clock():
    with travelling(MIDNIGHT) as clock:
        yield clock


@pytest.fixture
def user():
    return UserFactory()


def send(recipients, **options):
    """A newsletter, by email alone."""
    result = NotificationManager.send(ShopEvents.NEWSLETTER, recipients, None, {}, **options)
    return Notification.objects.get(pk=result.notification_id)


def choose(user, **values):
    return UserSettings.objects.update_or_create(user=user, cluster=Cluster.objects.default(), defaults=values)[0]


def why(subject, recipient=None):
    [channel] = NotificationManager.why(subject, recipient).channels
    return channel


def put(**values):
    Delivery.objects.update(**values)
    return Delivery.objects.get()


def test_what_was_sent_says_when_and_by_whom(user, clock):
    notification = send(user)
    clock.forward(minutes=1)
    Dispatcher().run_until_idle()
    told = why(notification, user)
    assert told.summary == "It was sent at 23:01 on Saturday 21 November 2026, UTC by locmem."
    assert [event.what for event in told.story] == ["It was asked for.", "Attempt 1: locmem accepted it."]
    assert (told.arrives_at, told.state, told.steps, told.answer) == (clock.time, "sent", (), None)


def test_what_waits_for_its_hour_is_asked_again(user):
    choose(user, **NIGHT)
    notification = send(user)
    told = why(notification, user)
    assert told.summary.startswith(
        "It waits until 07:00 on Sunday 22 November 2026, Europe/Berlin: quiet hours of this"
    )
    assert told.arrives_at == SEVEN
    assert [step.gate for step in told.steps][-1] == "quiet_hours"


def test_who_has_changed_their_hours_since_is_told_that_it_still_waits(user):
    choose(user, **NIGHT)
    notification = send(user)
    choose(user, quiet_from=None, quiet_until=None)
    told = why(notification, user)
    assert all(step.lets_through for step in told.steps)
    assert told.summary.startswith("It waits until 07:00 on Sunday 22 November 2026")
    assert told.arrives_at == SEVEN


def test_what_would_be_dropped_now_says_so(user):
    notification = send(user)
    Mute(user=user, cluster=Cluster.objects.default(), kind="event", value="shop_newsletter").save()
    told = why(notification, user)
    assert told.summary == (
        "It waits, and as things stand it would not go out: user: muted event shop_newsletter for ever. The user would "
        "have to lift the mute, or the event would have to be declared CRITICAL."
    )
    assert told.arrives_at is None


def test_what_waits_for_its_send_at_is_asked_for_that_time(user):
    choose(user, **NIGHT)
    noon = SEVEN + timedelta(hours=5)
    told = why(send(user, send_at=noon), user)
    assert (told.arrives_at, told.steps[0].answer.reason) == (noon, Reason.SCHEDULED)


def test_what_waits_for_a_digest_says_what_it_waits_for(user):
    choose(user, digest="daily", digest_hour=18)
    told = why(send(user), user)
    assert told.summary.startswith(
        "It waits until 18:00 on Sunday 22 November 2026, UTC: Waits for the digest. The user"
    )


def test_what_expires_first_is_told(user, clock):
    notification = send(user, expires_at=MIDNIGHT + timedelta(minutes=5))
    assert why(notification, user).steps[-1].gate == "expires_at"
    assert why(notification, user).arrives_at == MIDNIGHT
    clock.forward(minutes=5)
    assert why(notification, user).arrives_at is None
    assert "a later expires_at" in why(notification, user).summary


def test_whom_send_refused_is_told_from_the_log(user):
    choose(user, channels={"email": False})
    told = why(send(user), user)
    assert (told.state, told.reason, told.delivery_id) == ("dropped", "preference", None)
    assert told.summary.startswith("It did not go out: user: channel email is off. The user would have to turn it on")


def test_a_refusal_of_all_is_everybodys(user, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "QUEUE_LIMIT": 1}
    send(UserFactory())
    told = why(send(user), user)
    assert (told.reason, told.channel) == ("queue_full", "email")
    assert "QUEUE_LIMIT" in told.summary


def test_who_was_not_meant_gets_no_channel(user):
    told = NotificationManager.why(send(UserFactory()), user)
    assert told.channels == ()
    assert not told.reaches
    assert "Nothing of it was meant for this recipient." in str(told)


def test_an_address_and_a_user_who_is_gone_have_a_story_too(user, clock):
    address = Address(email="x@example.com")
    assert why(send(address), address).state == "ready"
    Delivery.objects.all().delete()
    send(user)
    user.delete()
    told = why(Delivery.objects.get())
    assert "It waits, and as things stand it would not go out: The user no longer exists." in told.summary


def test_a_failure_tells_every_try(user):
    notification = send(user)
    delivery = put(state="dead", reason="permanent", attempts=2, settled_at=MIDNIGHT)
    rows = [("temporary", "451 later"), ("permanent", "550 no such user.")]
    for number, (reason, error) in enumerate(rows, start=1):
        delivery.attempts = number
        facts = {"reason": reason, "error_message": error, "provider": "smtp"}
        NotificationLog.objects.append([NotificationLog.of(delivery, "attempt", MIDNIGHT, **facts)])
    told = why(notification, user)
    assert [event.what for event in told.story[1:]] == [
        "Attempt 1 by smtp: The provider failed for now: 451 later.",
        "Attempt 2 by smtp: The provider refused for good: 550 no such user.",
    ]
    assert told.summary == (
        "It did not go out, and is not tried again: The provider refused for good (550 no such user). The address or "
        "the message would have to be one that the provider takes; then somebody with the permission "
        "klaxon.retry_delivery can send it again."
    )


@pytest.mark.parametrize("state", DeliveryState.values)
def test_every_state_has_its_sentence(user, state):
    notification = send(user)
    put(state=state, reason="temporary" if state in ("retry", "dead") else "", settled_at=MIDNIGHT, due_at=MIDNIGHT)
    told = why(notification, user)
    assert told.summary.endswith(".")
    assert "  " not in told.summary
    assert (told.arrives_at is not None) == (state in ("held", "ready", "retry", "claimed", "sending", "sent"))


def test_what_was_merged_went_where_the_other_went(user):
    notification = send(user)
    other = Delivery.to(notification, "email", "u:0", "", state="sent", settled_at=MIDNIGHT)
    other.save()
    Delivery.objects.filter(recipient=user).update(state="merged", merged_into=other)
    told = why(notification, user)
    assert told.summary == f"It went into delivery {other.pk}, which is sent."
    assert told.arrives_at == MIDNIGHT


def test_a_channel_or_an_event_that_is_gone_is_told(user, settings):
    notification = send(user)
    with temporary_events():
        del NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER]
        assert [step.gate for step in why(notification, user).steps] == ["event"]
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"ENABLED": False}}}
    told = why(notification, user)
    assert [step.gate for step in told.steps] == ["channel"]
    assert told.answer.reason == Reason.NOT_CONFIGURED


def test_what_is_ready_says_whether_anybody_would_take_it(user):
    notification = send(user)
    assert why(notification, user).notes == ("No worker is running at this moment; it goes out when one does.",)
    Heartbeat.objects.beat("one", "here", 1, MIDNIGHT)
    assert why(notification, user).notes == ()
    Pause.objects.pause("*", "", MIDNIGHT)
    assert why(notification, user).notes == ("Everything is paused: it would wait for resume_notifications.",)


def test_it_writes_nothing_and_costs_the_same_for_many_tries(user):
    send(user)
    delivery = Delivery.objects.select_related("notification").get()
    with CaptureQueriesContext(connection) as for_none:
        why(delivery)
    NotificationLog.objects.append(NotificationLog.of(delivery, "attempt", MIDNIGHT) for _ in range(50))
    with CaptureQueriesContext(connection) as for_fifty:
        assert len(why(delivery).story) == 51
    assert len(for_fifty) == len(for_none) < 14
    assert [query for query in for_fifty if query["sql"].split()[0] not in ("SELECT", "WITH")] == []


@pytest.mark.parametrize("recipient", [None, "ann", UserFactory.build()])
def test_a_notification_needs_a_recipient(user, recipient):
    with pytest.raises(InvalidRecipient, match="one saved user or one Address"):
        why(send(user), recipient)


def test_other_things_have_no_story(user):
    with pytest.raises(InvalidOption, match="A Delivery or a Notification"):
        why(user, user)
    send(user)
    delivery = Delivery.objects.get()
    Delivery.objects.all().delete()
    with pytest.raises(InvalidOption, match="is gone"):
        why(delivery)

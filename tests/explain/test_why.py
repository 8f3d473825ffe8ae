"""``why()``: what became of it, what it waits for, and what would have to change."""

from datetime import UTC, datetime, time, timedelta
from enum import Enum

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority
from notifications.exceptions import InvalidOption, InvalidRecipient
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, Heartbeat, Mute, Notification, NotificationLog, Pause, UserSettings
from notifications.outcomes import DeliveryState, Reason, SendResult
from notifications.recipients import Address
from notifications.testing import temporary_events, travelling
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
MIDNIGHT = datetime(2026, 11, 21, 23, tzinfo=UTC)
SEVEN = datetime(2026, 11, 22, 6, tzinfo=UTC)
NIGHT = {"quiet_from": time(22), "quiet_until": time(7), "time_zone": "Europe/Berlin"}


class Quiet(Enum):
    NOTE = "note"


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
    assert [event.what for event in told.story] == ["send() was called.", "Attempt 1: locmem accepted it."]
    assert (told.arrives_at, told.state, told.steps, told.answer) == (clock.time, "sent", (), None)


def test_that_another_address_was_used_than_the_users_own_belongs_to_the_story(user):
    choose(user, addresses={"email": "ann@example,com"})
    notification = send(user)
    Dispatcher().run_until_idle()
    for told in (why(notification, user), why(Delivery.objects.get())):
        assert [event.what for event in told.story] == [
            "send() was called.",
            "Note: The user’s own address is unusable; that of the account is used: "
            "the email address in the settings is malformed.",
            "Attempt 1: locmem accepted it.",
        ]


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
    assert "would have to" not in told.summary
    assert told.arrives_at == SEVEN


def test_what_would_be_dropped_now_says_so(user):
    notification = send(user)
    Mute(user=user, cluster=Cluster.objects.default(), kind="event", value="shop_newsletter").save()
    told = why(notification, user)
    assert told.summary == (
        "It is waiting, but would not be sent now: user: muted event shop_newsletter for ever. The user would have to "
        "lift the mute, or the event would have to be declared CRITICAL."
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
        "It waits until 18:00 on Sunday 22 November 2026, UTC: daily digest of this user: 18:00 UTC. The user"
    )


def test_what_the_user_has_changed_since_is_not_proposed(user):
    choose(user, digest="daily", digest_hour=18)
    notification = send(user)
    choose(user, digest="none")
    assert why(notification, user).summary == (
        "It waits until 18:00 on Sunday 22 November 2026, UTC: Waits for the digest; its time was set by "
        "settings that have changed since."
    )


def test_what_is_over_a_limit_names_its_limits(user, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "LIMITS": {"user": "1/h", "user_channel": {"email": "5/d"}}}
    send(user)
    notification = send(user)
    Dispatcher().run_until_idle()
    assert why(notification, user).summary.endswith(
        "Fewer notifications would have to be sent, or a limit would have to be higher: LIMITS['user'] 1/h, "
        "LIMITS['user_channel'] 5/d."
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
    assert told.summary.startswith("It was not sent: user: channel email is off. The user would have to turn it on")


def test_a_refusal_of_all_is_everybodys(user, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "QUEUE_LIMIT": 1}
    send(UserFactory())
    told = why(send(user), user)
    assert (told.reason, told.channel) == ("queue_full", "email")
    assert told.summary.startswith(
        "It was not sent: the queue was full, so the whole send was rejected and its recipients were not recorded. "
        "Workers would have to deliver some of the queue, QUEUE_LIMIT or CLUSTER_QUEUE_LIMIT would have to be higher"
    )


def test_a_refusal_of_all_is_told_for_each_of_its_channels(user, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "QUEUE_LIMIT": 1}
    send(UserFactory())
    result = NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, {"order_number": "7"})
    told = NotificationManager.why(Notification.objects.get(pk=result.notification_id), user)
    assert [channel.channel for channel in told.channels] == ["email", "app"]
    assert told.channel("app").answer.reason == Reason.QUEUE_FULL
    assert not told.reaches


def test_a_channel_whose_name_the_row_cut_off_is_told_by_its_name(user):
    notification = send(user)
    Delivery.objects.all().delete()
    facts = {"recipient_key": "*", "channel": "app, em", "reason": "queue_full"}
    NotificationLog.objects.append([NotificationLog.for_notification(notification, "drop", MIDNIGHT, **facts)])
    told = NotificationManager.why(notification, user)
    assert [channel.channel for channel in told.channels] == ["app", "email"]


def test_who_was_not_meant_gets_no_channel(user):
    told = NotificationManager.why(send(UserFactory()), user)
    assert told.channels == ()
    assert not told.reaches
    assert "The notification was not meant for this recipient." in str(told)


def test_an_address_and_a_user_who_is_gone_have_a_story_too(user, clock):
    address = Address(email="x@example.com")
    assert why(send(address), address).state == "ready"
    Delivery.objects.all().delete()
    send(user)
    user.delete()
    told = why(Delivery.objects.get())
    assert "It is waiting, but would not be sent now: The user no longer exists." in told.summary
    assert told.notes == (), "not that it goes out when a worker runs"


def test_a_failure_tells_every_try(user):
    notification = send(user)
    delivery = put(state="dead", reason="permanent", attempts=2, settled_at=MIDNIGHT)
    rows = [("temporary", "451 later"), ("permanent", "550 no such user.")]
    for number, (reason, error) in enumerate(rows, start=1):
        delivery.attempts = number
        facts = {"reason": reason, "error_message": error, "provider": "smtp"}
        NotificationLog.objects.append([NotificationLog.for_delivery(delivery, "attempt", MIDNIGHT, **facts)])
    told = why(notification, user)
    assert [event.what for event in told.story[1:]] == [
        "Attempt 1 by smtp: The provider failed for now: 451 later.",
        "Attempt 2 by smtp: The provider refused for good: 550 no such user.",
    ]
    assert told.summary == (
        "It was not sent, and is not retried: The provider refused for good (550 no such user). The address or the "
        "message would have to be one that the provider accepts; then a user with the permission "
        "klaxon.retry_delivery can resend it."
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
    other = Delivery.build(notification, "email", "u:0", "", state="sent", settled_at=MIDNIGHT)
    other.save()
    Delivery.objects.filter(recipient=user).update(state="merged", merged_into=other)
    told = why(notification, user)
    assert told.summary == f"It is part of delivery {other.pk}, which is sent."
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
    assert why(notification, user).notes == ("No worker is running now; the delivery is sent when one starts.",)
    Heartbeat.objects.beat("one", "here", 1, MIDNIGHT)
    assert why(notification, user).notes == ()
    Pause.objects.pause("*", "", MIDNIGHT)
    paused = "Everything is paused: nothing is sent until resume_notifications is run."
    assert why(notification, user).notes == (paused,)
    assert why(notification, user).summary == (
        "It is ready and waits until resume_notifications is run, because everything is paused."
    )
    Heartbeat.objects.all().delete()
    assert why(notification, user).notes == (paused, "No worker is running now.")


def test_what_is_held_while_everything_is_paused_may_go_out_later_than_its_hour(user):
    choose(user, **NIGHT)
    notification = send(user)
    Pause.objects.pause("*", "", MIDNIGHT)
    hour = "It waits until 07:00 on Sunday 22 November 2026, Europe/Berlin at the earliest, and until resume"
    assert why(notification, user).summary.startswith(hour)


def test_what_is_due_and_would_be_held_does_not_go_out_with_a_worker(user):
    notification = send(user)
    choose(user, **NIGHT)
    assert why(notification, user).arrives_at == SEVEN
    assert why(notification, user).notes == ("No worker is running now.",)


@pytest.mark.parametrize(("state", "more"), [("claimed", ""), ("sending", " It may have arrived already.")])
def test_who_has_lost_its_worker_is_told(user, clock, state, more):
    notification = send(user)
    Heartbeat.objects.beat("one", "here", 1, MIDNIGHT)
    put(state=state, owner="one", lease=MIDNIGHT + timedelta(seconds=30))
    assert why(notification, user).summary == "A worker is processing it now."
    clock.forward(seconds=31)
    told = why(notification, user)
    assert told.summary == (
        "Its worker has not responded since 23:00 on Saturday 21 November 2026, UTC, and another worker will take it "
        f"over.{more}"
    )
    assert told.notes == ("No worker is running now.",)
    assert (told.arrives_at is None) == (state == "sending"), "nobody can know what has arrived"


def test_a_worker_that_is_gone_was_heard_of_until_its_lease_ran_out(user, clock):
    notification = send(user)
    put(state="claimed", owner="one", lease=MIDNIGHT)
    assert why(notification, user).summary == "A worker is processing it now."
    clock.forward(minutes=1)
    assert why(notification, user).summary.startswith("Its worker has not responded since 23:00 on Saturday")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (
            "cancelled",
            "It was cancelled. A new call would have to send it; a cancelled delivery is never sent.",
        ),
        ("expired", "It has expired. The call would have to name a later expires_at, or none."),
    ],
)
def test_what_the_state_says_is_not_said_twice(user, state, words):
    notification = send(user)
    put(state=state, reason=state, settled_at=MIDNIGHT)
    assert why(notification, user).summary == words


def test_what_was_cancelled_while_a_worker_had_it_will_not_be_tried_again(user):
    notification = send(user, cancel_key="7")
    put(state="claimed")
    NotificationManager.cancel(None, "7")
    put(state="retry", reason="temporary", due_at=SEVEN)
    told = why(notification, user)
    assert told.summary == (
        "It is waiting, but would not be sent now: it was cancelled at 23:00 on Saturday 21 November 2026, UTC. A new "
        "call would have to send it; a cancelled delivery is never sent."
    )
    assert (told.arrives_at, [step.gate for step in told.steps]) == (None, ["cancel"])


@pytest.mark.parametrize("state", ["ready", "dead"])
def test_what_a_missing_channel_would_take_is_said_once(user, settings, state):
    notification = send(user)
    delivery = put(state=state, reason="channel_not_configured" if state == "dead" else "")
    words = {"reason": "channel_not_configured", "error_message": "Add it to NOTIFICATIONS['CHANNELS']."}
    NotificationLog.objects.append([NotificationLog.for_delivery(delivery, "attempt", MIDNIGHT, **words)])
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"ENABLED": False}}}
    told = why(notification, user)
    assert told.summary.count("NOTIFICATIONS['CHANNELS']") == told.summary.count("ENABLED") == 1
    assert "is not configured. The channel email would have to be listed in" in told.summary


@pytest.mark.parametrize("state", DeliveryState.values)
def test_every_sentence_begins_with_a_capital_letter(user, state):
    notification = send(user)
    for reason in Reason.values:
        put(state=state, reason=reason, settled_at=MIDNIGHT, due_at=MIDNIGHT)
        told = why(notification, user)
        for sentence in (*told.summary.split(". "), *told.notes):
            assert sentence[0].isupper(), sentence


def test_a_channel_that_sends_to_nobody_reaches_nobody(user):
    with temporary_events() as events:
        events[Quiet.NOTE] = NotificationEvent("note", NotificationPriority.LOW, ["log"])
        result = NotificationManager.send(Quiet.NOTE, user)
        told = NotificationManager.why(Notification.objects.get(pk=result.notification_id), user)
    assert told.channel("log").arrives_at
    assert not told.reaches
    assert "It reaches nobody: deliveries on log are sent to no address and no account." in str(told)


def test_it_writes_nothing_and_costs_the_same_for_many_tries(user):
    send(user)
    delivery = Delivery.objects.select_related("notification").get()
    with CaptureQueriesContext(connection) as for_none:
        why(delivery)
    NotificationLog.objects.append(NotificationLog.for_delivery(delivery, "attempt", MIDNIGHT) for _ in range(50))
    with CaptureQueriesContext(connection) as for_fifty:
        assert len(why(delivery).story) == 51
    assert len(for_fifty) == len(for_none) < 14
    assert [query for query in for_fifty if query["sql"].split()[0] not in ("SELECT", "WITH")] == []


@pytest.mark.parametrize("recipient", ["ann", UserFactory.build()])
def test_a_notification_needs_a_recipient(user, recipient):
    with pytest.raises(InvalidRecipient, match="one saved user or one Address"):
        why(send(user), recipient)


def test_without_a_recipient_it_says_how_to_ask(user):
    with pytest.raises(InvalidRecipient, match=r"why\(notification, user\)"):
        why(send(user))


def test_the_result_of_a_send_has_the_story_of_its_notification(user):
    result = NotificationManager.send(ShopEvents.ORDER_SHIPPED, [user], None, {"order_number": "7"})
    told = NotificationManager.why(result, user)
    assert str(told) == str(NotificationManager.why(Notification.objects.get(), user))
    assert str(told).startswith(f"order_shipped to {user}, as of ")


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (SendResult(None, spooled=True), "replay_spool"),
        (SendResult(None, problems=("No such event.",)), "Nothing was sent. No such event."),
        (SendResult(0), "has been deleted"),
    ],
    ids=["spooled", "not sent", "gone"],
)
def test_a_result_without_a_notification_says_why_there_is_no_story(user, result, told):
    with pytest.raises(InvalidOption, match=told):
        NotificationManager.why(result, user)


def test_a_user_who_was_deleted_is_named_by_their_key(user):
    send(user)
    row = Delivery.objects.select_related("notification").get()
    Delivery.objects.update(recipient=None)
    user.delete()
    assert f"to {row.recipient_key} (deleted), as of" in str(NotificationManager.why(row))


def test_other_things_have_no_story(user):
    with pytest.raises(InvalidOption, match="a Delivery, a Notification or a SendResult"):
        why(user, user)
    send(user)
    delivery = Delivery.objects.get()
    Delivery.objects.all().delete()
    with pytest.raises(InvalidOption, match="has been deleted"):
        why(delivery)
    with pytest.raises(InvalidOption, match="was never saved"):
        why(Delivery())


def test_a_notification_that_is_gone_or_was_never_saved_has_none(user):
    notification = send(user)
    Notification.objects.all().delete()
    for nothing in (notification, Notification(event="shop_newsletter")):
        with pytest.raises(InvalidOption, match="has been deleted or was never saved"):
            why(nothing, user)

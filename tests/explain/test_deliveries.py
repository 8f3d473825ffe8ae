"""Explanations of deliveries: what happened, what they wait for, and what would have to change."""

from datetime import timedelta

import pytest

from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, Heartbeat, Mute, Notification, NotificationLog, Pause
from notifications.outcomes import DeliveryState, Reason
from notifications.testing import temporary_events
from tests.explain.helpers import MIDNIGHT, NIGHT, SEVEN, Alarms, put, send, why
from tests.shop.notification_events import ShopEvents

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


def test_a_sent_delivery_names_time_and_provider(user, clock):
    notification = send(user)
    clock.forward(minutes=1)
    Dispatcher().run_until_idle()
    channel = why(notification, user)
    assert channel.summary == "It was sent at 23:01 on Saturday 21 November 2026, UTC by locmem."
    assert [event.what for event in channel.story] == ["send() was called.", "Attempt 1: locmem accepted it."]
    assert (channel.arrives_at, channel.state, channel.steps, channel.answer) == (clock.time, "sent", (), None)


def test_the_story_contains_that_the_address_of_the_account_was_used(user, choose):
    choose(addresses={"email": "ann@example,com"})
    notification = send(user)
    Dispatcher().run_until_idle()
    for channel in (why(notification, user), why(Delivery.objects.get())):
        assert [event.what for event in channel.story] == [
            "send() was called.",
            "Note: The user’s own address is unusable; that of the account is used: "
            "the email address in the settings is malformed.",
            "Attempt 1: locmem accepted it.",
        ]


def test_a_held_delivery_is_rechecked(user, choose):
    choose(**NIGHT)
    notification = send(user)
    channel = why(notification, user)
    assert channel.summary.startswith(
        "It waits until 07:00 on Sunday 22 November 2026, Europe/Berlin: quiet hours of this"
    )
    assert channel.arrives_at == SEVEN
    assert [step.gate for step in channel.steps][-1] == "quiet_hours"


def test_a_delivery_keeps_its_time_if_the_user_changes_quiet_hours(user, choose):
    choose(**NIGHT)
    notification = send(user)
    choose(quiet_from=None, quiet_until=None)
    channel = why(notification, user)
    assert all(step.lets_through for step in channel.steps)
    assert channel.summary.startswith("It waits until 07:00 on Sunday 22 November 2026")
    assert "would have to" not in channel.summary
    assert channel.arrives_at == SEVEN


def test_a_waiting_delivery_that_would_be_dropped_now_says_so(user):
    notification = send(user)
    Mute(user=user, cluster=Cluster.objects.default(), kind="event", value="shop_newsletter").save()
    channel = why(notification, user)
    assert channel.summary == (
        "It is waiting, but would not be sent now: user: muted event shop_newsletter for ever. The user would have to "
        "lift the mute, or the event would have to be declared CRITICAL."
    )
    assert channel.arrives_at is None


def test_the_gates_are_called_for_the_time_of_send_at(user, choose):
    choose(**NIGHT)
    noon = SEVEN + timedelta(hours=5)
    channel = why(send(user, send_at=noon), user)
    assert (channel.arrives_at, channel.steps[0].answer.reason) == (noon, Reason.SCHEDULED)


def test_a_delivery_that_waits_for_a_digest_names_it(user, choose):
    choose(digest="daily", digest_hour=18)
    channel = why(send(user), user)
    assert channel.summary.startswith(
        "It waits until 18:00 on Sunday 22 November 2026, UTC: daily digest of this user: 18:00 UTC. The user"
    )


def test_a_setting_that_has_changed_since_is_no_remedy(user, choose):
    choose(digest="daily", digest_hour=18)
    notification = send(user)
    choose(digest="none")
    assert why(notification, user).summary == (
        "It waits until 18:00 on Sunday 22 November 2026, UTC: Waits for the digest; its time was set by "
        "settings that have changed since."
    )


def test_a_delivery_over_a_limit_names_the_limits(user, settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {}}, "LIMITS": {"user": "1/h", "user_channel": {"email": "5/d"}}}
    send(user)
    notification = send(user)
    Dispatcher().run_until_idle()
    assert why(notification, user).summary.endswith(
        "Fewer notifications would have to be sent, or a limit would have to be higher: LIMITS['user'] 1/h, "
        "LIMITS['user_channel'] 5/d."
    )


def test_a_delivery_that_expires_before_it_is_sent_says_so(user, clock):
    notification = send(user, expires_at=MIDNIGHT + timedelta(minutes=5))
    assert why(notification, user).steps[-1].gate == "expires_at"
    assert why(notification, user).arrives_at == MIDNIGHT
    clock.forward(minutes=5)
    assert why(notification, user).arrives_at is None
    assert "a later expires_at" in why(notification, user).summary


def test_the_story_of_a_failure_contains_every_attempt(user):
    notification = send(user)
    delivery = put(state="dead", reason="permanent", attempts=2, settled_at=MIDNIGHT)
    rows = [("temporary", "451 later"), ("permanent", "550 no such user.")]
    for number, (reason, error) in enumerate(rows, start=1):
        delivery.attempts = number
        facts = {"reason": reason, "error_message": error, "provider": "smtp"}
        NotificationLog.objects.append([NotificationLog.for_delivery(delivery, "attempt", MIDNIGHT, **facts)])
    channel = why(notification, user)
    assert [event.what for event in channel.story[1:]] == [
        "Attempt 1 by smtp: The provider failed temporarily: 451 later.",
        "Attempt 2 by smtp: The provider refused permanently: 550 no such user.",
    ]
    assert channel.summary == (
        "It was not sent, and is not retried: The provider refused permanently (550 no such user). The address or the "
        "message would have to be one that the provider accepts; then a user with the permission "
        "klaxon.retry_delivery can resend it."
    )


@pytest.mark.parametrize("state", DeliveryState.values)
def test_every_state_has_a_summary(user, state):
    notification = send(user)
    put(state=state, reason="temporary" if state in ("retry", "dead") else "", settled_at=MIDNIGHT, due_at=MIDNIGHT)
    channel = why(notification, user)
    assert channel.summary.endswith(".")
    assert "  " not in channel.summary
    assert (channel.arrives_at is not None) == (state in ("held", "ready", "retry", "claimed", "sending", "sent"))


def test_a_merged_delivery_names_its_digest(user):
    notification = send(user)
    other = Delivery.build(notification, "email", "u:0", "", state="sent", settled_at=MIDNIGHT)
    other.save()
    Delivery.objects.filter(recipient=user).update(state="merged", merged_into=other)
    channel = why(notification, user)
    assert channel.summary == f"It is part of delivery {other.pk}, which is sent."
    assert channel.arrives_at == MIDNIGHT


def test_a_channel_or_event_that_was_removed_is_explained(user, settings):
    notification = send(user)
    with temporary_events():
        del NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER]
        assert [step.gate for step in why(notification, user).steps] == ["event"]
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"ENABLED": False}}}
    channel = why(notification, user)
    assert [step.gate for step in channel.steps] == ["channel"]
    assert channel.answer.reason == Reason.NOT_CONFIGURED


def test_a_ready_delivery_has_notes_about_workers_and_pauses(user):
    notification = send(user)
    assert why(notification, user).notes == ("No worker is running now; the delivery waits until one starts.",)
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


def test_the_summary_of_a_held_delivery_takes_a_pause_into_account(user, choose):
    choose(**NIGHT)
    notification = send(user)
    Pause.objects.pause("*", "", MIDNIGHT)
    hour = "It waits until 07:00 on Sunday 22 November 2026, Europe/Berlin at the earliest, and until resume"
    assert why(notification, user).summary.startswith(hour)


def test_a_due_delivery_that_would_be_held_does_not_wait_only_for_a_worker(user, choose):
    notification = send(user)
    choose(**NIGHT)
    assert why(notification, user).arrives_at == SEVEN
    assert why(notification, user).notes == ("No worker is running now.",)


@pytest.mark.parametrize(("state", "more"), [("claimed", ""), ("sending", " It may have arrived already.")])
def test_a_lost_worker_is_explained(user, clock, state, more):
    notification = send(user)
    Heartbeat.objects.beat("one", "here", 1, MIDNIGHT)
    put(state=state, owner="one", lease=MIDNIGHT + timedelta(seconds=30))
    assert why(notification, user).summary == "A worker is processing it now."
    clock.forward(seconds=31)
    channel = why(notification, user)
    assert channel.summary == (
        "Its worker has not responded since 23:00 on Saturday 21 November 2026, UTC, and another worker will take it "
        f"over.{more}"
    )
    assert channel.notes == ("No worker is running now.",)
    assert (channel.arrives_at is None) == (state == "sending"), "whether it has arrived is not known"


def test_a_worker_without_heartbeat_is_lost_when_its_lease_has_expired(user, clock):
    notification = send(user)
    put(state="claimed", owner="one", lease=MIDNIGHT)
    assert why(notification, user).summary == "A worker is processing it now."
    clock.forward(minutes=1)
    assert why(notification, user).summary.startswith("Its worker has not responded since 23:00 on Saturday")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("cancelled", "It was cancelled. A new call would have to send it; a cancelled delivery is never sent."),
        ("expired", "It has expired. The call would have to name a later expires_at, or none."),
    ],
)
def test_a_reason_that_equals_the_state_is_not_repeated(user, state, words):
    notification = send(user)
    put(state=state, reason=state, settled_at=MIDNIGHT)
    assert why(notification, user).summary == words


def test_a_delivery_cancelled_while_a_worker_had_it_is_not_retried(user):
    notification = send(user, cancel_key="7")
    put(state="claimed")
    NotificationManager.cancel(None, "7")
    put(state="retry", reason="temporary", due_at=SEVEN)
    channel = why(notification, user)
    assert channel.summary == (
        "It is waiting, but would not be sent now: it was cancelled at 23:00 on Saturday 21 November 2026, UTC. A new "
        "call would have to send it; a cancelled delivery is never sent."
    )
    assert (channel.arrives_at, [step.gate for step in channel.steps]) == (None, ["cancel"])


@pytest.mark.parametrize("state", ["ready", "dead"])
def test_the_remedy_for_a_missing_channel_appears_once(user, settings, state):
    notification = send(user)
    delivery = put(state=state, reason="channel_not_configured" if state == "dead" else "")
    words = {"reason": "channel_not_configured", "error_message": "Add it to NOTIFICATIONS['CHANNELS']."}
    NotificationLog.objects.append([NotificationLog.for_delivery(delivery, "attempt", MIDNIGHT, **words)])
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"ENABLED": False}}}
    channel = why(notification, user)
    assert channel.summary.count("NOTIFICATIONS['CHANNELS']") == channel.summary.count("ENABLED") == 1
    assert "is not configured. The channel email would have to be listed in" in channel.summary


@pytest.mark.parametrize("state", DeliveryState.values)
def test_every_sentence_begins_with_a_capital_letter(user, state):
    notification = send(user)
    for reason in Reason.values:
        put(state=state, reason=reason, settled_at=MIDNIGHT, due_at=MIDNIGHT)
        channel = why(notification, user)
        for sentence in (*channel.summary.split(". "), *channel.notes):
            assert sentence[0].isupper(), sentence


def test_a_delivery_on_a_channel_without_addresses_reaches_nobody(user):
    with temporary_events() as events:
        events[Alarms.SMOKE] = NotificationEvent("smoke", NotificationPriority.LOW, ["log"])
        result = NotificationManager.send(Alarms.SMOKE, user)
        explanation = NotificationManager.why(Notification.objects.get(pk=result.notification_id), user)
    assert explanation.channel("log").arrives_at
    assert not explanation.reaches
    assert "It reaches nobody: deliveries on log are sent to no address and no account." in str(explanation)

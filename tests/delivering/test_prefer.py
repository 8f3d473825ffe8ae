"""The channels of an event with prefer are used one after the other."""

from datetime import UTC, datetime, time, timedelta
from enum import Enum

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.channels import BaseChannel
from notifications.checks import run_checks
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NotificationEvent, NotificationPriority, Prefer
from notifications.manager import NotificationManager
from notifications.models import (
    Circuit,
    Cluster,
    Delivery,
    InboxItem,
    Notification,
    NotificationLog,
    Pause,
    Presence,
    Suppression,
    TrackingEvent,
)
from notifications.outcomes import Blame, Receipt, Verdict
from notifications.recipients import Address, To
from notifications.testing import temporary_events, travelling
from tests.factories import UserFactory, UserSettingsFactory

pytestmark = pytest.mark.django_db

urlpatterns: list = []
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)
APP_FIRST = [Prefer("app", wait=TEN_MINUTES), "email"]
PAGER_FIRST = [Prefer("pager", wait=TEN_MINUTES), "email"]
REFUSED = {"verdict": Verdict.PERMANENT, "error": "no such pager"}
DOWN = {"verdict": Verdict.TEMPORARY, "error": "silence", "blames": Blame.SILENCE}


class Leaks(Enum):
    WATER = "water_leak"


class Pager(BaseChannel):
    """Reaches every account and answers what the test wants."""

    address_kind = "user"
    answer: dict = {}

    def prepare(self, delivery, rendered):
        return {"delivery": delivery.pk}

    def send(self, messages):
        for message in messages:
            yield Receipt(message, **{"verdict": Verdict.ACCEPTED, **self.answer})


@pytest.fixture(autouse=True)
def site(settings, tmp_path):
    folder = tmp_path / "notifications/water_leak"
    folder.mkdir(parents=True)
    for name in ("app.subject.txt", "app.txt", "email.subject.txt", "email.txt", "pager.txt", "siren.txt"):
        (folder / name).write_text("water in the cellar")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    own = f"{__name__}.Pager"
    settings.NOTIFICATIONS = {
        "CHANNELS": {"app": {}, "email": {}, "pager": {"BACKEND": own}, "siren": {"BACKEND": own}},
        "RETRY_JITTER": 0,
        "RETRY_DELAYS": [60],
    }
    Pager.answer = {}


@pytest.fixture
def clock():
    with travelling(NOON) as clock:
        yield clock


@pytest.fixture
def declare(clock):
    with temporary_events() as registry:

        def declared(prefer, channels=("app", "email", "pager", "siren"), **options):
            priority = options.pop("priority", NotificationPriority.MEDIUM)
            registry[Leaks.WATER] = NotificationEvent("water_leak", priority, channels, prefer=prefer, **options)

        declared([Prefer("app", wait=TEN_MINUTES), "email"], ("app", "email"))
        yield declared


@pytest.fixture
def user():
    return UserFactory()


def open_page(*users, hub="one"):
    Presence.objects.renew([user.pk for user in users], hub, NOON)


def report(*recipients, **options):
    return NotificationManager.send(Leaks.WATER, list(recipients), None, {}, **options)


def work(clock=None, **later):
    if later:
        clock.forward(**later)
    return dict(Dispatcher().run_until_idle())


def work_once():
    return Dispatcher().run_batch()


def states():
    rows = Delivery.objects.order_by("pk").values_list("channel", "state", "reason")
    return {channel: f"{state} {reason}".strip() for channel, state, reason in rows}


def get_due(channel):
    return Delivery.objects.get(channel=channel).due_at


# The first channel.


def test_a_user_with_an_open_page_gets_it_in_the_app_and_no_email_yet(declare, user):
    open_page(user)
    result = report(user)
    assert (result.queued, result.held) == (1, 1)
    assert work() == {"sent": 1}
    assert states() == {"app": "sent", "email": "held preferred"}


def test_a_user_without_an_open_page_gets_the_email_at_once(declare, user):
    report(user)
    work_once()
    assert states() == {"app": "held passed_over", "email": "sent"}


def test_a_channel_that_was_passed_over_is_dropped_once_the_last_one_has_sent_it(declare, user):
    report(user)
    assert work() == {"sent": 1, "dropped": 1}
    assert states() == {"app": "dropped covered", "email": "sent"}
    row = NotificationLog.objects.get(kind="drop")
    assert (row.channel, row.reason, row.error_message) == (
        "app",
        "covered",
        "the recipient gets it on the channel email",
    )


def test_an_expired_presence_counts_as_absence(declare, user, clock):
    open_page(user)
    clock.forward(minutes=2)
    report(user)
    work()
    assert states()["email"] == "sent"


def test_needs_presence_can_be_turned_off(declare, user):
    declare([Prefer("app", wait=TEN_MINUTES, needs_presence=False), "email"], ("app", "email"))
    report(user)
    work()
    assert states() == {"app": "sent", "email": "held preferred"}


def test_an_open_circuit_lets_the_next_channel_begin(declare, user):
    declare(PAGER_FIRST, ("pager", "email"))
    Circuit.objects.create(key="pager", open_until=NOON + timedelta(hours=1), opened_at=NOON)
    report(user)
    work()
    assert states() == {"pager": "ready passed_over", "email": "sent"}


def test_a_circuit_that_may_be_probed_counts_as_closed(declare, user):
    declare(PAGER_FIRST, ("pager", "email"))
    Circuit.objects.create(key="pager", open_until=NOON - timedelta(seconds=1), opened_at=NOON)
    report(user)
    assert states() == {"pager": "ready", "email": "held preferred"}


def test_a_paused_channel_lets_the_next_channel_begin(declare, user):
    declare(PAGER_FIRST, ("pager", "email"))
    Pause.objects.create(channel="pager", since=NOON)
    report(user)
    work()
    assert states() == {"pager": "ready passed_over", "email": "sent"}


def test_if_no_channel_can_reach_the_user_now_the_first_of_the_list_begins(declare, user):
    Pause.objects.create(channel="email", since=NOON)
    report(user)
    assert work() == {"sent": 1}
    assert states() == {"app": "sent", "email": "held preferred"}


def test_a_suppressed_address_leaves_the_next_channel_as_the_first(declare, user):
    declare([Prefer("email", wait=TEN_MINUTES), "pager"], ("email", "pager"))
    Suppression.objects.suppress({("email", user.email)}, Suppression.Cause.HARD_BOUNCE, NOON)
    result = report(user)
    assert dict(result.reasons) == {"suppressed": 1}
    work()
    assert states() == {"pager": "sent"}


def test_an_opt_out_leaves_the_next_channel_as_the_first(declare, user):
    declare(PAGER_FIRST, ("pager", "email"))
    settings = UserSettingsFactory(user=user, cluster=Cluster.objects.default())
    settings.set_channel("pager", False)
    settings.save()
    report(user)
    work()
    assert states() == {"email": "sent"}


def test_a_critical_event_reaches_users_who_opted_out_by_the_first_channel_only(declare, user):
    declare(PAGER_FIRST, ("pager", "email"), priority=NotificationPriority.CRITICAL)
    settings = UserSettingsFactory(user=user, cluster=Cluster.objects.default())
    settings.set_channel("pager", False)
    settings.save()
    report(user)
    work()
    assert states() == {"pager": "sent", "email": "held preferred"}


def test_channels_that_are_not_in_the_list_are_used_as_usual(declare, user):
    declare(APP_FIRST, ("app", "email", "siren"))
    report(user)
    work()
    assert states() == {"app": "dropped covered", "email": "sent", "siren": "sent"}


def test_channels_that_the_call_leaves_out_are_not_in_the_list(declare, user):
    declare(PAGER_FIRST, ("pager", "email"))
    report(user, channels=["email"])
    work()
    assert states() == {"email": "sent"}


def test_each_recipient_has_the_list_of_their_own_channels(declare):
    declare(PAGER_FIRST, ("pager", "email"))
    one, other = UserFactory.create_batch(2)
    report(To(one, channels=["email"]), other)
    work()
    sent = set(Delivery.objects.filter(state="sent").values_list("recipient", "channel"))
    assert sent == {(one.pk, "email"), (other.pk, "pager")}


def test_an_address_without_an_account_gets_it_on_the_channel_that_it_has(declare):
    report(Address(email="guest@example.org"))
    work()
    assert states() == {"email": "sent"}
    assert mail.outbox[0].to == ["guest@example.org"]


# The next channel.


def test_the_email_is_sent_if_the_item_is_not_read_within_ten_minutes(declare, user, clock):
    open_page(user)
    report(user)
    work()
    assert work(clock, minutes=9, seconds=59) == {}
    assert work(clock, seconds=1) == {"sent": 1}
    assert states() == {"app": "sent", "email": "sent"}


def test_the_email_is_dropped_if_the_item_is_read(declare, user, clock):
    open_page(user)
    report(user)
    work()
    InboxItem.objects.of(user).mark_read(NOON)
    assert work(clock, minutes=10) == {"dropped": 1}
    assert states() == {"app": "sent", "email": "dropped read"}
    row = NotificationLog.objects.get(kind="drop")
    assert (row.reason, row.error_message) == ("read", "the recipient has read it on the channel app")


def test_an_item_that_is_unread_again_counts_as_unread(declare, user, clock):
    open_page(user)
    report(user)
    work()
    InboxItem.objects.of(user).mark_read(NOON)
    InboxItem.objects.of(user).mark_unread()
    assert work(clock, minutes=10) == {"sent": 1}


def test_the_email_is_dropped_if_the_notification_is_acknowledged(declare, user, clock):
    open_page(user)
    report(user)
    work()
    NotificationManager.acknowledge(Notification.objects.get(), user)
    work(clock, minutes=10)
    assert states()["email"] == "dropped read"
    assert NotificationLog.objects.get(kind="drop").error_message == "the recipient has acknowledged it"


def test_what_another_recipient_has_read_drops_nothing(declare, clock):
    reader, other = UserFactory.create_batch(2)
    open_page(reader, other)
    report(reader, other)
    work()
    InboxItem.objects.of(reader).mark_read(NOON)
    NotificationManager.acknowledge(Notification.objects.get(), reader)
    work(clock, minutes=10)
    emails = dict(Delivery.objects.filter(channel="email").values_list("recipient", "state"))
    assert emails == {reader.pk: "dropped", other.pk: "sent"}


def test_an_item_of_a_channel_outside_of_the_list_can_be_read_too(declare, user, clock):
    declare(PAGER_FIRST, ("app", "pager", "email"))
    report(user)
    work()
    InboxItem.objects.of(user).mark_read(NOON)
    work(clock, minutes=10)
    assert states()["email"] == "dropped read"


@pytest.mark.parametrize(("kind", "is_machine", "state"), [
    ("opened", False, "dropped read"), ("clicked", False, "dropped read"), ("opened", True, "sent"),
])  # fmt: skip
def test_an_email_is_read_when_a_person_opens_it_and_not_when_a_machine_does(
    declare, user, clock, kind, is_machine, state
):
    declare([Prefer("email", wait=TEN_MINUTES), "pager"], ("email", "pager"), track_opens=True, track_clicks=True)
    report(user)
    work()
    delivery = Delivery.objects.get(channel="email")
    TrackingEvent.objects.add(
        "1", delivery=delivery, kind=kind, is_machine=is_machine, source="pixel", happened_at=NOON, recorded_at=NOON
    )
    work(clock, minutes=10)
    assert states()["pager"] == state


def test_an_email_that_has_bounced_counts_as_not_sent(declare, user, clock):
    declare(["email", "pager"], ("email", "pager"))
    report(user)
    work_once()
    delivery = Delivery.objects.get(channel="email")
    TrackingEvent.objects.add("1", delivery=delivery, kind="bounced", source="mail", happened_at=NOON, recorded_at=NOON)
    work(clock, minutes=15)
    assert states() == {"email": "sent", "pager": "sent"}


def test_three_channels_come_one_after_the_other(declare, user, clock):
    declare([Prefer("app", wait=TEN_MINUTES), Prefer("pager", wait=timedelta(hours=1)), "email"])
    open_page(user)
    report(user, channels=["app", "pager", "email"])
    work()
    assert states() == {"app": "sent", "pager": "held preferred", "email": "held preferred"}
    work(clock, minutes=10)
    assert states() == {"app": "sent", "pager": "sent", "email": "held preferred"}
    assert work(clock, minutes=59) == {}
    work(clock, minutes=1)
    assert states() == {"app": "sent", "pager": "sent", "email": "sent"}


def test_reading_drops_all_channels_that_follow(declare, user, clock):
    declare([Prefer("app", wait=TEN_MINUTES), Prefer("pager", wait=timedelta(hours=1)), "email"])
    open_page(user)
    report(user, channels=["app", "pager", "email"])
    work()
    InboxItem.objects.of(user).mark_read(NOON)
    work(clock, hours=2)
    assert states() == {"app": "sent", "pager": "dropped read", "email": "dropped read"}


def test_the_wait_begins_when_the_message_was_sent(declare, user, clock):
    declare(PAGER_FIRST, ("pager", "email"))
    report(user)
    work(clock, minutes=7)
    assert get_due("email") == NOON + timedelta(minutes=17)


def test_a_message_that_was_not_sent_within_the_wait_counts_as_unread(declare, user, clock):
    declare(PAGER_FIRST, ("pager", "email"), retry_delays=(3600,))
    Pager.answer = DOWN
    report(user)
    work()
    work(clock, minutes=10)
    assert states()["email"] == "sent"
    Pager.answer = {}
    Circuit.objects.all().delete()
    work(clock, hours=1)
    assert states() == {"pager": "dropped covered", "email": "sent"}


def test_without_a_wait_the_next_channel_is_used_only_after_a_failure(declare, user, clock):
    declare(["pager", "email"], ("pager", "email"))
    report(user)
    work()
    work()
    assert states() == {"pager": "sent", "email": "dropped covered"}


def test_a_dead_letter_makes_the_next_channel_due_at_once(declare, user):
    declare(PAGER_FIRST, ("pager", "email"))
    Pager.answer = REFUSED
    report(user)
    assert work() == {"dead": 1, "sent": 1}
    assert states() == {"pager": "dead permanent", "email": "sent"}


def test_a_channel_that_was_passed_over_is_used_if_the_others_fail(declare, user):
    declare([Prefer("app", wait=TEN_MINUTES), "pager"], ("app", "pager"))
    Pager.answer = REFUSED
    report(user)
    assert work() == {"dead": 1, "sent": 1}
    assert states() == {"app": "sent", "pager": "dead permanent"}


def test_a_gate_that_drops_the_first_channel_makes_the_next_one_due_at_once(declare, user):
    declare(PAGER_FIRST, ("pager", "email"))
    report(user)
    settings = UserSettingsFactory(user=user, cluster=Cluster.objects.default())
    settings.set_channel("pager", False)
    settings.save()
    assert work() == {"dropped": 1, "sent": 1}
    assert states() == {"pager": "dropped preference", "email": "sent"}


def test_a_user_who_closes_the_page_before_the_worker_comes_gets_the_email_at_once(declare, user, clock):
    open_page(user)
    report(user)
    work(clock, minutes=2)
    assert states() == {"app": "dropped covered", "email": "sent"}


def test_a_circuit_that_opens_later_lets_the_next_channel_begin_at_once(declare, user):
    declare(PAGER_FIRST, ("pager", "email"))
    report(user)
    Circuit.objects.create(key="pager", open_until=NOON + timedelta(hours=1), opened_at=NOON)
    work()
    assert states() == {"pager": "ready", "email": "sent"}


def test_a_pause_that_begins_later_lets_the_next_channel_begin_at_once(declare, user):
    declare(PAGER_FIRST, ("pager", "email"))
    report(user)
    Pause.objects.create(channel="pager", since=NOON)
    work()
    assert states() == {"pager": "ready", "email": "sent"}
    Pause.objects.all().delete()
    work()
    assert states() == {"pager": "dropped covered", "email": "sent"}


def test_a_failure_that_nobody_noticed_is_found_when_the_next_channel_looks_again(declare, user, clock):
    declare(["pager", "email"], ("pager", "email"))
    report(user)
    Delivery.objects.filter(channel="pager").update(state="dead", reason="strikes", settled_at=NOON)
    assert work() == {}
    assert work(clock, minutes=15) == {"sent": 1}


def test_a_message_that_may_have_arrived_counts_as_unread_after_its_wait(declare, user, clock):
    declare(PAGER_FIRST, ("pager", "email"), on_unknown="hold")
    Pager.answer = {"verdict": Verdict.UNKNOWN}
    report(user)
    work()
    assert states() == {"pager": "unknown lost_contact", "email": "held preferred"}
    work(clock, minutes=10)
    assert states()["email"] == "sent"


def test_without_a_wait_the_next_channel_waits_until_a_person_has_decided(declare, user, clock):
    declare(["pager", "email"], ("pager", "email"), on_unknown="hold")
    Pager.answer = {"verdict": Verdict.UNKNOWN}
    report(user)
    work()
    work(clock, hours=5)
    assert states() == {"pager": "unknown lost_contact", "email": "held preferred"}
    Pager.answer = {}
    NotificationManager.resend(Delivery.objects.get(channel="pager"), "it did not arrive", None)
    work()
    assert states() == {"pager": "sent", "email": "dropped covered"}


# With the other rules.


def test_a_resent_delivery_is_sent_whatever_happened_on_other_channels(declare, user):
    declare(PAGER_FIRST, ("pager", "email"))
    Pager.answer = REFUSED
    report(user)
    work()
    Pager.answer = {}
    NotificationManager.resend(Delivery.objects.get(channel="pager"), "the pager works again", None)
    assert work() == {"sent": 1}


def test_cancel_stops_the_channels_that_wait_for_their_turn(declare, user, clock):
    declare(PAGER_FIRST, ("pager", "email"))
    report(user, cancel_key="leak")
    work()
    assert NotificationManager.cancel(None, "leak") == 1
    assert work(clock, minutes=10) == {}
    assert states() == {"pager": "sent", "email": "cancelled cancelled"}


def test_a_notification_that_expires_is_not_sent_on_the_next_channel(declare, user, clock):
    declare(PAGER_FIRST, ("pager", "email"))
    report(user, expires_at=NOON + timedelta(minutes=5))
    work()
    assert work(clock, minutes=10) == {"expired": 1}


def test_at_send_at_the_first_channel_that_can_reach_the_user_then_begins(declare, user, clock):
    report(user, send_at=NOON + timedelta(hours=1))
    assert states() == {"app": "held scheduled", "email": "held preferred"}
    assert work(clock, minutes=59) == {}
    work(clock, minutes=1)
    assert states() == {"app": "dropped covered", "email": "sent"}


def test_after_send_at_the_wait_begins(declare, user, clock):
    declare(PAGER_FIRST, ("pager", "email"))
    report(user, send_at=NOON + timedelta(hours=1))
    work(clock, hours=1)
    assert (states(), get_due("email")) == (
        {"pager": "sent", "email": "held preferred"}, NOON + timedelta(hours=1, minutes=10),
    )  # fmt: skip


def test_the_wait_begins_after_quiet_hours(declare, user, clock):
    declare(PAGER_FIRST, ("pager", "email"))
    UserSettingsFactory(
        user=user, cluster=Cluster.objects.default(), quiet_from=time(11), quiet_until=time(13), time_zone="UTC"
    )
    report(user)
    assert states() == {"pager": "held quiet_hours", "email": "held preferred"}
    assert get_due("email") == NOON + timedelta(hours=1, minutes=10)
    work(clock, hours=1)
    assert states() == {"pager": "sent", "email": "held preferred"}
    work(clock, minutes=10)
    assert states() == {"pager": "sent", "email": "sent"}


def test_the_event_waits_for_no_digest(declare, user):
    declare(PAGER_FIRST, ("pager", "email"))
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), digest="daily")
    report(user)
    assert states() == {"pager": "ready", "email": "held preferred"}


def test_a_duplicate_is_dropped_on_every_channel(declare, user):
    declare(PAGER_FIRST, ("pager", "email"), dedup_window=3600)
    report(user)
    assert dict(report(user).reasons) == {"duplicate": 2}


def test_a_limit_drops_one_channel_and_counts_the_next_one_too(declare, user):
    declare(PAGER_FIRST, ("pager", "email"), limit="1/h", over_limit="drop")
    report(user)
    report(user)
    work()
    assert sorted(Delivery.objects.values_list("channel", "state", "reason")) == [
        ("email", "dropped", "over_limit"), ("email", "held", "preferred"), ("pager", "dropped", "over_limit"),
        ("pager", "sent", ""),
    ]  # fmt: skip


def count_reads(queries):
    """The statements that read or change rows. Inserts are written in chunks; staff templates are read now and then."""
    texts = [query["sql"].strip() for query in queries]
    return sum(text.startswith(("SELECT", "UPDATE", "WITH")) and "stafftemplate" not in text for text in texts)


def test_the_queries_of_a_batch_do_not_depend_on_the_number_of_deliveries(declare):
    declare([Prefer("app", wait=TEN_MINUTES), Prefer("pager", wait=TEN_MINUTES), "email"])

    def count(number):
        users = UserFactory.create_batch(number)
        open_page(*users)
        with CaptureQueriesContext(connection) as sending:
            report(*users, channels=["app", "pager", "email"])
        with CaptureQueriesContext(connection) as delivering:
            Dispatcher(batch_size=100).run_batch()
        return [*map(count_reads, (sending, delivering))]

    count(1)
    assert count(3) == count(15)


def test_an_event_without_prefer_asks_nothing_more(declare, user):
    declare((), ("pager", "email"))
    with CaptureQueriesContext(connection) as queries:
        report(user)
        work()
    texts = [query["sql"] for query in queries]
    words = ("klaxon_presence", "klaxon_acknowledgement", "klaxon_trackingevent", "klaxon_inboxitem")
    assert not [text for text in texts for word in words if word in text]


def test_why_says_what_the_next_channel_waits_for(declare, user):
    declare(PAGER_FIRST, ("pager", "email"))
    report(user)
    work()
    explained = NotificationManager.why(Notification.objects.get(), user).channel("email")
    assert explained.summary == (
        "It waits until 12:10 on Monday 30 November 2026, UTC: Waits for a preferred channel. The channels before it "
        "would have to fail, or the event would have to declare a shorter wait, or no prefer."
    )


def test_explain_says_which_channel_is_first(declare, user):
    declare(PAGER_FIRST, ("pager", "email"))
    explained = NotificationManager.explain(Leaks.WATER, user, None, {})
    assert explained.channel("pager").summary == "It would be sent as soon as a worker runs."
    assert explained.channel("email").summary.startswith(
        "It would be sent at 12:10 on Monday 30 November 2026, UTC: event: the channel pager comes first."
    )
    assert explained.channel("email").steps[-1].gate == "prefer"


def test_explain_says_which_channel_is_passed_over(declare, user):
    explained = NotificationManager.explain(Leaks.WATER, user, None, {})
    assert explained.channel("email").summary == "It would be sent as soon as a worker runs."
    assert "the channel app cannot reach the recipient now" in explained.channel("app").summary


def find_warnings():
    return [message for message in run_checks(None) if message.id == "klaxon.W014"]


def test_a_check_reports_a_site_without_live_streams(declare, settings):
    assert find_warnings() == []
    settings.ROOT_URLCONF = "tests.delivering.test_prefer"
    [warning] = find_warnings()
    assert "The event 'water_leak' prefers the channel 'app' for users who have a page open" in warning.msg
    assert "needs_presence=False" in warning.hint


def test_a_check_reports_a_site_without_urls(declare, settings):
    del settings.ROOT_URLCONF
    assert len(find_warnings()) == 1


def test_a_check_accepts_a_site_without_live_streams_if_nobody_must_be_present(declare, settings):
    settings.ROOT_URLCONF = "tests.delivering.test_prefer"
    declare([Prefer("app", wait=TEN_MINUTES, needs_presence=False), "email"], ("app", "email"))
    assert find_warnings() == []

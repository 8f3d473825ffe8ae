"""``explain()``: what ``send()`` would do, told before; ``tests/properties/test_explain.py`` compares the two."""

import json
from datetime import UTC, datetime, time, timedelta
from enum import Enum

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.core import clock
from notifications.events import NotificationEvent, NotificationPriority
from notifications.exceptions import IdempotencyConflict, InvalidContext, InvalidOption, InvalidRecipient, UnknownEvent
from notifications.explain.remedies import REMEDIES, Subject, describe_remedy
from notifications.explain.steps import PASS_REASONS
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, Fingerprint, Heartbeat, Pause, SharedPreference, UserSettings
from notifications.outcomes import Deliver, Drop, Reason, Rule, RuleKind
from notifications.recipients import Address
from notifications.sending.gates import GATES
from notifications.testing import temporary_events, travelling
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
MIDNIGHT = datetime(2026, 11, 21, 23, tzinfo=UTC)
SEVEN = datetime(2026, 11, 22, 6, tzinfo=UTC)
NIGHT = {"quiet_from": time(22), "quiet_until": time(7), "time_zone": "Europe/Berlin"}
ORDER = {"order_number": "7"}


class Alarms(Enum):
    SMOKE = "smoke"


@pytest.fixture
def user():
    return UserFactory()


@pytest.fixture
def choose(user):
    def choose(**values):
        return UserSettings.objects.create(user=user, cluster=Cluster.objects.default(), **values)

    return choose


@pytest.fixture
def declare():
    with temporary_events() as events:

        def declare(priority=NotificationPriority.MEDIUM, channels=("email",), **more):
            events[Alarms.SMOKE] = NotificationEvent("smoke", priority, channels, **more)
            return Alarms.SMOKE

        yield declare


def explain(recipient, event=ShopEvents.ORDER_SHIPPED, context=ORDER, cluster=None, **options):
    return NotificationManager.explain(event, recipient, cluster, context, **options)


@pytest.fixture
def worker():
    Heartbeat.objects.beat("one", "here", 1, clock.now())


@pytest.mark.usefixtures("worker")
def test_every_gate_is_told_with_its_answer_and_its_words(user):
    channel = explain(user).channel("email")
    assert [step.gate for step in channel.steps] == [gate.__name__ for gate in GATES]
    assert all(step.lets_through and step.rule and not step.change for step in channel.steps)
    assert (channel.answer, channel.summary) == (Deliver(), "It would be sent immediately.")


def test_quiet_hours_are_told_on_the_clock_of_the_user_with_what_would_change_them(user, choose):
    choose(**NIGHT)
    told = explain(user, at=MIDNIGHT).channel("email")
    assert told.arrives_at == SEVEN
    assert told.summary == (
        "It would be sent at 07:00 on Sunday 22 November 2026, Europe/Berlin: quiet hours of this user: 22:00–07:00 "
        "Europe/Berlin. The user would have to choose other quiet hours, or the event would have to declare "
        "ignores_quiet_hours."
    )


def test_the_first_drop_ends_the_questions(user, choose):
    choose(channels={"email": False}, **NIGHT)
    told = explain(user, at=MIDNIGHT)
    assert [step.gate for step in told.channel("email").steps][-1] == "preferences"
    rule = Rule(RuleKind.CHANNEL_OFF, "user", {"channel": "email"})
    assert told.channel("email").answer == Drop(Reason.PREFERENCE, rule)
    assert told.channel("email").arrives_at is None
    assert told.reaches, "on the other channel"


def test_a_rule_of_the_cluster_says_who_could_change_it(user):
    SharedPreference(cluster=Cluster.objects.default(), channels={"email": False}).save()
    assert (
        "The cluster would have to turn it on, or the user for themselves, or" in explain(user).channel("email").summary
    )
    group = Group.objects.create(name="Plumbers")
    user.groups.add(group)
    SharedPreference(cluster=Cluster.objects.default(), group=group, channels={"email": False}).save()
    assert "The role Plumbers would have to" in explain(user).channel("email").summary


@pytest.mark.parametrize("choices", [{"channels": {"email": False}}, {"events": {"order_shipped": False}}])
def test_a_role_is_named_in_full_though_there_is_a_colon_in_its_name(user, choices):
    group = Group.objects.create(name="Ward: night")
    user.groups.add(group)
    SharedPreference(cluster=Cluster.objects.default(), group=group, **choices).save()
    assert "The role Ward: night would have to turn it on, or the user" in explain(user).channel("email").summary


def test_it_writes_nothing_not_even_the_default_cluster(user, declare):
    event = declare(dedup_window=900)
    with CaptureQueriesContext(connection) as queries:
        assert explain(user, event).reaches
        assert explain(Address(email="x@example.com"), event).reaches
    assert [query for query in queries if query["sql"].split()[0] not in ("SELECT", "WITH")] == []
    assert not Cluster.objects.exists()
    assert not Fingerprint.objects.exists()


def test_what_is_explained_for_no_default_cluster_yet_is_what_is_sent(user):
    assert explain(UserFactory(is_active=False)).channel("email").answer.reason == Reason.INACTIVE
    assert explain(user).reaches
    assert NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, ORDER).queued == 2


def test_a_repeat_is_told_and_reserves_nothing_for_itself(user, declare):
    event = declare(dedup_window=900, dedup_keys=("room",))
    with travelling(MIDNIGHT) as travel:
        assert explain(user, event, {"room": "hall"}).reaches
        assert explain(user, event, {"room": "hall"}).reaches, "it did not stand in its own way"
        NotificationManager.send(event, user, None, {"room": "hall"})
        told = explain(user, event, {"room": "hall"})
        assert told.channel("email").answer.reason == Reason.DUPLICATE
        assert "after the event's deduplication window, or with other values of room, or" in str(told)
        assert explain(user, event, {"room": "attic"}).reaches
        assert explain(user, event, {"room": "hall"}, at=travel.time + timedelta(seconds=900)).reaches
        assert Fingerprint.objects.get().folded == 0


def test_a_key_that_was_used_queues_nothing_and_names_the_first(user):
    key = {"idempotency_key": "7", "campaign": "spring", "cancel_key": "order 7", "attachments": [("a.txt", b"a")]}
    assert explain(user, **key).channel("email").steps[0].rule == "the idempotency key was not used before"
    assert explain(user, **key).reaches, "it did not use the key up"
    first = NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, ORDER, **key)
    told = explain(user, correlation_id="another", **key)
    assert not told.reaches
    assert told.channel("app").summary == (
        "It would not be sent: the idempotency key was used before, for notification "
        f"{first.notification_id}; nothing is queued again. The call would have to pass another idempotency key."
    )
    assert NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, ORDER, **key).duplicate
    assert explain(user, **key, cluster=ClusterFactory(members=[user])).reaches


@pytest.mark.parametrize(
    "other", [{"context": {"order_number": "8"}}, {"campaign": "spring"}, {"attachments": [("a.txt", b"a")]}]
)
def test_a_key_that_was_used_with_another_content_is_told_as_a_conflict(user, other):
    first = NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, None, ORDER, idempotency_key="7")
    told = explain(user, idempotency_key="7", **other)
    assert not told.reaches
    assert f"for notification {first.notification_id} with another content; send() would raise IdempotencyConflict" in (
        told.channel("email").summary
    )
    with pytest.raises(IdempotencyConflict):
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, user, **{"context": ORDER, "idempotency_key": "7", **other})


@pytest.mark.parametrize("option", ["idempotency_key", "cancel_key", "campaign", "correlation_id"])
def test_the_tags_are_checked_as_send_checks_them(user, option):
    with pytest.raises(InvalidOption, match=option):
        explain(user, **{option: "x" * 1000})
    with pytest.raises(InvalidOption):
        explain(user, attachments=["no file"])


def test_a_channel_that_the_site_has_not_is_told(user, declare):
    told = explain(user, declare(channels=("email", "sms")), {}).channel("sms")
    assert told.answer.reason == Reason.NOT_CONFIGURED
    assert [step.gate for step in told.steps] == ["channel"]
    assert told.summary == (
        "It would not be sent: the channel sms is not configured. The channel sms would have to be listed in "
        "NOTIFICATIONS['CHANNELS'], with its ENABLED not set to False."
    )


@pytest.mark.parametrize("actor", [None, AnonymousUser(), "anybody"])
def test_a_missing_permission_is_told_and_not_raised(user, declare, actor):
    event = declare(permission="auth.change_group", channels=("email", "sms"))
    told = explain(user, event, {}, actor=UserFactory() if actor == "anybody" else actor)
    assert told.channel("email").answer.reason == Reason.NOT_PERMITTED
    assert told.channel("email").steps[-1].change.startswith("The actor would have to have the permission auth.change")
    assert told.channel("sms").answer.reason == Reason.NOT_CONFIGURED
    assert explain(user, event, {}, actor=UserFactory(is_superuser=True)).reaches


def test_a_full_queue_is_told(user, settings):
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, UserFactory(), None, ORDER)
    settings.NOTIFICATIONS = {"QUEUE_LIMIT": 2}
    told = explain(user)
    assert {channel.answer.reason for channel in told.channels} == {Reason.QUEUE_FULL}
    assert "QUEUE_LIMIT" in told.channel("app").summary
    settings.NOTIFICATIONS = {"QUEUE_LIMIT": 3}
    assert explain(user).channel("app").answer.reason == Reason.QUEUE_FULL, "it takes room for both channels"
    settings.NOTIFICATIONS = {"QUEUE_LIMIT": 4}
    assert explain(user).channel("app").steps[0].rule == "the queue has room"


def test_what_expires_before_its_hour_does_not_arrive(user, choose):
    choose(**NIGHT)
    told = explain(user, at=MIDNIGHT, expires_at=SEVEN - timedelta(hours=1)).channel("email")
    assert told.arrives_at is None
    assert told.steps[-1].gate == "expires_at"
    assert "it expires at 06:00 on Sunday 22 November 2026, Europe/Berlin, before it can be sent" in told.summary
    assert explain(user, at=MIDNIGHT, expires_at=SEVEN + timedelta(seconds=1)).channel("email").arrives_at == SEVEN


def test_a_send_at_is_told_and_the_hours_are_asked_for_it(user, choose):
    choose(**NIGHT)
    noon = datetime(2026, 11, 22, 11, tzinfo=UTC)
    told = explain(user, at=MIDNIGHT, send_at=noon).channel("email")
    assert (told.arrives_at, told.answer.reason) == (noon, Reason.SCHEDULED)
    assert told.steps[0].gate == "send_at"
    assert explain(user, at=noon, send_at=MIDNIGHT).channel("email").steps[0].rule == "send_at has passed"


def test_a_digest_is_told(user, choose):
    choose(digest="daily", digest_hour=18)
    told = explain(user, ShopEvents.NEWSLETTER, {}, at=MIDNIGHT).channel("email")
    assert told.answer.reason == Reason.DIGEST
    assert "The user would have to turn off the digest" in told.summary


def test_what_would_go_out_at_once_says_whether_anybody_would_take_it(user, choose, settings):
    none = ("No worker is running now; the delivery would be sent when one starts.",)
    with travelling(MIDNIGHT):
        assert explain(user).channel("email").notes == none
        assert explain(user, at=SEVEN).channel("email").notes == (), "nobody knows who will be running"
        Heartbeat.objects.beat("one", "here", 1, MIDNIGHT)
        assert explain(user).channel("email").notes == ()
        Heartbeat.objects.all().delete()
        settings.NOTIFICATIONS = {"DELIVERY": "immediate"}
        assert explain(user).channel("email").notes == ()
        settings.NOTIFICATIONS = {}
        choose(**NIGHT)
        assert explain(user).channel("email").notes == (), "it is not due"


@pytest.mark.usefixtures("worker")
def test_a_paused_channel_is_a_note_and_no_refusal(user):
    Pause.objects.pause("email", "the provider is moving", MIDNIGHT)
    told = explain(user)
    [note] = told.channel("email").notes
    assert (
        note
        == "The channel email is paused (the provider is moving): nothing is sent until resume_notifications is run."
    )
    assert told.channel("app").notes == ()
    assert note in str(told)
    assert told.reaches, "later"


@pytest.mark.usefixtures("worker")
def test_what_is_paused_is_not_said_to_go_out_at_once_nor_at_its_hour(user, choose):
    Pause.objects.pause("email", "", MIDNIGHT)
    told = explain(user)
    paused = "It would wait until resume_notifications is run, because the channel email is paused."
    assert (told.channel("email").summary, told.channel("app").summary) == (paused, "It would be sent immediately.")
    Pause.objects.pause("*", "", MIDNIGHT)
    everything = "It would wait until resume_notifications is run, because everything is paused."
    assert explain(user).channel("app").summary == everything
    assert "immediately" not in str(explain(user))
    choose(**NIGHT)
    hour = "It would be sent at 07:00 on Sunday 22 November 2026, Europe/Berlin at the earliest, and not before resume"
    assert explain(user, at=MIDNIGHT).channel("email").summary.startswith(hour)


def test_what_waits_for_a_worker_is_not_said_to_go_out_at_once(user, settings):
    assert explain(user).channel("email").summary == "It would be sent as soon as a worker runs."
    settings.NOTIFICATIONS = {"DELIVERY": "immediate"}
    assert explain(user).channel("email").summary == "It would be sent immediately."


@pytest.mark.usefixtures("worker")
def test_what_would_not_go_out_is_not_said_to_wait_for_a_pause(user, choose):
    choose(channels={"email": False})
    Pause.objects.pause("*", "", MIDNIGHT)
    told = explain(user)
    assert told.channel("email").notes == ()
    assert told.channel("app").notes == ("Everything is paused: nothing is sent until resume_notifications is run.",)


@pytest.mark.usefixtures("worker")
def test_a_channel_that_sends_to_nobody_reaches_nobody(user, declare):
    told = explain(user, declare(channels=("log",)), {})
    assert told.channel("log").summary == "It would be sent immediately."
    assert not told.channel("log").reaches
    assert not told.reaches
    assert not told.as_dict()["reaches"]
    assert "It reaches nobody: deliveries on log are sent to no address" in str(told)
    assert explain(user, declare(channels=("log", "app")), {}).reaches


def test_a_naive_moment_is_of_the_sites_time_zone(user, choose, settings):
    settings.TIME_ZONE = "Europe/Berlin"
    choose(**NIGHT)
    assert explain(user, at=datetime(2026, 11, 22, 0, 0)).channel("email").arrives_at == SEVEN


@pytest.mark.parametrize("recipient", [Address(phone="+4915112345678"), Address(email="x@example.com")])
def test_an_address_is_explained_without_its_letters(recipient):
    told = str(explain(recipient))
    assert recipient.key in told
    assert recipient.by_kind[0][1] not in told
    assert "The channel app sends only to accounts" in told


@pytest.mark.parametrize("recipient", [None, "ann", [], Group(name="x")])
def test_one_recipient_is_explained_and_no_other_thing(recipient):
    with pytest.raises(InvalidRecipient, match="one user or one Address"):
        explain(recipient)


def test_what_send_refuses_for_its_arguments_is_refused_here(user):
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


def test_as_dict_is_json(user, choose):
    choose(channels={"app": False}, **NIGHT)
    told = json.loads(json.dumps(explain(user, at=MIDNIGHT).as_dict()))
    email, app = told["channels"]
    assert (told["reaches"], told["zone"], email["answer"], app["answer"]) == (True, "Europe/Berlin", "hold", "drop")
    assert email["arrives_at"] == SEVEN.isoformat() == email["steps"][-2]["until"]
    assert (app["steps"][-1]["reason"], app["arrives_at"]) == ("preference", None)


def test_it_costs_no_more_for_many_channels(user, declare):
    Cluster.objects.default()
    with CaptureQueriesContext(connection) as for_one:
        explain(user, declare(channels=("email",)), {})
    with CaptureQueriesContext(connection) as for_three:
        explain(user, declare(channels=("email", "app", "log")), {})
    assert len(for_three) == len(for_one) < 12


def test_a_cluster_of_ones_own_is_asked(user):
    assert explain(user, cluster=ClusterFactory()).channel("email").answer.reason == Reason.NOT_MEMBER


class TestTheWords:
    def test_every_gate_has_words_for_letting_through(self):
        assert PASS_REASONS.keys() == {gate.__name__ for gate in GATES}

    def test_every_reason_says_what_would_have_to_change(self):
        assert REMEDIES.keys() == set(Reason)

    @pytest.mark.parametrize("reason", Reason.values)
    @pytest.mark.parametrize("subject", [Subject("smoke", "email", "u:1"), Subject("gone", "fax", "a:1")])
    def test_every_sentence_can_be_said(self, reason, subject):
        said = describe_remedy(reason, subject)
        assert said == "" or said.endswith(".")
        assert "{" not in said
        assert all(sentence[0].isupper() for sentence in said.split(". ") if sentence)

    def test_a_reason_that_nobody_knows_has_none(self):
        subject = Subject("smoke", "email")
        assert describe_remedy("", subject) == describe_remedy("newer", subject) == ""

    def test_where_an_address_would_have_to_stand(self, settings):
        channels = {"sms": {"BACKEND": "example_project.quality.channels.TextStandIn", "OPTIONS": {"file": "x.jsonl"}}}
        settings.NOTIFICATIONS = {"CHANNELS": channels}
        assert "the field email of the account" in describe_remedy("no_address", Subject("smoke", "email"))
        assert "that ADDRESS_FIELDS names for phone" in describe_remedy("no_address", Subject("smoke", "sms"))
        settings.NOTIFICATIONS = {"CHANNELS": channels, "ADDRESS_FIELDS": {"phone": "mobile"}}
        assert "the field mobile of the account" in describe_remedy("no_address", Subject("smoke", "sms"))

    def test_what_holds_a_critical_event_back_is_only_its_ceiling(self, settings, declare):
        settings.NOTIFICATIONS = {"LIMITS": {"user": "5/h"}}
        declare()
        assert describe_remedy("over_limit", Subject("smoke", "email")).endswith("LIMITS['user'] 5/h.")
        declare(priority=NotificationPriority.CRITICAL)
        assert describe_remedy("over_limit", Subject("smoke", "email")).endswith("higher: CRITICAL_LIMIT 1000/h.")


class TestWhatDecides:
    """The rule names what decides the moment, and only what would bring another is proposed."""

    def told(self, user, event, hour, minute=0):
        with travelling(datetime(2026, 11, 20, hour, minute, tzinfo=UTC)):
            channel = explain(user, event, context={}).channel("email")
        return f"{channel.arrives_at:%d %H:%M}", channel.steps[-1].rule, channel.steps[-1].change

    def test_a_batch_that_comes_into_quiet_hours_names_both(self, user, choose, declare):
        choose(quiet_from=time(22), quiet_until=time(7), time_zone="UTC")
        event = declare(batch_window=900)
        assert self.told(user, event, 21, 50) == (
            "21 07:00",
            "event: batch window of 900 seconds, and quiet hours of this user: 22:00–07:00 UTC",
            "The event would have to declare no batch_window, or the call would have to be CRITICAL. Alternatively, "
            "the user would have to choose other quiet hours, or the event would have to declare ignores_quiet_hours.",
        )
        assert self.told(user, event, 21, 40)[1] == "event: batch window of 900 seconds"

    def test_a_batch_that_begins_in_quiet_hours_waits_for_these(self, user, choose, declare):
        choose(quiet_from=time(22), quiet_until=time(7), time_zone="UTC")
        assert self.told(user, declare(batch_window=900), 23)[:2] == (
            "21 07:00",
            "quiet hours of this user: 22:00–07:00 UTC",
        )

    def test_a_digest_that_changes_nothing_is_not_named(self, user, choose, declare):
        windows = {"email": [["08:00", "08:30", ["tue"]]]}
        choose(digest="daily", digest_hour=11, delivery_windows=windows, time_zone="UTC")
        assert self.told(user, declare(), 12) == (
            "24 08:00",
            "delivery windows of this user for email: tue 08:00–08:30 UTC",
            "The user would have to choose another delivery window for email.",
        )

    def test_what_only_together_decides_is_named_together(self, user, choose, declare):
        choose(digest="daily", digest_hour=8, quiet_from=time(22), quiet_until=time(8), time_zone="UTC")
        assert self.told(user, declare(), 23) == (
            "21 08:00",
            "daily digest of this user: 08:00 UTC, and at the same time quiet hours of this user: 22:00–08:00 UTC",
            "The user would have to turn off the digest, the event would have to declare digest=False, or the call "
            "would have to be CRITICAL. In addition, the user would have to choose other quiet hours.",
        )

    def test_of_quiet_hours_and_windows_that_one_which_opens_last(self, user, choose, declare):
        night = {"quiet_from": time(22), "quiet_until": time(7), "time_zone": "UTC"}
        choose(**night, delivery_windows={"email": [["09:00", "12:00"]]})
        with travelling(datetime(2026, 11, 20, 23, tzinfo=UTC)):
            [step] = [one for one in explain(user, declare(), {}).channel("email").steps if not one.lets_through]
        assert step.rule == "delivery windows of this user for email: 09:00–12:00 UTC"
        assert step.change.startswith("The user would have to choose another delivery window for email, or")


def test_what_joins_a_batch_that_waits_already_goes_out_with_it(user, declare):
    event = declare(batch_window=900)
    with travelling(datetime(2026, 11, 20, 12, tzinfo=UTC)) as clock:
        NotificationManager.send(event, [user])
        clock.forward(minutes=10)
        told = explain(user, event, context={}).channel("email")
        assert told.summary.startswith(
            "It would be sent at 12:15 on Friday 20 November 2026, UTC, together with deliveries that are waiting "
            "already: event: batch window of"
        )
        assert (told.answer.until.minute, told.arrives_at.minute) == (25, 15)
        NotificationManager.send(event, [user])
        last = NotificationManager.why(Delivery.objects.last()).channels[0]
        assert last.summary.startswith(
            "It waits until 12:15 on Friday 20 November 2026, UTC, together with deliveries that are waiting already:"
        )
        assert explain(UserFactory(), event, context={}).channel("email").arrives_at.minute == 25


def test_an_unusable_address_of_ones_own_is_told(user, choose):
    choose(addresses={"email": "ann@example,com"})
    [step] = [step for step in explain(user).channel("email").steps if step.gate == "address"]
    assert step.lets_through
    assert step.rule == "the email address in the settings is malformed; that of the account is used"

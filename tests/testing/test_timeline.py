"""The simulator: real sends, the real worker, a clock that jumps."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from math import ceil
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings

from notifications import conf
from notifications.core import clock
from notifications.delivering.workers.periodic_tasks import PERIODIC_TASKS, PeriodicTask
from notifications.digests import Section
from notifications.exceptions import UnknownEvent
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification, NotificationLog, Pause, Suppression
from notifications.models.cluster import cluster_or_default
from notifications.recipients import Address
from notifications.testing import capture_notifications, simulated, temporary_events, travelling
from tests.factories import UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db

BERLIN = ZoneInfo("Europe/Berlin")
NOON = "2026-11-20 12:00"
PARCEL = {"order_number": "1017", "eta": None}


@pytest.fixture
def user():
    return UserFactory(username="ann")


@pytest.fixture(autouse=True)
def never_sleeps(monkeypatch):
    def slept(seconds):
        raise AssertionError("A simulation must not sleep.")

    monkeypatch.setattr("time.sleep", slept)


def times(timeline, channel="email"):
    return [f"{arrival.at:%d %H:%M:%S}" for arrival in timeline.arrived(channel=channel)]


def news(user):
    return NotificationManager.send(ShopEvents.NEWSLETTER, [user])


def test_the_site_does_not_look_after_itself_in_a_simulation(user):
    """No worker of the simulation writes a heartbeat, and the purge would delete what arrived long ago."""
    with (
        override_settings(NOTIFICATIONS={"OPERATORS": "user:ann", "ALARM": {"BAD_SECONDS": 0}}),
        simulated(NOON, "Europe/Berlin") as timeline,
    ):
        for days in (0, 100, 200):
            timeline.send(timeline.now + timedelta(days=days), ShopEvents.NEWSLETTER, [user])
        timeline.run()
        assert {arrival.event for arrival in timeline.arrivals} == {"shop_newsletter"}
        assert Notification.objects.count() == 3
        assert not {task.name for task in PERIODIC_TASKS.values() if task.is_simulated} & {"alarm", "purge", "figures"}


def test_notifications_arrive_immediately_on_every_channel(user, mailoutbox):
    with simulated(NOON, "Europe/Berlin") as timeline:
        timeline.send("2026-11-20 13:30", ShopEvents.ORDER_SHIPPED, [user], context=PARCEL)
        timeline.run()
    first, second = timeline.arrivals
    assert first.at == second.at == datetime(2026, 11, 20, 13, 30, tzinfo=BERLIN)
    assert {first.channel, second.channel} == {"email", "app"}
    assert "1017" in first.title + first.body
    assert "1017" in second.title + second.body
    assert (first.recipient, first.event, first.merged) == (user, "order_shipped", 0)
    assert mailoutbox == []


@pytest.mark.django_db(transaction=True)
def test_it_works_without_a_transaction(user):
    with simulated(NOON) as timeline:
        timeline.at(NOON, lambda: news(user))
        timeline.run()
    assert times(timeline) == ["20 12:00:00"]


def test_held_notifications_arrive_at_their_time(user):
    UserSettingsFactory(
        user=user,
        cluster=cluster_or_default(None),
        quiet_from=time(22),
        quiet_until=time(7),
        time_zone="Europe/Berlin",
    )
    with simulated("2026-03-28 12:00", "Europe/Berlin") as timeline:
        for day in (28, 29):
            timeline.at(f"2026-03-{day} 23:30", lambda: news(user))
        timeline.run()
    # Daylight saving time starts in the first of these nights.
    assert times(timeline) == ["29 07:00:00", "30 07:00:00"]


def test_send_at_is_respected(user):
    with simulated(NOON) as timeline:
        timeline.send(NOON, ShopEvents.NEWSLETTER, [user], send_at=datetime(2027, 1, 1, tzinfo=UTC))
        timeline.run(until="2026-12-31 23:59:59")
        assert timeline.arrivals == []
        timeline.run()
    timeline.assert_arrived("shop_newsletter", to=user, at="2027-01-01", channel="email")


def test_the_clock_moves_to_the_end_of_the_run(user):
    with simulated(NOON, "Europe/Berlin") as timeline:
        timeline.run(until="2026-11-21 12:00")
        assert timeline.now == datetime(2026, 11, 21, 12, tzinfo=BERLIN) == clock.now()
        timeline.at("2026-11-21 12:00", lambda: news(user))
        timeline.run(until="2026-11-21 12:00")
    assert times(timeline) == ["21 12:00:00"]


def test_failures_in_an_outage_are_retried_on_the_schedule(user):
    with simulated(NOON) as timeline:
        timeline.outage("email", NOON, "2026-11-20 12:05")
        timeline.at(NOON, lambda: news(user))
        timeline.run()
    assert times(timeline) == ["20 12:06:00"]
    assert Delivery.objects.get(channel="email").attempts == 3


def test_after_a_long_outage_everything_arrives(user):
    with simulated(NOON) as timeline:
        timeline.outage("email", NOON, "2026-11-20 15:00")
        for _ in range(30):
            timeline.at(NOON, lambda: news(user))
        timeline.run()
    arrived = timeline.arrived(channel="email")
    assert len(arrived) == 30
    assert all(datetime(2026, 11, 20, 15, tzinfo=UTC) <= one.at for one in arrived)
    assert arrived[-1].at < datetime(2026, 11, 20, 15, 30, tzinfo=UTC)


def test_during_an_outage_the_other_provider_is_used(user, settings):
    providers = [{"NAME": "first"}, {"NAME": "second", "RATE": "1/s"}]
    settings.NOTIFICATIONS = {"CHANNELS": {"EMAIL": {"PROVIDERS": providers}}}
    with simulated(NOON) as timeline:
        assert [provider.name for provider in conf.current().channel("email").providers] == ["first", "second"]
        timeline.outage("email", NOON, "2026-11-20 13:00", provider="first")
        for _ in range(3):
            timeline.at(NOON, lambda: news(user))
        timeline.run()
    assert times(timeline) == ["20 12:00:00", "20 12:00:01", "20 12:00:02"]


def test_a_limit_delays_deliveries(user, settings):
    settings.NOTIFICATIONS = {"LIMITS": {"user": "2/h"}}
    with simulated(NOON) as timeline:
        for _ in range(4):
            timeline.at(NOON, lambda: news(user))
        timeline.run()
    assert times(timeline) == ["20 12:00:00", "20 12:00:00", "20 12:30:00", "20 13:00:00"]


def test_a_pause_holds_everything_until_it_is_over(user):
    with simulated(NOON) as timeline:
        timeline.at(NOON, lambda: Pause.objects.pause("email", "", clock.now()))
        timeline.send("2026-11-20 12:01", ShopEvents.ORDER_SHIPPED, [user], context=PARCEL)
        timeline.at("2026-11-20 18:00", lambda: Pause.objects.resume("email"))
        timeline.run()
    assert (times(timeline, "app"), times(timeline)) == (["20 12:01:00"], ["20 18:00:00"])


def test_the_end_of_a_pause_is_noticed_as_fast_as_by_a_worker(user):
    with simulated(NOON) as timeline:
        Pause.objects.pause("email", "", clock.now())
        timeline.at(NOON, lambda: news(user))
        timeline.at("2026-11-20 12:00:00.5", lambda: Pause.objects.resume("email"))
        timeline.run()
    assert times(timeline) == ["20 12:00:01"]


def test_steps_of_days_keep_the_local_time(user):
    calls = Counter()
    with simulated("2026-10-24", "Europe/Berlin") as timeline:
        for step in (timedelta(days=1), timedelta(hours=12)):
            timeline.every(
                step,
                lambda step=step: calls.update([(step, f"{timeline.now:%d %H:%M}")]),
                first="2026-10-24 09:00",
                until="2026-10-26 09:00",
            )
        timeline.run()
    assert [when for step, when in calls if step == timedelta(days=1)] == ["24 09:00", "25 09:00"]
    halves = [when for step, when in calls if step == timedelta(hours=12)]
    assert halves == ["24 09:00", "24 21:00", "25 08:00", "25 20:00", "26 08:00"]


@pytest.fixture
def offers():
    """An event with a batch window of 15 minutes."""
    with temporary_events() as events:
        events[ShopEvents.NEWSLETTER] = replace(events[ShopEvents.NEWSLETTER], batch_window=900)
        yield


def test_a_batch_arrives_at_the_end_of_its_window(user, offers):
    with simulated(NOON) as timeline:
        for when in ("12:00", "12:15", "12:15:01"):
            timeline.at(f"2026-11-20 {when}", lambda: news(user))
        timeline.run()
    found = [(f"{arrival.at:%H:%M:%S}", arrival.merged) for arrival in timeline.arrived(channel="email")]
    assert found == [("12:15:00", 2), ("12:30:01", 0)]


def test_a_digest_arrives_at_the_users_hour(user):
    wish = {"digest": "daily", "digest_hour": 18, "time_zone": "Europe/Berlin"}
    UserSettingsFactory(user=user, cluster=cluster_or_default(None), **wish)
    with simulated("2026-10-24 12:00", "Europe/Berlin") as timeline:
        timeline.every(timedelta(hours=6), lambda: news(user), first="2026-10-24 12:00", until="2026-10-26")
        timeline.run()
    found = [(f"{arrival.at:%d %H:%M}", arrival.merged) for arrival in timeline.arrived("daily_digest")]
    # Daylight saving time ends in this night, so six hours after midnight it is five o'clock.
    assert found == [("24 18:00", 2), ("25 18:00", 4), ("26 18:00", 1)]
    assert len(timeline.arrivals) == 3


def sections(cluster, users, digest_kind, since, until):
    return {user.pk: [Section("Points", [f"{since:%d %H:%M}"])] for user in users}


def test_digests_with_only_sections_arrive_every_day(user, settings):
    settings.NOTIFICATIONS = {"DIGEST_SECTIONS": f"{__name__}.sections"}
    wish = {"digest": "daily", "digest_hour": 18, "time_zone": "Asia/Kathmandu"}
    UserSettingsFactory(user=user, cluster=cluster_or_default(None), **wish)
    with simulated(NOON) as timeline:
        timeline.run(until="2026-11-22 12:15")
        assert times(timeline) == ["20 12:15:00", "21 12:15:00", "22 12:15:00"]
        timeline.run()
        timeline.send("2026-11-22 18:00", ShopEvents.ORDER_SHIPPED, [user], context=PARCEL)
        timeline.run()
    # Without an end, the run ends when nothing else is left to do.
    assert times(timeline) == ["20 12:15:00", "21 12:15:00", "22 12:15:00", "23 12:15:00"]
    assert [one.merged for one in timeline.arrived(channel="email")] == [0, 0, 0, 1]


def test_an_error_of_a_periodic_task_is_raised(user, monkeypatch):
    monkeypatch.setitem(PERIODIC_TASKS, "broken", PeriodicTask("broken", 60, lambda now, should_stop: 1 / 0))
    with simulated(NOON) as timeline, pytest.raises(ZeroDivisionError):
        timeline.run()


def test_calls_at_the_same_time_keep_their_order(user):
    seen = []
    with simulated(NOON) as timeline:
        timeline.at("2026-11-20 13:00", lambda: seen.append(2))
        timeline.at("2026-11-20 12:30", lambda: timeline.at(timeline.now, lambda: seen.append(1)))
        timeline.at("2026-11-20 13:00", lambda: seen.append(3))
        timeline.run()
    assert seen == [1, 2, 3]


def test_a_skipped_local_time_affects_only_that_day(user):
    seen = []
    with simulated("2026-03-28", "Europe/Berlin") as timeline:
        call = {"first": "2026-03-28 02:30", "until": "2026-03-31"}
        timeline.every(timedelta(days=1), lambda: seen.append(f"{timeline.now:%d %H:%M}"), **call)
        timeline.run()
    assert seen == ["28 02:30", "29 03:00", "30 02:30"]


@pytest.mark.parametrize("step", [timedelta(), timedelta(days=-1)])
def test_steps_must_be_positive(user, step):
    with simulated(NOON) as timeline, pytest.raises(ValueError, match="must be more than 0"):
        timeline.every(step, lambda: None, first=NOON, until="2026-11-21")


def test_a_time_in_the_past_is_an_error(user):
    with simulated(NOON) as timeline, pytest.raises(ValueError, match="is in the past"):
        timeline.at("2026-11-20 11:59:59", lambda: None)


AWAY = {"since": NOON, "until": "2026-11-20 13:00"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"channel": "emial", **AWAY}, "no channel 'emial'. Known channels: .*email"),
        ({"channel": "app", **AWAY}, "because Klaxon stores it"),
        ({"channel": "email", "provider": "secnod", **AWAY}, "no provider 'secnod'. Known providers: email"),
        ({"channel": "email", "since": NOON, "until": "2026-11-20 11:00"}, "cannot end at 2026-11-20 11:00"),
        ({"channel": "email", "since": NOON, "until": NOON}, "cannot end"),
    ],
)
def test_an_invalid_outage_is_an_error(given, says):
    with simulated(NOON) as timeline, pytest.raises(ValueError, match=says):
        timeline.outage(**given)


@pytest.mark.parametrize("start", [None, date(2026, 11, 20), 20261120])
def test_an_invalid_start_is_an_error(start):
    with pytest.raises(TypeError, match="is not a time"), simulated(start):
        pass
    assert clock._override is None


def test_an_unregistered_event_is_an_error(user):
    with simulated(NOON) as timeline:
        for ask in (timeline.arrived, lambda name: timeline.assert_arrived(name, to=user, at=NOON)):
            with pytest.raises(UnknownEvent, match="odrer_shipped"):
                ask("odrer_shipped")


def test_an_unknown_channel_is_an_error(user):
    with simulated(NOON) as timeline:
        for ask in (timeline.arrived, partial(timeline.assert_arrived, ShopEvents.NEWSLETTER, to=user, at=NOON)):
            with pytest.raises(ValueError, match=r"There is no channel 'emial'\. Known channels: app, email, log\."):
                ask(channel="emial")


@pytest.mark.parametrize("moment", ["12:00:00.25", "12:00:00", "12:00:00.9"])
def test_an_arrival_is_asserted_to_the_second(user, moment):
    with simulated(NOON) as timeline:
        timeline.at("2026-11-20 12:00:00.25", lambda: news(user))
        timeline.run()
    timeline.assert_arrived("shop_newsletter", to=user, at=f"2026-11-20 {moment}")
    with pytest.raises(AssertionError):
        timeline.assert_arrived("shop_newsletter", to=user, at="2026-11-20 12:00:01.25")


def test_run_raises_the_exception_of_a_call(user):
    with simulated(NOON) as timeline:
        timeline.at(NOON, lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            timeline.run()


def test_arrivals_are_found_by_event_recipient_and_channel(user):
    contact = Address(email="contact@example.com")
    with simulated(NOON) as timeline:
        timeline.send(NOON, ShopEvents.ORDER_SHIPPED, [user, contact], context=PARCEL)
        timeline.at(NOON, lambda: news(user))
        timeline.run()
    assert len(timeline.arrived(to=user)) == 3
    assert len(timeline.arrived(ShopEvents.ORDER_SHIPPED)) == 3
    assert [arrival.recipient for arrival in timeline.arrived(to=contact)] == ["contact@example.com"]
    assert timeline.arrived("shop_newsletter", to=contact) == []


def test_only_notifications_of_the_simulation_count(user):
    news(user)
    with simulated(NOON) as timeline:
        timeline.run()
    assert timeline.arrivals == []


def test_deleted_earlier_notifications_do_not_count(user):
    news(user)
    with capture_notifications() as captured:
        news(user)
        captured.deliver()
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, [Address(email="nobody")], context=PARCEL)
    Notification.objects.all().delete()
    assert NotificationLog.objects.filter(success=True).exists()
    with simulated(NOON) as timeline:
        timeline.run()
        assert (timeline.arrivals, str(timeline), list(timeline.captured.dropped)) == ([], "Nothing happened.", [])
        timeline.at(NOON, lambda: news(user))
        timeline.run()
    assert times(timeline) == ["20 12:00:00"]


def test_a_bare_address_has_the_same_name_for_every_outcome():
    contact = Address(email="contact@example.com")
    with simulated(NOON) as timeline:
        timeline.outage("email", NOON, "2026-11-20 12:00:30")
        timeline.send(NOON, ShopEvents.ORDER_SHIPPED, [contact], context=PARCEL)
        timeline.run()
    assert [line.split()[2:6] for line in str(timeline).splitlines()] == [
        ["contact@example.com", "app", "order_shipped", "dropped:"],
        ["contact@example.com", "email", "order_shipped", "failed:"],
        ["contact@example.com", "email", "order_shipped", "arrived:"],
    ]


def test_an_address_without_delivery_has_its_name_in_the_log():
    Suppression.objects.suppress([("email", "gone@example.com")], Suppression.Cause.HARD_BOUNCE, clock.now())
    with simulated(NOON) as timeline:
        timeline.send(NOON, ShopEvents.NEWSLETTER, [Address(email="gone@example.com")])
        timeline.run()
    [line] = str(timeline).splitlines()
    assert line.startswith("2026-11-20 12:00:00  g***@example.com  email  shop_newsletter  dropped: suppressed")


def test_it_prints_a_table_of_all_events(user):
    UserSettingsFactory(user=user, cluster=cluster_or_default(None), events={"shop_newsletter": False})
    with simulated(NOON, "Europe/Berlin") as timeline:
        assert str(timeline) == "Nothing happened."
        timeline.outage("email", NOON, "2026-11-20 12:00:30")
        timeline.send(NOON, ShopEvents.ORDER_SHIPPED, [user], context=PARCEL, channels=["email"])
        timeline.at("2026-11-20 12:00:10", lambda: news(user))
        timeline.run()
    assert str(timeline).splitlines() == [
        "2026-11-20 12:00:00  ann  email  order_shipped    failed: temporary Unreachable in the simulation.",
        "2026-11-20 12:00:10  ann  email  shop_newsletter  dropped: preference user: "
        "event shop_newsletter by email is off",
        f"2026-11-20 12:01:00  ann  email  order_shipped    arrived: {timeline.arrivals[0].title}",
    ]


def test_a_failed_assertion_lists_all_events(user):
    with simulated(NOON) as timeline:
        timeline.at(NOON, lambda: news(user))
        timeline.run()
    timeline.assert_arrived("shop_newsletter", to=user, at=NOON)
    with pytest.raises(AssertionError, match="12:00:00  ann  email  shop_newsletter  arrived"):
        timeline.assert_arrived("shop_newsletter", to=user, at="2026-11-20 12:00:01")


def test_settings_are_restored(settings):
    before = settings.NOTIFICATIONS
    with simulated(NOON):
        assert settings.NOTIFICATIONS is not before
    assert settings.NOTIFICATIONS is before


def test_there_is_one_simulation_at_a_time(user, settings, mailoutbox):
    before = settings.NOTIFICATIONS
    with simulated(NOON) as timeline:
        inside = settings.NOTIFICATIONS
        with pytest.raises(RuntimeError, match="A simulation is already running"), simulated("2027-01-01"):
            pass
        assert (settings.NOTIFICATIONS, clock.now()) == (inside, datetime(2026, 11, 20, 12, tzinfo=UTC))
        timeline.at(NOON, lambda: news(user))
        timeline.run()
    assert (times(timeline), mailoutbox) == (["20 12:00:00"], [])
    assert settings.NOTIFICATIONS is before
    with simulated("2027-01-01"):
        assert clock.now() == datetime(2027, 1, 1, tzinfo=UTC)
    assert clock._override is None


def test_settings_cannot_be_overridden_in_a_simulation(user, settings, mailoutbox):
    with simulated(NOON) as timeline:
        inside = settings.NOTIFICATIONS
        with pytest.raises(RuntimeError, match="before the simulation"), override_settings(NOTIFICATIONS={}):
            pass
        assert settings.NOTIFICATIONS is inside
        with override_settings(LANGUAGE_CODE="de"):
            timeline.at(NOON, lambda: news(user))
            timeline.run()
    assert (times(timeline), mailoutbox) == (["20 12:00:00"], [])
    with override_settings(NOTIFICATIONS={"RETRY_JITTER": 0}):
        assert settings.NOTIFICATIONS == {"RETRY_JITTER": 0}


def test_earlier_deliveries_are_not_sent_either(user, mailoutbox):
    with travelling(datetime(2026, 11, 20, 11, tzinfo=UTC)):
        due = datetime(2026, 11, 20, 13, tzinfo=UTC)
        NotificationManager.send(ShopEvents.NEWSLETTER, [user], send_at=due)
    with simulated(NOON) as timeline:
        timeline.run()
        assert timeline.now == due
    assert (timeline.arrivals, mailoutbox) == ([], [])
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}


@pytest.mark.one_database
def test_a_year_of_events(user):
    quiet = {"quiet_from": time(22), "quiet_until": time(7), "time_zone": "Europe/Berlin"}
    UserSettingsFactory(user=user, cluster=cluster_or_default(None), **quiet)
    with simulated("2026-01-01", "Europe/Berlin") as timeline:
        timeline.every(timedelta(hours=18), lambda: news(user), first="2026-01-01", until="2027-01-01")
        timeline.run()
    hours = Counter(arrival.at.hour for arrival in timeline.arrived(channel="email"))
    assert sum(hours.values()) == ceil(365 * 24 / 18)
    assert not set(hours) & {22, 23, 0, 1, 2, 3, 4, 5, 6}

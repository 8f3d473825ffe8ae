"""The mute gate: muted topics, events and actors, until the mute ends."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connection, transaction

from notifications.core import clock
from notifications.core.rules import describe_rule
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Cluster, Mute, NotificationLog
from notifications.outcomes import Deliver, Drop, Reason
from notifications.sending import gates
from notifications.sending.gates import Facts, Person
from notifications.testing import capture_notifications
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def answer(*mutes, priority=NotificationPriority.HIGH, mandatory=False, now=NOW, wanted_at=None, **about):
    event = NotificationEvent("Door_Opened", priority, ["email"], mandatory=mandatory)
    person = Person("u:1", UserFactory.build(), mutes=mutes)
    return gates.mutes(Facts(event, "email", "email", person, now=now, wanted_at=wanted_at or now, **about))


@pytest.mark.parametrize(
    ("kind", "value", "about"),
    [
        ("event", "door_opened", {}),
        ("event", " DOOR_OPENED", {}),
        ("topic", "gate 7", {"topic": "Gate 7"}),
        ("sender", "42", {"actor_id": 42}),
    ],
)
def test_muted_notifications_are_dropped_with_the_mute_as_rule(kind, value, about):
    drop = answer(Mute(kind=kind, value=value), **about)
    assert (drop.reason, describe_rule(drop.rule)) == (Reason.MUTED, f"user: muted {kind} {value} for ever")
    assert answer(Mute(kind=kind, value=value), priority=NotificationPriority.CRITICAL, **about) == Deliver()
    assert answer(Mute(kind=kind, value=value), mandatory=True, **about) == Deliver()


@pytest.mark.parametrize(
    ("kind", "value", "about"),
    [
        ("event", "door", {}),
        ("topic", "door_opened", {"topic": "gate"}),
        ("topic", "", {"topic": ""}),
        ("sender", "42", {"actor_id": 4}),
        ("sender", "None", {"actor_id": None}),
        ("event", "42", {"actor_id": 42, "topic": "42"}),
    ],
)
def test_other_notifications_are_not_dropped(kind, value, about):
    assert answer(Mute(kind=kind, value=value), **about) == Deliver()


def test_a_mute_ends_on_the_minute_it_was_to_end():
    until = Mute(kind="event", value="door_opened", until=NOW)
    rule = answer(until, now=NOW - MINUTE).rule
    assert describe_rule(rule) == "user: muted event door_opened until 2026-03-01 12:00 UTC"
    assert answer(until, now=NOW) == Deliver()
    forever = Mute(kind="event", value="door_opened")
    assert isinstance(answer(until, forever), Drop), "one that has ended does not hide another"


def test_a_mute_applies_as_of_the_time_of_sending():
    until = Mute(kind="event", value="door_opened", until=NOW)
    assert answer(until, now=NOW - MINUTE, wanted_at=NOW) == Deliver()
    assert isinstance(answer(until, now=NOW - 2 * MINUTE, wanted_at=NOW - MINUTE), Drop)


@pytest.mark.django_db
class TestSent:
    @pytest.fixture
    def user(self):
        return UserFactory()

    def send(self, user, **options):
        return NotificationManager.send(ShopEvents.NEWSLETTER, user, None, **options)

    def mute(self, user, kind, value, **fields):
        return Mute.objects.create(user=user, cluster=Cluster.objects.default(), kind=kind, value=value, **fields)

    def test_a_topic_an_event_and_a_sender_are_muted_for_this_user_alone(self, user):
        boss, other = UserFactory(), UserFactory()
        self.mute(user, "topic", "Sale")
        self.mute(user, "sender", boss.pk)
        assert self.send([user, other], topic="sale").reasons == {"muted": 1}
        assert self.send([user, other], actor=boss).reasons == {"muted": 1}
        assert self.send([user, other], topic="other", actor=other).queued == 2
        self.mute(user, "event", "shop_newsletter")
        assert self.send([user, other]).queued == 1
        assert NotificationLog.objects.latest("pk").error_message == "user: muted event shop_newsletter for ever"

    def test_a_mute_of_another_cluster_does_not_count(self, user):
        Mute.objects.create(user=user, cluster=ClusterFactory(), kind="event", value="shop_newsletter")
        assert self.send(user).queued == 1

    def test_the_worker_rechecks_mutes_at_its_own_time(self, user):
        with capture_notifications() as captured:
            self.send(user, topic="sale")
        self.mute(user, "topic", "sale", until=clock.now() + MINUTE)
        assert captured.deliver() == {"dropped": 1}
        assert NotificationLog.objects.get().reason == Reason.MUTED

    def test_a_mute_ends_automatically(self, user):
        self.mute(user, "topic", "sale", until=clock.now() + MINUTE)
        assert self.send(user, topic="sale").queued == 0
        later = clock.now() + 2 * MINUTE
        with clock.override(lambda: later):
            assert self.send(user, topic="sale").queued == 1

    @pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu"])
    def test_a_mute_ends_on_time_in_any_time_zone_of_the_database(self, user, zone, monkeypatch):
        if connection.features.supports_timezones:
            pytest.skip("PostgreSQL knows the zone of each time that it keeps.")
        monkeypatch.setattr(connection, "timezone", ZoneInfo(zone))
        self.mute(user, "topic", "sale", until=clock.now() + MINUTE)
        assert self.send(user, topic="sale").queued == 0
        Mute.objects.update(until=clock.now() - MINUTE)
        assert self.send(user, topic="sale").queued == 1

    def test_a_mute_is_stored_once_for_all_spellings(self, user):
        self.mute(user, "topic", "sale")
        with pytest.raises(IntegrityError), transaction.atomic():
            self.mute(user, "topic", "SALE ")

"""Whatever waits for whatever: it arrives when ``explain()`` said before, and ``why()`` says while it waits."""

from datetime import UTC, datetime, time, timedelta
from random import Random

import pytest
from django.db import transaction

from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, UserSettings
from notifications.outcomes import DeliveryState
from notifications.testing import simulated, temporary_events
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
SITUATIONS = 60
START = datetime(2026, 10, 23, tzinfo=UTC)
WINDOWS = {"email": [["10:00", "12:00"]]}, {"*": [["14:00", "18:00", ["mon", "fri"]], ["20:00", "23:00"]]}, {}, {}
NIGHTS = (time(22), time(7)), (time(12, 30), time(13)), (None, None)


class Situation:
    """A reader with hours, and some letters to them; the same for the same number."""

    def __init__(self, number):
        self.dice = Random(number)
        self.user = UserFactory()
        self.hours().save()
        self.told, self.last = {}, {}

    def hours(self):
        any_of = self.dice.choice
        quiet_from, quiet_until = any_of(NIGHTS)
        return UserSettings(
            user=self.user,
            cluster=Cluster.objects.default(),
            digest=any_of(["none", "none", "daily", "weekly"]),
            digest_hour=self.dice.randrange(24),
            digest_day=self.dice.randrange(7),
            time_zone=any_of(["Europe/Berlin", "Asia/Kathmandu", "UTC"]),
            quiet_from=quiet_from,
            quiet_until=quiet_until,
            delivery_windows=any_of(WINDOWS),
        )

    def events(self, known):
        for event in (ShopEvents.NEWSLETTER, ShopEvents.STORE_ON_FIRE):
            known[event] = NotificationEvent(
                event.value,
                NotificationPriority.LOW,
                ["email"],
                context={"place": str | None},
                **self.dice.choice([{}, {"batch_window": 900}, {"batch_window": "default", "batch_scheduled": True}]),
                ignores_quiet_hours=self.dice.random() < 0.3,
            )

    def plan(self, timeline):
        moment = START
        for _ in range(6):
            moment += timedelta(minutes=self.dice.choice([1, 7, 40, 300, 2000]))
            later = self.dice.choice([None, None, None, 10, 600])
            timeline.at(moment, lambda later=later: self.send(timeline, later))
        timeline.at(moment, self.ask_again)
        return moment + timedelta(days=20)

    def send(self, timeline, later):
        options = {"send_at": timeline.now + timedelta(minutes=later)} if later else {}
        event = self.dice.choice([ShopEvents.NEWSLETTER, ShopEvents.NEWSLETTER, ShopEvents.STORE_ON_FIRE])
        asked = event, self.user, None, {"place": "hall"}
        told = NotificationManager.explain(*asked, **options).channel("email")
        result = NotificationManager.send(*asked, **options)
        row = Delivery.objects.get(notification=result.notification_id)
        # What is sent later may still come before it, and take along what is planned for later.
        if not later:
            self.told[row.pk] = told.arrives_at

    def ask_again(self):
        for row in Delivery.objects.filter(notification__digest_kind="", state=DeliveryState.HELD):
            self.last[row.pk] = NotificationManager.why(row).channels[0].arrives_at

    def arrived(self, pk):
        row = Delivery.objects.select_related("merged_into").get(pk=pk)
        return (row.merged_into or row).settled_at.replace(microsecond=0)


def happens(number):
    with transaction.atomic(), temporary_events() as known:
        situation = Situation(number)
        situation.events(known)
        with simulated(START, "UTC") as timeline:
            timeline.run(situation.plan(timeline))
        wrong = [
            (word, pk, moment, situation.arrived(pk))
            for word, told in (("explain", situation.told), ("why", situation.last))
            for pk, moment in told.items()
            if moment.replace(microsecond=0) != situation.arrived(pk)
        ]
        assert not wrong, f"situation {number}: {wrong}\n{timeline}"
        transaction.set_rollback(True)
    return len(situation.told), len(situation.last)


@pytest.mark.slow
def test_it_arrives_when_it_was_said_to():
    asked = [happens(number) for number in range(SITUATIONS)]
    assert sum(told for told, _ in asked) > SITUATIONS
    assert sum(last for _, last in asked) > SITUATIONS

"""The numbers of the coach's design document, just inside and just outside."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from example_project.coach.notification_events import CoachEvents
from example_project.coach.settings import NOTIFICATIONS
from notifications import conf
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery
from notifications.recipients import Members
from notifications.testing import simulated
from tests.example_site import site_settings

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
FAULT_EVENTS = [
    CoachEvents.COACH_FAULT_CRITICAL,
    CoachEvents.COACH_FAULT_WARNING,
    CoachEvents.COACH_FAULT_CLEARED,
]
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
FAULT = {"part": "blower", "problem": "too hot", "instance": None, "fmi": 0, "lamps": [], "count": 1, "at": NOON}


@pytest.fixture
def coach(settings, tmp_path):
    settings.NOTIFICATIONS, _files = site_settings(tmp_path, NOTIFICATIONS)
    assert list(conf.problems()) == []
    return Cluster.objects.create(name="Rosinante", slug="rosinante")


def crew(coach, number):
    names = [f"traveller-{one}" for one in range(number)]
    users = User.objects.bulk_create(User(username=name, email=f"{name}@example.com") for name in names)
    coach.members.add(*users)


def fault(coach, spn, event=CoachEvents.COACH_FAULT_WARNING):
    return NotificationManager.send(event, Members(coach), coach, {"device": "main furnace", "spn": spn, **FAULT})


@pytest.mark.parametrize("event", FAULT_EVENTS)
def test_the_same_kind_of_fault_is_told_once_in_fifteen_minutes(coach, event):
    crew(coach, 1)
    with simulated(NOON, "UTC") as timeline:
        for after in (0 * MINUTE, 15 * MINUTE - SECOND, 15 * MINUTE):
            timeline.at(NOON + after, lambda: fault(coach, 1, event))
        timeline.at(NOON + MINUTE, lambda: fault(coach, 2, event))
        timeline.run()
    assert [arrival.at - NOON for arrival in timeline.arrived(channel="app")] == [0 * MINUTE, MINUTE, 15 * MINUTE]


def test_a_hundred_go_at_once_and_then_ten_a_minute(coach):
    crew(coach, 1)
    with simulated(NOON, "UTC") as timeline:
        for spn in range(103):
            timeline.at(NOON, lambda spn=spn: fault(coach, spn))
        timeline.run()
    for channel in ("app", "email"):
        times = [arrival.at - NOON for arrival in timeline.arrived(channel=channel)]
        assert times == [0 * SECOND] * 100 + [6 * SECOND, 12 * SECOND, 18 * SECOND]


def test_ten_thousand_deliveries_wait_and_then_only_what_is_more_urgent_gets_in(coach):
    crew(coach, 2_500)
    cleared = [fault(coach, spn, CoachEvents.COACH_FAULT_CLEARED) for spn in range(4)]
    assert [result.queued for result in cleared] == [2_500] * 4
    refused = fault(coach, 4, CoachEvents.COACH_FAULT_CLEARED)
    assert (bool(refused), dict(refused.reasons)) == (False, {"queue_full": 1})
    assert waiting() == 10_000

    assert fault(coach, 5).queued == 5_000
    shed = Delivery.objects.filter(state="dropped", reason="shed").values_list("notification", flat=True)
    assert {*shed} == {result.notification_id for result in cleared[2:]}
    assert waiting() == 10_000

    assert fault(coach, 6, CoachEvents.COACH_FAULT_CRITICAL).queued == 5_000
    assert waiting() == 15_000


def waiting():
    return Delivery.objects.filter(state__in=["held", "ready", "retry"]).count()

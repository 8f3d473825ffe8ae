"""The score: base plus urgency, limited to the band of the priority."""

from datetime import date
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, Notification
from notifications.sending.request import calculate_score
from notifications.testing import temporary_events
from tests.factories import UserFactory

CRITICAL, HIGH, MEDIUM, LOW = NotificationPriority


class Door(Enum):
    OPENED = "test_event"


def event(priority=MEDIUM, **options):
    return NotificationEvent("test_event", priority, ["email"], **options)


@pytest.fixture
def send_and_score(db):
    """Return a function that registers an event, sends it once and returns the score of its delivery."""
    with temporary_events() as events:

        def send_and_score(context=None, level=None, **options):
            events[Door.OPENED] = event(**options)
            assert NotificationManager.send(Door.OPENED, UserFactory(), None, context, level=level).queued == 1
            return Delivery.objects.latest("pk").score

        yield send_and_score


@pytest.mark.parametrize(("priority", "middle"), [(CRITICAL, 95), (HIGH, 79), (MEDIUM, 49), (LOW, 14)])
def test_the_default_score_is_the_middle_of_the_band(send_and_score, priority, middle):
    assert send_and_score(priority=priority) == middle


def test_the_event_declares_the_base_score(send_and_score):
    assert send_and_score(score=31) == 31


def test_urgency_is_added_to_the_base(send_and_score):
    by_floor = {"urgency": lambda context: context["floor"]}
    assert send_and_score({"floor": 7}, **by_floor) == 56
    assert send_and_score({"floor": -7}, score=60, **by_floor) == 53


@pytest.mark.parametrize(("urgency", "score"), [(1000, 69), (-1000, 30), (10**400, 69)])
def test_the_score_stays_in_the_band_for_any_urgency(send_and_score, urgency, score):
    assert send_and_score(urgency=lambda context: urgency) == score


def test_the_band_of_a_requested_priority_applies(send_and_score):
    options = {"score": 31, "urgency": lambda context: 3}
    assert send_and_score(level="warning", **options) == 82
    assert send_and_score(level="info", **options) == 34
    assert send_and_score(level="debug", priority=CRITICAL, urgency=lambda context: -9) == 90, "never lowered"


def test_urgency_gets_the_context_as_templates_do_and_cannot_change_what_is_stored(send_and_score):
    seen = []

    def urgency(context):
        seen.append(dict(context))
        context.clear()
        return 0

    send_and_score({"day": date(2026, 11, 20), "tags": ("a",)}, urgency=urgency)
    assert seen == [{"day": date(2026, 11, 20), "tags": ["a"]}], "and it is asked once"
    assert Notification.objects.get().values == seen[0]


def test_the_urgency_function_is_called_once_for_all_recipients(db):
    calls = []
    with temporary_events() as events:
        events[Door.OPENED] = event(urgency=lambda context: calls.append(1) or 5)
        NotificationManager.send(Door.OPENED, UserFactory.create_batch(3), Cluster.objects.default())
    assert calls == [1]
    assert set(Delivery.objects.values_list("score", flat=True)) == {54}


def test_a_failing_urgency_function_does_not_prevent_the_notification(send_and_score, caplog):
    assert send_and_score({}, score=33, urgency=lambda context: context["floor"]) == 33
    [record] = caplog.records
    assert "'test_event'" in record.getMessage()
    assert record.exc_info
    assert record.name == "notifications.score"


@pytest.mark.parametrize("wrong", [None, "high", 3.0, True, float("nan"), [5]])
def test_an_urgency_that_is_not_an_int_is_logged_and_ignored(send_and_score, caplog, wrong):
    assert send_and_score(score=33, urgency=lambda context: wrong) == 33
    [record] = caplog.records
    assert "'test_event'" in record.getMessage()
    assert repr(wrong) in record.getMessage()


def test_a_critical_event_is_sent_without_the_value_that_its_urgency_needs(db):
    with temporary_events() as events:
        events[Door.OPENED] = event(CRITICAL, context={"floor": int}, urgency=lambda context: context["floor"])
        assert NotificationManager.send(Door.OPENED, UserFactory(), None, {"flor": 2}).queued == 1
    assert Delivery.objects.get().score == 95


@given(
    st.sampled_from(NotificationPriority),
    st.sampled_from(NotificationPriority),
    st.one_of(st.integers(), st.none(), st.floats(), st.text()),
    st.data(),
)
def test_the_score_lies_in_the_band_for_all_declarations_and_calls(declared, wanted, urgency, data):
    base = data.draw(st.none() | st.integers(*declared.band))
    low, high = wanted.band
    assert low <= calculate_score(event(declared, score=base, urgency=lambda context: urgency), wanted, {}) <= high

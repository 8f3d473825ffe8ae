"""The figures of a period."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from notifications import escalation
from notifications.escalation.figures import find_quantile, measure_escalations
from notifications.events import NOTIFICATION_EVENTS, Escalation, Step
from tests.escalation.conftest import START
from tests.escalation.events import Alarms, make_event

pytestmark = pytest.mark.django_db


def test_figures_count_and_measure(story, django_assert_num_queries):
    chain = Escalation([Step(timedelta(minutes=90), "user:deputy")], acknowledged_for=timedelta(hours=1))
    NOTIFICATION_EVENTS[Alarms.PUMP] = make_event(escalation=chain)
    ward = User.objects.get(username="ward")
    sent = [story.send() for _ in range(4)]
    sent.append(story.send(send_at=START + timedelta(minutes=8)))
    for notification in (sent[0], sent[1], sent[4]):
        story.now += timedelta(minutes=4)
        escalation.acknowledge(notification, ward)
    escalation.resolve(sent[1].escalation_run, ward)
    # The first one goes on to its end, and is acknowledged again: the first time counts.
    story.wait(minutes=70)
    escalation.acknowledge(sent[0], ward)
    with django_assert_num_queries(2):
        found = measure_escalations("default", START, START + timedelta(hours=1))
    assert (found.count, found.acknowledged, found.resolved, found.running) == (5, 3, 1, 3)
    # 4 and 8 minutes, and 4 after the time at which it was to be sent.
    assert (found.median, found.p90) == (timedelta(minutes=4), timedelta(minutes=8))
    story.wait(hours=4)
    found = measure_escalations("default", START, START + timedelta(hours=1))
    assert (found.exhausted, found.running) == (3, 0)
    nothing = measure_escalations("default", START - timedelta(hours=1), START)
    assert (nothing.count, nothing.median) == (0, None)


def test_quantiles_are_values_that_occur():
    minutes = [timedelta(minutes=number) for number in range(1, 11)]
    assert (find_quantile(minutes, 0.5), find_quantile(minutes, 0.9)) == (minutes[4], minutes[8])
    assert find_quantile(minutes[:1], 0.9) == minutes[0]

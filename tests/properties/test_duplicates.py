"""Whatever is sent, rolled back, ended and forgotten in whatever order: the window holds, and nothing is lost in it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from notifications.models import Delivery, Fingerprint
from notifications.models.bucket import MAX_CLOCK_DIFFERENCE
from notifications.testing import temporary_events, travelling
from tests.factories import UserFactory
from tests.races.sending import FOUND, register_leaks, send_leak

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOTHING_CAME_OF_IT = {"dead", "dropped", "cancelled", "expired"}
ENDS = ["sent", "unknown", *sorted(NOTHING_CAME_OF_IT)]
WINDOW = timedelta(seconds=FOUND.dedup_window)
PEOPLE, ROOMS = 2, 2

people = st.sets(st.integers(0, PEOPLE - 1), min_size=1)
rooms = st.integers(0, ROOMS - 1)
# Seconds that the clock goes on or back: about a window, or about as far as clocks differ.
steps = st.one_of(st.just(0), st.sampled_from([-1, 1, 899, 900, 901]), st.integers(-3600, 4000))
sends = st.tuples(st.just("send"), people, rooms, st.sampled_from([True, True, True, False]))
actions = st.one_of(
    sends,
    sends,
    st.tuples(st.just("end"), people, st.sampled_from(ENDS), st.sampled_from([["email", "app"], ["email"], ["app"]])),
    st.tuples(st.just("forget")),
)
TO_ONE = ("send", {0}, 0, True)
DEAD_IN_THE_APP = ("end", {0}, "dead", ["app"])
ALL_DEAD = ("end", {0}, "dead", ["email", "app"])


@dataclass
class Reserved:
    """What the model knows of a first: how it is asked for is the table's business."""

    until: datetime
    notification_id: int
    folded: int = 0


class Model:
    """Who may be served, told in the plainest way."""

    def __init__(self):
        self.firsts = {}
        self.states = {}

    def is_free(self, who, now):
        first = self.firsts.get(who)
        if first is None or first.until <= now:
            return True
        states = [self.states[first.notification_id, who[0], channel] for channel in ("email", "app")]
        return all(state in NOTHING_CAME_OF_IT for state in states)

    def send(self, persons, room, now, result):
        """Who is served."""
        served = {person for person in persons if self.is_free((person, room), now)}
        for person in served:
            self.firsts[person, room] = Reserved(now + WINDOW, result.notification_id)
            self.states.update({(result.notification_id, person, channel): "ready" for channel in ("email", "app")})
        for person in persons - served:
            self.firsts[person, room].folded += 1
        return served

    def end(self, persons, state, channels):
        for notification_id, person, channel in self.states:
            if person in persons and channel in channels:
                self.states[notification_id, person, channel] = state


class Story:
    """The real thing beside the model."""

    def __init__(self, clock):
        self.clock, self.model = clock, Model()
        self.users = UserFactory.create_batch(PEOPLE)

    def send(self, persons, room, commit):
        recipients = User.objects.filter(pk__in=[self.users[person].pk for person in persons])
        with transaction.atomic():
            result = send_leak(recipients, room)
            rows = Delivery.objects.filter(notification=result.notification_id).values_list("recipient", "channel")
            served = {person for person in persons if (self.users[person].pk, "app") in set(rows)}
            assert len(rows) == result.queued == 2 * len(served)
            transaction.set_rollback(not commit)
        reached = "all" if served == persons else "some" if served else "none"
        event(f"{'committed' if commit else 'rolled back'}, {reached} served")
        if commit:
            assert served == self.model.send(persons, room, self.clock(), result)
        else:
            assert served == {person for person in persons if self.model.is_free((person, room), self.clock())}

    def end(self, persons, state, channels):
        ended = Delivery.objects.filter(recipient__in=[self.users[person] for person in persons], channel__in=channels)
        ended.update(state=state)
        self.model.end(persons, state, channels)

    def forget(self):
        Fingerprint.objects.delete_ended(self.clock())

    def agrees(self):
        """Every window that is not over is there, with as many repeats as there were."""
        folded = {
            (row.recipient_key, row.notification_id): row.folded
            for row in Fingerprint.objects.filter(until__gt=self.clock())
        }
        assert folded == {
            (f"u:{self.users[person].pk}", first.notification_id): first.folded
            for (person, _room), first in self.model.firsts.items()
            if first.until > self.clock()
        }


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@example([(0, TO_ONE), (899, TO_ONE), (1, TO_ONE), (899, TO_ONE)])
@example([(0, TO_ONE), (0, ALL_DEAD), (500, TO_ONE), (500, TO_ONE)])
@example([(0, TO_ONE), (0, ("end", {0}, "sent", ["email"])), (0, DEAD_IN_THE_APP), (0, TO_ONE)])
@example([(0, TO_ONE), (0, ALL_DEAD), (0, TO_ONE), (900, ("forget",)), (3600, ("forget",)), (-3600, TO_ONE)])
@given(st.lists(st.tuples(steps, actions), min_size=8, max_size=16))
def test_the_window_holds_for_any_sends_ends_and_clocks(story):
    latest = NOON
    with temporary_events(), travelling(NOON) as clock, transaction.atomic():
        register_leaks()
        told = Story(clock)
        for step, (name, *arguments) in story:
            clock.to(max(clock() + timedelta(seconds=step), latest - MAX_CLOCK_DIFFERENCE))
            latest = max(latest, clock())
            getattr(told, name)(*arguments)
            told.agrees()
        transaction.set_rollback(True)

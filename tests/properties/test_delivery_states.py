"""Whatever happens in whatever order, no delivery takes a way that the table of transitions does not have.

A trigger in the database writes down every single change of a state, so that nothing is missed between two looks.
"""

import time
from datetime import timedelta

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from notifications.core.transitions import TRANSITIONS
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.workers.rescue import Rescuer
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import (
    Bucket,
    Circuit,
    Cluster,
    Delivery,
    Heartbeat,
    Notification,
    NotificationLog,
    allow_log_changes,
)
from notifications.outcomes import DeliveryState, Verdict
from notifications.storage.outbox import StateChange
from notifications.testing import temporary_events, travelling
from tests.delivering.scripted import ScriptedChannel
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db

ENOUGH_WAYS = 13
ENDS = {"sent", "dropped", "cancelled", "expired"}
JOURNAL = {
    "sqlite": """
        CREATE TRIGGER klaxon_test_journal AFTER UPDATE OF state ON klaxon_delivery WHEN old.state <> new.state
        BEGIN INSERT INTO klaxon_test_journal VALUES (new.id, old.state, new.state, old.fence, new.fence); END""",
    "postgresql": """
        CREATE FUNCTION klaxon_test_write() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO klaxon_test_journal VALUES (new.id, old.state, new.state, old.fence, new.fence);
        RETURN new; END $$;
        CREATE TRIGGER klaxon_test_journal AFTER UPDATE ON klaxon_delivery FOR EACH ROW
        WHEN (old.state IS DISTINCT FROM new.state) EXECUTE FUNCTION klaxon_test_write()""",
}


@pytest.fixture
def journal():
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE klaxon_test_journal (id bigint, was text, state text, fence_was integer, fence integer)"
        )
        cursor.execute(JOURNAL[connection.vendor])


def changes():
    with connection.cursor() as cursor:
        cursor.execute("SELECT was, state, fence_was, fence FROM klaxon_test_journal")
        return cursor.fetchall()


class OneByOne(ScriptedChannel):
    one_by_one = True


class Outbox(RuleBasedStateMachine):
    """Senders, workers that die, clocks that jump and people who change their minds."""

    claims = Bundle("claims")
    seen: set = set()

    @initialize()
    def begin(self):
        with allow_log_changes("test"):
            for model in (Delivery, Notification, NotificationLog, Heartbeat, Circuit, Bucket):
                model.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM klaxon_test_journal")
        self.travel = travelling()
        self.clock = self.travel.__enter__()
        self.rescuer = Rescuer("default")
        ScriptedChannel.answers, ScriptedChannel.given = [], []
        self.user = UserFactory()

    def teardown(self):
        if hasattr(self, "travel"):
            self.travel.__exit__(None, None, None)

    @rule(
        event=st.sampled_from([ShopEvents.ORDER_REFUSED, ShopEvents.NEWSLETTER]),
        count=st.integers(1, 3),
        later=st.sampled_from([0, 30]),
        expires=st.sampled_from([None, 60]),
    )
    def send(self, event, count, later, expires):
        for _ in range(count):
            NotificationManager.send(
                event,
                self.user,
                None,
                {},
                send_at=self.clock() + timedelta(seconds=later) if later else None,
                expires_at=self.clock() + timedelta(seconds=expires) if expires else None,
                cancel_key="key",
            )

    @rule(
        verdicts=st.lists(st.sampled_from([*Verdict, RuntimeError("gone")]), min_size=1, max_size=4),
        after=st.sampled_from([0, 61]),
    )
    def work(self, verdicts, after):
        """Two providers answer as they like; circuits open and close, limits are met, groups are broken off."""
        self.clock.forward(seconds=after)
        ScriptedChannel.answers = list(verdicts)
        Dispatcher().run_until_idle(limit=5)

    @rule(
        target=claims,
        owner=st.sampled_from(["one", "two"]),
        limit=st.integers(1, 3),
        lives=st.booleans(),
        begins=st.booleans(),
        is_missed=st.booleans(),
    )
    def claim_and_crash(self, owner, limit, lives, begins, is_missed):
        if lives:
            Heartbeat.objects.beat(owner, "here", 1, self.clock())
        claimed = Delivery.objects.claim(owner, self.clock() + timedelta(seconds=30), limit)
        if claimed and begins:
            Delivery.objects.mark_sending(claimed, self.clock() + timedelta(seconds=60))
        if is_missed:
            self.look_for_the_lost(after=61)
        return claimed

    @rule(claimed=claims, outcome=st.sampled_from(["sent", "dead", "retry", "unknown"]))
    def complete_late(self, claimed, outcome):
        due = self.clock() + timedelta(seconds=60) if outcome == "retry" else None
        news = [StateChange(row.pk, row.fence, DeliveryState.SENDING, outcome, due_at=due) for row in claimed]
        Delivery.objects.settle(news, self.clock())

    @rule(claimed=claims)
    def give_back(self, claimed):
        news = [StateChange(row.pk, row.fence, DeliveryState.CLAIMED, DeliveryState.READY) for row in claimed]
        Delivery.objects.settle(news, self.clock())

    @rule(after=st.sampled_from([61, 600]))
    def rescue(self, after):
        self.look_for_the_lost(after)

    def look_for_the_lost(self, after):
        self.clock.forward(seconds=after)
        self.rescuer.rescue(self.clock())
        time.sleep(0.002)
        self.rescuer.rescue(self.clock())

    @rule()
    def cancel(self):
        NotificationManager.cancel(Cluster.objects.default(), "key")

    @rule()
    def replay(self):
        Delivery.objects.all().reopen(self.clock())

    @rule()
    def leave_and_return(self):
        self.user.is_active = not self.user.is_active
        self.user.save()

    @rule(seconds=st.sampled_from([1, 61, 3600, -3600, 86400]))
    def time_passes_or_jumps(self, seconds):
        self.clock.forward(seconds=seconds)

    @invariant()
    def every_change_stands_in_the_table(self):
        for was, state, _fence_was, _fence in changes():
            assert state in TRANSITIONS.get(was, ()), f"{was} -> {state}"
            self.seen.add((was, state))

    @invariant()
    def fences_only_grow_and_ends_are_final(self):
        for was, _state, fence_was, fence in changes():
            assert fence >= fence_was
            assert was not in ENDS


def test_no_way_leads_outside_the_table(journal, settings_of_the_site):
    with temporary_events() as events:
        events[ShopEvents.ORDER_REFUSED] = NotificationEvent("order_refused", NotificationPriority.HIGH, ["log"])
        events[ShopEvents.NEWSLETTER] = NotificationEvent(
            "shop_newsletter", NotificationPriority.LOW, ["log"], on_unknown="hold", fallback={"log": "email"}
        )
        run_state_machine_as_test(
            Outbox,
            settings=settings(
                max_examples=150,
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
    assert len(Outbox.seen) >= ENOUGH_WAYS, f"a run that goes nowhere proves nothing: {Outbox.seen}"


@pytest.fixture
def settings_of_the_site(settings):
    settings.NOTIFICATIONS = {
        "CHANNELS": {"log": {"BACKEND": f"{__name__}.OneByOne", "PROVIDERS": [{"NAME": "first"}, {"NAME": "second"}]}},
        "BEAT_SECONDS": 0.001,
        "RETRY_DELAYS": [60, 60],
        "BREAKER_FAILURES": 2,
        "LIMITS": {"user": "2/m"},
    }

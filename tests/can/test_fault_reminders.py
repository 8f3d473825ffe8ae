"""Faults that go on are reported again if a rule has ``repeat_every``."""

import pytest

from notifications.can.fault_tracker import FaultTracker
from notifications.can.frame import BusEvent, SilenceTick
from notifications.can.rule_types import FaultRule
from notifications.can.rules import RuleSet, find_event
from notifications.can.standing import Standing
from notifications.can.store import Store, make_standing
from notifications.can.tally import Tally
from notifications.core import clock
from notifications.models import CanFault
from tests.can.candump import START, frame
from tests.can.test_fault_tracker import NONE, RED, YELLOW

EVERY = FaultRule(name="every", event="alarm", repeat_every=60)
RARELY = FaultRule(name="rarely", event="alarm", repeat_every=300)
ONCE = FaultRule(name="once", event="alarm")


def stand(data: str, first: int, last: int) -> list:
    """A fault that is reported each second."""
    return [frame(data, second) for second in range(first, last)]


def list_changes(items, *rules: FaultRule) -> list[tuple[str, float]]:
    bridge = RuleSet(rules).make_bridge(FaultTracker(Tally()))
    return [(change.kind, change.at.timestamp() - START) for change in bridge.process(items)]


def test_a_fault_is_reported_again_until_it_is_cleared():
    items = [*stand(YELLOW, 0, 150), *stand(NONE, 150, 400)]
    assert list_changes(items, EVERY) == [("raised", 0), ("repeated", 60), ("repeated", 120), ("cleared", 150)]


def test_without_a_rule_for_it_nothing_is_reported_again():
    assert list_changes(stand(YELLOW, 0, 500), ONCE) == [("raised", 0)]


def test_the_shortest_time_of_the_rules_that_select_a_fault_applies():
    found = list_changes(
        stand(YELLOW, 0, 130), RARELY, EVERY, FaultRule(name="other", spns=frozenset({1}), repeat_every=5)
    )
    assert found == [("raised", 0), ("repeated", 60), ("repeated", 120)]


def test_the_time_begins_anew_when_a_fault_worsens():
    worse = f"55{YELLOW[2:]}"
    items = [*stand(YELLOW, 0, 50), *stand(worse, 50, 115)]
    assert list_changes(items, EVERY) == [("raised", 0), ("worsened", 50), ("repeated", 110)]


def test_faults_of_a_lost_bus_are_not_reported_again():
    items = [
        frame(YELLOW),
        BusEvent("lost", START + 10, "can0", "cut"),
        *(SilenceTick(START + second) for second in range(11, 100)),
        BusEvent("back", START + 100, "can0", ""),
        *stand(YELLOW, 100, 130),
    ]
    assert list_changes(items, EVERY) == [("raised", 0), ("repeated", 120)]


def test_a_clock_that_is_set_back_delays_a_report_but_loses_none():
    items = [*stand(YELLOW, 1000, 1030), *stand(YELLOW, 0, 70)]
    assert list_changes(items, EVERY) == [("raised", 1000), ("repeated", 60)]


def test_a_rule_without_repeats_sends_nothing_for_a_repeated_fault():
    bridge = RuleSet((EVERY, ONCE)).make_bridge(FaultTracker(Tally()))
    _raised, repeated = bridge.process(stand(RED, 0, 61))
    assert (find_event(EVERY, repeated), find_event(ONCE, repeated)) == ("alarm", None)


@pytest.mark.django_db
class TestState:
    def test_a_repeat_is_announced_until_somebody_acknowledges_the_fault(self):
        store = Store()
        bridge = RuleSet((EVERY,)).make_bridge(FaultTracker(Tally()))
        raised, first, second = bridge.process(stand(RED, 0, 121))
        assert [store.apply(change).kind for change in (raised, first)] == ["raised", "repeated"]
        CanFault.objects.acknowledge(None, clock.now("default"))
        assert store.apply(second) is None
        assert CanFault.objects.get().last_seen_at == second.at

    def test_a_fault_that_stands_after_a_restart_is_reported_again(self):
        store = Store()
        [raised] = RuleSet((EVERY,)).make_bridge(FaultTracker(Tally())).process([frame(RED)])
        store.apply(raised)
        bridge = RuleSet((EVERY,)).make_bridge(FaultTracker(Tally()))
        shown = []
        bridge.on_restored = shown.append
        bridge.restore("can0", Standing([make_standing(row, "can0") for row in CanFault.objects.all()], [], {}))
        found = [(change.kind, change.at.timestamp() - START) for change in bridge.process(stand(RED, 30, 95))]
        assert found == [("repeated", 90)]
        assert [change.correlation_id for change in shown] == [raised.correlation_id]

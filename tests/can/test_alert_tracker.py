"""Alerts begin, are repeated and end. The time is in seconds from ``START``."""

import random
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from notifications.can.alert_tracker import AlertTracker
from notifications.can.alerts import AlertChange
from notifications.can.conditions import Condition, Selection
from notifications.can.rule_types import (
    AlertRule,
    BusSilenceRule,
    CompoundRule,
    DeviceSilenceRule,
    SignalRule,
    StateRule,
)
from notifications.can.signals import Reading
from notifications.can.tally import Tally
from tests.can.candump import START

BATTERY, TANK = Selection("BATTERY"), Selection("TANK")


def low(**options) -> SignalRule:
    condition = Condition(BATTERY, "V", "<", 11.8, "V", options.pop("clear_value", None))
    return SignalRule(name="low", condition=condition, **options)


class Story:
    """A bus on which things happen in turn. ``told`` has what the tracker reported: kind, rule and time."""

    def __init__(self, *rules: AlertRule, **options) -> None:
        self.tally = Tally()
        self.tracker = AlertTracker(rules, self.tally, **options)
        self.changes: list[AlertChange] = []

    def read(self, after: float, value: object, message: str = "BATTERY", field: str = "V", **options) -> "Story":
        reading = Reading(
            options.get("bus", "can0"),
            options.get("source", 1),
            message,
            options.get("instance"),
            {field: value},
            {field: ""},
            START + after,
        )
        self.hear(after, reading.source_address, reading.bus)
        self.changes += self.tracker.add(reading)
        return self

    def hear(self, after: float, source: int | None = 1, bus: str = "can0") -> "Story":
        self.changes += self.tracker.receive(START + after, bus, source)
        return self

    def tick(self, after: float) -> "Story":
        self.changes += self.tracker.advance_to(START + after)
        return self

    @property
    def told(self) -> list[tuple[str, str, float]]:
        return [(one.kind, one.rule, one.at.timestamp() - START) for one in self.changes]

    @property
    def kinds(self) -> list[tuple[str, float]]:
        return [(kind, at) for kind, _rule, at in self.told]


class TestThreshold:
    def test_an_alert_begins_and_ends_at_the_threshold(self):
        story = Story(low()).read(0, 12.0).read(1, 11.7).read(2, 11.6).read(3, 11.8).read(4, 12.0)
        assert story.kinds == [("begun", 1), ("ended", 3)]
        begun, ended = story.changes
        assert begun.text == "V of BATTERY is 11.7 V"
        assert (begun.source_address, begun.value, begun.unit, begun.severity) == (1, 11.7, "V", 1)
        assert begun.correlation_id == ended.correlation_id == "alert:low:can0:1:-"
        assert begun.key == ended.key
        assert (story.tally.begun, story.tally.ended) == (1, 1)
        assert len(story.tracker) == 0

    def test_it_must_hold_for_some_time(self):
        story = Story(low(begin_after=60)).read(0, 11.7).read(59, 11.7).read(59.5, 12).read(60, 11.7).read(119, 11.7)
        assert story.kinds == []
        story.read(121, 11.7)
        assert story.kinds == [("begun", 120)]

    def test_it_must_have_ended_for_some_time_and_beyond_the_clear_value(self):
        story = Story(low(clear_value=12.4, clear_after=60))
        story.read(0, 11.7).read(10, 12.3).read(20, 12.4).read(50, 12.3).read(60, 12.5).read(119, 12.5)
        assert story.kinds == [("begun", 0)]
        assert story.read(120, 12.5).kinds == [("begun", 0), ("ended", 120)]

    def test_a_value_holds_until_the_next_one_while_the_bus_is_heard(self):
        story = Story(low(begin_after=60)).read(0, 11.7)
        for second in range(1, 70):
            story.hear(second, source=2)
        assert story.kinds == [("begun", 60)]

    def test_it_does_not_begin_while_the_bus_is_silent(self):
        story = Story(low(begin_after=60)).read(0, 11.7).tick(500)
        assert story.kinds == []
        # The first message after the pause decides.
        assert story.read(501, 12).kinds == []

    def test_after_a_long_pause_the_time_begins_anew(self):
        story = Story(low(begin_after=60)).read(0, 11.7).hear(5000, source=2).hear(5001, source=2)
        assert story.kinds == []

    def test_a_bus_that_is_lost_begins_and_ends_nothing(self):
        story = Story(low(begin_after=60)).read(0, 11.7)
        story.changes += story.tracker.lose_bus("can0", START + 10)
        assert story.tick(100).hear(101, source=2).hear(102, source=2).kinds == []
        assert story.read(103, 11.7).read(163, 11.7).kinds == [("begun", 163)]

    @pytest.mark.parametrize("value", [None, "not a number"])
    def test_a_value_that_is_not_known_changes_nothing(self, value):
        story = Story(low()).read(0, 11.7).read(1, None)
        assert story.kinds == [("begun", 0)]
        assert Story(low()).read(0, value).kinds == []

    def test_devices_instances_and_buses_are_apart(self):
        story = Story(low())
        for options in ({}, {"source": 2}, {"instance": 1}, {"bus": "can1"}):
            story.read(0, 11, **options)
        assert [change.kind for change in story.changes] == ["begun"] * 4
        assert len({change.key for change in story.changes}) == len({one.correlation_id for one in story.changes}) == 4

    @pytest.mark.parametrize(
        "options", [{"instances": frozenset({1})}, {"sources": frozenset({9})}, {"buses": frozenset({"can9"})}]
    )
    def test_a_selection_leaves_others_out(self, options):
        condition = Condition(Selection("BATTERY", **options), "V", "<", 11.8)
        assert Story(SignalRule(name="low", condition=condition)).read(0, 11).kinds == []

    def test_where_compares_other_fields(self):
        condition = Condition(Selection("GAS", where={"Type": "CO"}), "Alarm", "==", "alarm")
        tracker = AlertTracker([SignalRule(name="co", condition=condition)], Tally())
        units = {"Type": "", "Alarm": ""}
        for kind, count in (("smoke", 0), ("CO", 1)):
            reading = Reading("can0", 1, "GAS", 1, {"Type": kind, "Alarm": "alarm"}, units, START)
            assert len(tracker.add(reading)) == count

    @pytest.mark.parametrize(
        ("sign", "holds"),
        [
            ("<", [1, 0, 0]),
            ("<=", [1, 1, 0]),
            (">", [0, 0, 1]),
            (">=", [0, 1, 1]),
            ("==", [0, 1, 0]),
            ("!=", [1, 0, 1]),
        ],
    )
    def test_operators(self, sign, holds):
        condition = Condition(BATTERY, "V", sign, 5)
        assert [condition.holds(value, False) for value in (4, 5, 6)] == [bool(one) for one in holds]


class TestRepeats:
    def test_an_alert_is_repeated_until_it_ends(self):
        story = Story(low(repeat_every=600)).read(0, 11.7)
        for second in range(60, 1500, 60):
            story.read(second, 11.7)
        assert story.read(1500, 12).kinds == [("begun", 0), ("repeated", 600), ("repeated", 1200), ("ended", 1500)]

    def test_repeats_that_were_missed_come_once(self):
        assert Story(low(repeat_every=600)).read(0, 11.7).tick(10_000).tick(10_599).kinds == [
            ("begun", 0),
            ("repeated", 10_000),
        ]


class TestStateChange:
    RULE = StateRule(name="runs", selection=TANK, field="S", states=frozenset({"running"}))

    def read(self, story: Story, *states: str) -> list[tuple[str, float]]:
        for second, state in enumerate(states):
            story.read(second, state, "TANK", "S")
        return story.kinds

    def test_it_begins_with_the_change_and_ends_with_the_next(self):
        states = ("stopped", "cranking", "running", "running", "stopped", "stopped", "running")
        assert self.read(Story(self.RULE), *states) == [("begun", 2), ("ended", 4), ("begun", 6)]

    def test_the_first_value_is_no_change(self):
        assert self.read(Story(self.RULE), "running", "stopped") == []

    def test_the_state_before_can_be_given(self):
        rule = StateRule(
            name="failed", selection=TANK, field="S", states=frozenset({"stopped"}), before=frozenset({"cranking"})
        )
        states = ("running", "stopped", "cranking", "stopped")
        assert self.read(Story(rule), *states) == [("begun", 3)]

    def test_it_must_last(self):
        rule = StateRule(name="runs", selection=TANK, field="S", states=frozenset({"running"}), begin_after=2)
        states = ("stopped", "running", "stopped", "running", "running", "running")
        assert self.read(Story(rule), *states) == [("begun", 5)]


class TestDeviceSilence:
    RULE = DeviceSilenceRule(name="gone", begin_after=30)

    def test_a_device_that_others_outlive_is_silent_until_it_is_heard(self):
        story = Story(self.RULE).hear(0, 1)
        for second in range(0, 50, 5):
            story.hear(second, 2)
        assert story.told == [("begun", "gone", 30)]
        assert (story.changes[0].source_address, story.changes[0].text) == (1, "device 0x01 is silent")
        assert story.hear(51, 1).kinds == [("begun", 30), ("ended", 51)]

    def test_if_the_whole_bus_is_silent_no_device_is(self):
        story = Story(self.RULE).hear(0, 1).hear(0, 2).tick(500).hear(501, 2).hear(505, 2).hear(506, 1)
        assert story.kinds == []

    def test_after_a_pause_devices_have_time_to_come_back(self):
        story = Story(self.RULE).hear(0, 1).hear(0, 2)
        for second in range(500, 540, 5):
            story.hear(second, 2)
        assert story.kinds == [("begun", 530)]

    def test_named_devices(self):
        rule = DeviceSilenceRule(name="gone", begin_after=30, sources=frozenset({7}))
        story = Story(rule)
        for second in range(0, 100, 5):
            story.hear(second, 2)
        assert story.kinds == []
        story.hear(100, 7)
        for second in range(100, 140, 5):
            story.hear(second, 2)
        assert story.kinds == [("begun", 130)]

    def test_an_expected_device_that_never_comes_is_silent(self):
        story = Story(DeviceSilenceRule(name="gone", begin_after=30, sources=frozenset({7}), is_expected=True))
        for second in range(0, 50, 5):
            story.hear(second, 2)
        assert story.kinds == [("begun", 30)]
        assert story.hear(51, 7).kinds == [("begun", 30), ("ended", 51)]

    def test_each_instance_of_a_message(self):
        story = Story(DeviceSilenceRule(name="gone", begin_after=30, selection=TANK))
        story.read(0, 1, "TANK", instance=1).read(0, 1, "TANK", instance=2)
        for second in range(0, 50, 5):
            story.read(second, 1, "TANK", instance=2)
        assert story.kinds == [("begun", 30)]
        assert story.changes[0].text == "TANK instance 1 of device 0x01 is silent"
        assert story.read(60, 1, "TANK", instance=1).kinds[-1] == ("ended", 60)


class TestBusSilence:
    RULES = (BusSilenceRule(name="dead", begin_after=10, severity=2), DeviceSilenceRule(name="gone", begin_after=30))

    def test_a_clock_that_is_set_forward_is_no_silence(self):
        story = Story(*self.RULES, low(begin_after=60)).hear(0).read(1, 11.0)
        story.tracker.set_forward(START + 3600)
        assert story.read(3600, 11.0).read(3605, 11.0).hear(3610).told == []
        assert [kind for kind, rule, _at in story.tick(3630).told] == ["begun"]

    def test_the_silence_of_a_bus_is_reported_once_and_mutes_its_devices(self):
        story = Story(*self.RULES).hear(0, 1).hear(0, 2).tick(5).tick(11).tick(60).tick(600)
        assert story.told == [("begun", "dead", 10)]
        assert (story.changes[0].text, story.changes[0].severity) == ("the bus is silent", 2)
        story.hear(601, 2)
        assert story.told[1:] == [("ended", "dead", 601)]
        for second in range(602, 640, 5):
            story.hear(second, 2)
        # Only now is the device silent that did not come back.
        assert story.told[2:] == [("begun", "gone", 631)]

    def test_frames_of_another_bus_let_the_time_pass(self):
        story = Story(self.RULES[0]).hear(0)
        for second in range(0, 30, 2):
            story.hear(second, bus="can1")
        assert story.told == [("begun", "dead", 10)]
        assert story.changes[0].bus == "can0"

    def test_a_lost_bus_is_silent_too(self):
        story = Story(*self.RULES).hear(0)
        for second in (2, 4):
            story.changes += story.tracker.lose_bus("can0", START + second)
        assert story.tick(9).kinds == []
        assert story.tick(20).hear(30).hear(31).kinds == [("begun", 10), ("ended", 30)]

    def test_a_bus_that_was_never_heard(self):
        story = Story(*self.RULES)
        story.changes += story.tracker.lose_bus("can0", START)
        assert story.tick(20).kinds == [("begun", 10)]

    def test_it_must_be_heard_for_some_time(self):
        rule = BusSilenceRule(name="dead", begin_after=10, clear_after=15)
        story = Story(rule).hear(0).tick(20).hear(21).tick(37)
        assert story.kinds == [("begun", 10)]
        for second in range(40, 60, 3):
            story.hear(second)
        assert story.kinds == [("begun", 10), ("ended", 55)]

    def test_other_buses(self):
        rule = BusSilenceRule(name="dead", begin_after=10, buses=frozenset({"can1"}))
        assert Story(rule).hear(0).tick(100).kinds == []


class TestCompound:
    CONDITIONS = (Condition(BATTERY, "V", "<", 11.8, "V", 12.4), Condition(TANK, "S", "==", "stopped"))

    def test_all_must_hold(self):
        rule = CompoundRule(name="both", conditions=self.CONDITIONS, needs_all=True)
        story = Story(rule).read(0, 11).read(1, "running", "TANK", "S").read(2, "stopped", "TANK", "S", source=3)
        assert story.kinds == [("begun", 2)]
        change = story.changes[0]
        assert (change.source_address, change.instance) == (None, None)
        assert change.text == "V of BATTERY is 11 V and S of TANK is stopped"
        # The clear value is not reached.
        assert story.read(3, 12).kinds == [("begun", 2)]
        assert story.read(4, 12.5).kinds == [("begun", 2), ("ended", 4)]

    def test_any_is_enough(self):
        rule = CompoundRule(name="either", conditions=self.CONDITIONS, needs_all=False)
        story = Story(rule).read(0, 13).read(1, "stopped", "TANK", "S").read(2, 11)
        story.read(3, "running", "TANK", "S").read(4, 13)
        assert story.kinds == [("begun", 1), ("ended", 4)]

    def test_any_device_can_fulfil_a_condition(self):
        rule = CompoundRule(name="one", conditions=self.CONDITIONS[:1], needs_all=True)
        story = Story(rule).read(0, 11, instance=1).read(1, 13, instance=2).read(2, 11, instance=2)
        assert story.read(3, 13, instance=1).kinds == [("begun", 0)]
        assert story.read(4, 13, instance=2).kinds == [("begun", 0), ("ended", 4)]


class TestRestart:
    def alert(self, rule: str, **values) -> SimpleNamespace:
        begun_at = datetime.fromtimestamp(START - 100, UTC)
        row = {"bus": "can0", "source_address": 1, "instance": None, "begun_at": begun_at, "last_sent_at": None}
        return SimpleNamespace(rule=rule, **{**row, **values})

    def test_an_open_alert_does_not_begin_again_and_ends(self):
        story = Story(low())
        assert story.tracker.restore([self.alert("low")]) == []
        assert [change.rule for change in story.tracker.list_standing()] == ["low"]
        assert story.read(0, 11.7).kinds == []
        assert story.read(1, 12).kinds == [("ended", 1)]

    def test_repeats_go_on(self):
        story = Story(low(repeat_every=600))
        story.tracker.restore([self.alert("low")])
        assert story.tick(499).tick(501).kinds == [("repeated", 501)]
        assert story.changes[0].text == "it began before the bridge was started"

    def test_silences_go_on(self):
        story = Story(*TestBusSilence.RULES)
        story.tracker.restore([self.alert("gone"), self.alert("dead", source_address=None)])
        assert story.tick(0).kinds == []
        assert sorted(story.hear(1, 1).told) == [("ended", "dead", 1), ("ended", "gone", 1)]

    def test_alerts_of_rules_that_are_gone_are_returned(self):
        unknown = self.alert("old")
        assert Story(low()).tracker.restore([unknown]) == [unknown]


class TestNewAddress:
    def test_an_alert_goes_with_its_device(self):
        story = Story(low()).read(0, 11)
        story.changes += story.tracker.move_source("can0", 1, 2)
        assert story.read(1, 11, source=2).kinds == [("begun", 0)]
        story.read(2, 13, source=2)
        assert story.kinds == [("begun", 0), ("ended", 2)]
        assert story.changes[0].key == story.changes[1].key
        assert story.read(3, 11, source=2).changes[-1].source_address == 2

    def test_if_the_same_alert_is_open_there_the_old_one_ends(self):
        story = Story(low()).read(0, 11).read(0, 11, source=2)
        story.changes += story.tracker.move_source("can0", 1, 2)
        assert [(one.kind, one.source_address) for one in story.changes[2:]] == [("ended", 1)]

    def test_the_old_address_is_not_silent(self):
        story = Story(TestDeviceSilence.RULE).hear(0, 1).hear(0, 3)
        story.tracker.move_source("can0", 1, 2)
        for second in range(0, 60, 5):
            story.hear(second, 2).hear(second, 3)
        assert story.kinds == []


def test_a_clock_that_is_set_back_begins_and_ends_nothing():
    rules = (low(begin_after=60), TestDeviceSilence.RULE, BusSilenceRule(name="dead", begin_after=10))
    story = Story(*rules).read(10_000, 11.7).read(0, 11.7).hear(5).hear(9)
    assert story.kinds == []
    for second in range(10, 62, 5):
        story.hear(second)
    assert story.read(62, 11.7).kinds == [("begun", 60)]


def test_one_source_cannot_use_up_the_room_of_others():
    story = Story(low(), max_alerts=100)
    for number in range(1000):
        story.read(0, 11, instance=number)
    assert (len(story.changes), story.tally.dropped) == (50, 950)
    assert story.read(1, 11, source=2).changes[-1].source_address == 2


def test_a_night_with_a_low_battery_gives_one_warning_and_one_all_clear():
    # Slowly down through the threshold in ten hours, then charged for two; with noise, and a pump that pulls the
    # voltage down for four seconds every twenty minutes.
    noise = random.Random(7)
    story = Story(low(begin_after=60, clear_value=12.6, clear_after=300))
    for number in range(0, 12 * 3600, 2):
        hours = number / 3600
        volts = 12.7 - 0.12 * hours if hours < 10 else 11.5 + (hours - 10) * 1.0
        pump = -0.6 if number % 1200 < 4 else 0.0
        story.read(number, round((volts + pump + noise.gauss(0, 0.05)) / 0.05) * 0.05)
    assert [kind for kind, _at in story.kinds] == ["begun", "ended"]
    begun, ended = (at / 3600 for _kind, at in story.kinds)
    assert 7 < begun < 8.5
    assert 11 < ended < 12


ALL_RULES = (
    low(begin_after=5, clear_after=3, clear_value=12.4, repeat_every=60),
    TestStateChange.RULE,
    CompoundRule(name="both", conditions=TestCompound.CONDITIONS, needs_all=True, begin_after=2, repeat_every=60),
    DeviceSilenceRule(name="gone", begin_after=30, clear_after=2, repeat_every=60),
    DeviceSilenceRule(name="tank gone", begin_after=20, selection=TANK),
    BusSilenceRule(name="dead", begin_after=10, clear_after=2, repeat_every=60),
)
ADDRESSES, BUSES = st.integers(0, 3), st.sampled_from(["can0", "can1"])
JUMPS = st.one_of(st.floats(0, 20), st.floats(-5000, 5000), st.just(0.0))


class AnyTraffic(RuleBasedStateMachine):
    """Readings, times, losses and restarts in any order. Each alert begins and ends in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.tracker = AlertTracker(ALL_RULES, Tally(), max_alerts=20)
        self.open: set[object] = set()

    def take(self, changes: list[AlertChange]) -> None:
        for change in changes:
            assert (change.key in self.open) is (change.kind != "begun"), change
            if change.kind == "begun":
                self.open.add(change.key)
            elif change.kind == "ended":
                self.open.remove(change.key)
            assert change.as_json()
            assert str(change)

    @rule(jump=JUMPS, bus=BUSES, source=ADDRESSES)
    def hear(self, jump, bus, source):
        self.now = max(0, self.now + jump)
        self.take(self.tracker.receive(self.now, bus, source))

    @rule(
        jump=JUMPS,
        bus=BUSES,
        source=ADDRESSES,
        instance=st.sampled_from([None, 1, 2]),
        what=st.one_of(
            st.tuples(st.just("BATTERY"), st.just("V"), st.none() | st.floats(11, 13)),
            st.tuples(st.just("TANK"), st.just("S"), st.sampled_from([None, "running", "stopped"])),
        ),
    )
    def read(self, jump, bus, source, instance, what):
        self.hear(jump, bus, source)
        message, field, value = what
        self.take(self.tracker.add(Reading(bus, source, message, instance, {field: value}, {field: ""}, self.now)))

    @rule(jump=JUMPS)
    def tick(self, jump):
        self.now = max(0, self.now + jump)
        self.take(self.tracker.advance_to(self.now))

    @rule(bus=BUSES)
    def lose(self, bus):
        self.take(self.tracker.lose_bus(bus, self.now))

    @rule(bus=BUSES, before=ADDRESSES, after=ADDRESSES)
    def move(self, bus, before, after):
        if before != after:
            self.take(self.tracker.move_source(bus, before, after))

    @invariant()
    def the_tracker_knows_what_is_open(self):
        assert {change.key for change in self.tracker.list_standing()} == self.open

    @invariant()
    def memory_is_bounded(self):
        assert len(self.tracker) <= 20 + 2 * 4 * 2 + 2
        assert len(self.tracker._deadlines._heap) <= 4 * len(self.tracker) + 1001


TestAnyTraffic = AnyTraffic.TestCase
TestAnyTraffic.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(st.floats(0, 1e10), st.integers(0, 2**24), st.floats()), max_size=50))
@settings(max_examples=100, deadline=None)
def test_random_readings_and_times_never_raise(items):
    story = Story(*ALL_RULES, max_alerts=10)
    for timestamp, instance, value in items:
        story.read(timestamp - START, value, instance=instance, source=instance % 256)
    assert len(story.tracker._deadlines._heap) <= 1100

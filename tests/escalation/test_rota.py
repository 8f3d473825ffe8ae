"""Rotas, compared with a calculation that steps from minute to minute by what the clocks show."""

import os
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import accumulate, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.core.hours import Hours
from notifications.escalation.rota import Absence, Layer, Override, Schedule

pytestmark = pytest.mark.one_database

ROTAS = int(os.environ.get("KLAXON_ROTAS", "100"))
BERLIN, NEW_YORK, LORD_HOWE = map(ZoneInfo, ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"))
ANNA, BEN, CARA, DAN = range(1, 5)
# Both changes of the clocks of the three zones, and a week around each.
CHANGES = [
    (BERLIN, datetime(2026, 3, 29, 1, tzinfo=UTC)),
    (BERLIN, datetime(2026, 10, 25, 1, tzinfo=UTC)),
    (NEW_YORK, datetime(2026, 3, 8, 7, tzinfo=UTC)),
    (NEW_YORK, datetime(2026, 11, 1, 6, tzinfo=UTC)),
    (LORD_HOWE, datetime(2026, 4, 4, 15, tzinfo=UTC)),
    (LORD_HOWE, datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
]
times = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 59]))
members = st.integers(ANNA, DAN)
days = st.frozensets(st.integers(0, 6), min_size=1)


@st.composite
def absences(draw, around, kind):
    start = around + timedelta(minutes=draw(st.integers(-4000, 4000)))
    return kind(draw(members), start, start + timedelta(minutes=draw(st.integers(1, 4000))))


@st.composite
def schedules(draw):
    zone, change = draw(st.sampled_from(CHANGES))
    layer = st.builds(
        Layer,
        st.lists(members, min_size=1, max_size=4).map(tuple),
        st.integers(-20, 2).map(lambda number: change.date() + timedelta(days=number)),
        times,
        st.integers(1, 9),
        st.none() | st.builds(Hours, times, times, days),
    )
    schedule = Schedule(
        zone,
        draw(st.lists(layer, max_size=3)),
        draw(st.lists(absences(change, Override), max_size=3)),
        draw(st.lists(absences(change, Absence), max_size=2)),
    )
    return schedule, change


@cache
def list_reached(zone, start, minutes):
    """Return the greatest local time until each minute: after clocks are set back, what was reached stays reached."""
    walls = ((start + timedelta(minutes=number)).astimezone(zone).replace(tzinfo=None) for number in range(minutes))
    return list(accumulate(walls, max))


class ByMinutes:
    """Follows each layer from minute to minute: a turn begins when the clocks reach or skip the hand-over."""

    WARM_UP = 2 * 1440

    def __init__(self, schedule, start, minutes):
        self.schedule, self.start = schedule, start
        reached = list_reached(schedule.zone, start - timedelta(minutes=self.WARM_UP), minutes + self.WARM_UP)
        self.layers = [[self.find_member(layer, wall) for wall in reached[self.WARM_UP :]] for layer in schedule.layers]

    def find_member(self, layer, reached):
        begun = reached.date() if reached.time() >= layer.hand_over else reached.date() - timedelta(days=1)
        turn = (begun - layer.starts_on).days // layer.turn_days
        member = layer.members[turn % len(layer.members)] if turn >= 0 else None
        return member if layer.hours is None or self.is_open(layer.hours, reached) else None

    @staticmethod
    def is_open(hours, reached):
        today, now = reached.weekday(), reached.time()
        began_today, began_yesterday = today in hours.days, (today - 1) % 7 in hours.days
        if hours.start < hours.end:
            return began_today and hours.start <= now < hours.end
        return (began_today and now >= hours.start) or (began_yesterday and now < hours.end)

    def find_holder(self, number):
        moment = self.start + timedelta(minutes=number)
        covering = [one.member for one in self.schedule.overrides if one.start <= moment < one.end]
        if covering:
            return covering[-1]
        away = {one.member for one in self.schedule.time_off if one.start <= moment < one.end}
        return next((layer[number] for layer in self.layers if layer[number] not in {None, *away}), None)


@settings(max_examples=ROTAS, deadline=None)
@given(schedules())
def test_a_random_rota_is_what_stepping_through_the_minutes_gives(drawn):
    schedule, change = drawn
    start, end = change - timedelta(hours=30), change + timedelta(hours=30)
    shifts = schedule.list_shifts(start, end)
    assert shifts[0].start == start
    assert shifts[-1].end == end
    assert all(one.end == other.start for one, other in pairwise(shifts))
    slowly = ByMinutes(schedule, start, 60 * 60)
    for shift in shifts:
        first, after = ((moment - start) // timedelta(minutes=1) for moment in (shift.start, shift.end))
        assert {slowly.find_holder(number) for number in range(first, after)} == {shift.member}
    gaps = schedule.list_gaps(start, end)
    assert gaps == [shift for shift in shifts if shift.member is None]


@settings(max_examples=ROTAS, deadline=None)
@given(schedules(), st.integers(-2880, 2880))
def test_one_instant_agrees_with_the_list_of_shifts(drawn, minutes):
    schedule, change = drawn
    moment = change + timedelta(minutes=minutes)
    holder = schedule.find_holder(moment)
    shifts = schedule.list_shifts(change - timedelta(days=3), change + timedelta(days=3))
    assert [shift.member for shift in shifts if shift.start <= moment < shift.end] == [holder]
    covering = [one for one in schedule.overrides if one.covers(moment)]
    if covering:
        assert holder == covering[-1].member


def at(zone, *numbers):
    return datetime(*numbers, tzinfo=zone)


def weekly(*members, **changes):
    return Layer(members, date(2026, 3, 2), time(9), **changes)


class TestTurns:
    def test_members_take_turns_of_a_week(self):
        schedule = Schedule(BERLIN, [weekly(ANNA, BEN)])
        assert schedule.find_holder(at(BERLIN, 2026, 3, 9, 8, 59)) == ANNA
        assert schedule.find_holder(at(BERLIN, 2026, 3, 9, 9)) == BEN
        assert schedule.find_holder(at(BERLIN, 2026, 3, 16, 9)) == ANNA

    def test_nobody_is_on_call_before_the_first_turn(self):
        schedule = Schedule(BERLIN, [weekly(ANNA)])
        assert schedule.find_holder(at(BERLIN, 2026, 3, 2, 8, 59)) is None

    def test_a_hand_over_is_at_the_same_local_time_in_summer_and_winter(self):
        shifts = Schedule(BERLIN, [weekly(ANNA, BEN)]).list_shifts(
            at(BERLIN, 2026, 3, 23, 9), at(BERLIN, 2026, 4, 6, 9)
        )
        assert [shift.start.astimezone(BERLIN).hour for shift in shifts] == [9, 9]
        assert shifts[0].end - shifts[0].start == timedelta(hours=167)

    def test_a_hand_over_that_the_clocks_skip_is_at_the_change(self):
        schedule = Schedule(BERLIN, [Layer((ANNA, BEN), date(2026, 3, 28), time(2, 30), turn_days=1)])
        change = datetime(2026, 3, 29, 1, tzinfo=UTC)
        assert schedule.find_holder(change - timedelta(seconds=1)) == ANNA
        assert schedule.find_holder(change) == BEN


class TestPriority:
    WEEK = (at(BERLIN, 2026, 3, 2, 9), at(BERLIN, 2026, 3, 9, 9))

    def test_hours_outside_a_layer_are_left_to_the_next(self):
        schedule = Schedule(BERLIN, [weekly(ANNA, hours=Hours(time(22), time(6))), weekly(BEN)])
        assert schedule.find_holder(at(BERLIN, 2026, 3, 3, 5)) == ANNA
        assert schedule.find_holder(at(BERLIN, 2026, 3, 3, 6)) == BEN

    def test_time_off_is_left_to_the_next_layer_or_is_a_gap(self):
        off = Absence(ANNA, at(BERLIN, 2026, 3, 4, 0), at(BERLIN, 2026, 3, 5, 0))
        both = Schedule(BERLIN, [weekly(ANNA), weekly(BEN)], time_off=[off])
        assert [shift.member for shift in both.list_shifts(*self.WEEK)] == [ANNA, BEN, ANNA]
        alone = Schedule(BERLIN, [weekly(ANNA)], time_off=[off])
        assert [(gap.start, gap.end) for gap in alone.list_gaps(*self.WEEK)] == [(off.start, off.end)]

    def test_of_two_overrides_the_later_one_holds(self):
        first = Override(CARA, at(BERLIN, 2026, 3, 3, 0), at(BERLIN, 2026, 3, 6, 0))
        second = Override(DAN, at(BERLIN, 2026, 3, 4, 0), at(BERLIN, 2026, 3, 5, 0))
        schedule = Schedule(BERLIN, [weekly(ANNA)], [first, second])
        assert [shift.member for shift in schedule.list_shifts(*self.WEEK)] == [ANNA, CARA, DAN, CARA, ANNA]

    def test_an_override_holds_even_for_a_member_who_has_time_off(self):
        period = at(BERLIN, 2026, 3, 3, 0), at(BERLIN, 2026, 3, 4, 0)
        schedule = Schedule(BERLIN, [weekly(ANNA)], [Override(BEN, *period)], [Absence(BEN, *period)])
        assert schedule.find_holder(period[0]) == BEN


def test_the_next_holder_is_somebody_else():
    schedule = Schedule(BERLIN, [weekly(ANNA, BEN)])
    following = schedule.find_next(at(BERLIN, 2026, 3, 3, 12))
    assert (following.member, following.start) == (BEN, at(BERLIN, 2026, 3, 9, 9))
    assert Schedule(BERLIN, [weekly(ANNA)]).find_next(at(BERLIN, 2026, 3, 3, 12)) is None

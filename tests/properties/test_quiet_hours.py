"""In every zone, through every change of clocks: sent once, at an hour that is open, and never too late."""

from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import product
from zoneinfo import ZoneInfo, available_timezones

from django.contrib.auth.models import User
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.core.hours import DAYS, EVERY_DAY, SEARCH_PERIOD, Hours, Timetable, parse_windows
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import UserSettings
from notifications.outcomes import Deliver
from notifications.sending.gates import Facts, Person
from notifications.sending.gates.hours import quiet_hours

ZONES = sorted(available_timezones() - {"localtime", "Factory"})
START, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
WEEK, SECOND, MINUTE = timedelta(days=7), timedelta(seconds=1), timedelta(minutes=1)
EVENT = NotificationEvent("door_opened", NotificationPriority.MEDIUM, ["email"])
USER = User(pk=1, username="resident", email="resident@example.com")
# No clock in these years is changed by more.
MOST = timedelta(hours=3)


@cache
def changes(name: str) -> tuple[datetime, ...]:
    """The instants at which the clocks of a zone are changed."""
    zone, moment, found = ZoneInfo(name), START, []
    while moment < END:
        if offset(moment, zone) != offset(moment + WEEK, zone):
            found.append(change_between(moment, moment + WEEK, zone))
        moment += WEEK
    return tuple(found)


def change_between(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    before = offset(low, zone)
    while high - low > SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        low, high = (middle, high) if offset(middle, zone) == before else (low, middle)
    return high


def offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset()


def wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def within(hours: Hours, moment: datetime, zone: ZoneInfo) -> bool:
    """What somebody would say who looks at the clock on the wall."""
    now = wall(moment, zone)
    today, yesterday = now.weekday() in hours.days, (now.weekday() - 1) % 7 in hours.days
    if hours.start < hours.end:
        return today and hours.start <= now.time() < hours.end
    return (today and now.time() >= hours.start) or (yesterday and now.time() < hours.end)


def is_open(table: Timetable, moment: datetime) -> bool:
    quiet = table.quiet is not None and within(table.quiet, moment, table.zone)
    return not quiet and (not table.windows or any(within(hours, moment, table.zone) for hours in table.windows))


def comes_twice(moment: datetime, zone: ZoneInfo) -> bool:
    """Whether the clocks show, or have shown, the same at another moment."""
    first, second = (wall(moment, zone).replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first < second


times = st.times().map(lambda found: found.replace(second=0, microsecond=0, fold=0))
quiets = st.builds(Hours, times, times).filter(lambda hours: hours.start != hours.end)
usable = quiets.filter(lambda quiet: Timetable(ZoneInfo("UTC"), quiet).is_usable())
days = st.sets(st.integers(0, 6), min_size=1).map(frozenset) | st.just(EVERY_DAY)
windows = st.lists(st.builds(Hours, times, times, days), min_size=1, max_size=3).map(tuple)


@st.composite
def nights(draw):
    """A zone, and a moment in the two days around one of its changes, or anywhere."""
    name = draw(st.sampled_from(ZONES))
    some = changes(name)
    middle = draw(st.sampled_from(some)) if some else START + draw(st.integers(0, 800)) * WEEK
    return ZoneInfo(name), middle + draw(st.integers(-36 * 60, 36 * 60)) * MINUTE


def check(table: Timetable, moment: datetime, until: datetime) -> None:
    assert until >= moment
    assert table.find_opening(until, moment + SEARCH_PERIOD) == until, "what was held is let through"
    if until < moment + SEARCH_PERIOD:
        assert is_open(table, until)
    else:
        assert table.quiet is None or not within(table.quiet, until, table.zone)
    # It was nowhere open before, unless in an hour that came twice. Every opening begins on a minute.
    step = max(MINUTE, (until - moment) / 150)
    asked = moment
    while asked < min(until, moment + SEARCH_PERIOD):
        assert not is_open(table, asked) or comes_twice(asked, table.zone), asked
        asked += step


@settings(max_examples=400, deadline=None)
@given(nights(), quiets)
def test_quiet_hours_end_at_their_hour(night, quiet):
    zone, moment = night
    table = Timetable(zone, quiet)
    until = table.find_opening(moment, moment + SEARCH_PERIOD)
    check(table, moment, until)
    if until > moment:
        at, before = wall(until, zone), wall(until - SECOND, zone)
        is_jumped_over = before.time() < quiet.end < at.time() or before.time() > at.time() != quiet.end
        assert at.time() == quiet.end or (is_jumped_over and until in changes(zone.key))
        # One short opening of a day may be jumped over.
        assert until - moment <= timedelta(days=2) + MOST


@settings(max_examples=300, deadline=None)
@given(nights(), st.none() | quiets, windows)
def test_windows_and_quiet_hours_are_both_kept(night, quiet, windows):
    zone, moment = night
    table = Timetable(zone, quiet, windows)
    until = table.find_opening(moment, moment + SEARCH_PERIOD)
    check(table, moment, until)
    assert until - moment <= SEARCH_PERIOD + timedelta(days=1) + MOST


def test_the_night_is_kept_through_every_change_of_every_zone():
    """Exhaustive: each zone, each change from 2020 to 2035, asked in the evening before, in the night and after."""
    assert len(distinct_changes()) > 1000
    for zone, change in distinct_changes():
        for hours in (-5, 0, 1):
            night_is_kept(zone, change + timedelta(hours=hours))


@cache
def distinct_changes() -> list[tuple[ZoneInfo, datetime]]:
    """Each change of each zone, leaving out other names of the same clocks; and any moment where nothing changes."""
    found = {}
    for name in ZONES:
        zone = ZoneInfo(name)
        for change in changes(name) or [datetime(2026, 3, 29, 1, tzinfo=UTC)]:
            found.setdefault((change, offset(change - SECOND, zone), offset(change, zone)), (zone, change))
    return list(found.values())


def test_hours_that_begin_or_end_while_clocks_are_changed_are_kept():
    """Exhaustive: each change, with hours that begin, or end, within what comes twice or is jumped over."""
    for zone, change in distinct_changes():
        tables = [
            *(Timetable(zone, quiet=hours) for hours in hours_at(zone, change)),
            *(Timetable(zone, windows=(hours,)) for hours in hours_at(zone, change)),
        ]
        for table, minutes in product(tables, (-90, -45, -15, 15, 45, 90)):
            hours_are_kept(table, change, change + minutes * MINUTE)


def hours_at(zone: ZoneInfo, change: datetime) -> list[Hours]:
    """Such that begin within what is changed, that end in it, and that do both."""
    low, high = sorted([wall(change - SECOND, zone) + SECOND, wall(change, zone)])
    if low == high:
        high += timedelta(hours=1)
    early, middle, late = ((low + (high - low) * part / 4).time() for part in (1, 2, 3))
    hours = timedelta(hours=5)
    return [Hours(middle, (low + hours).time()), Hours((low - hours).time(), middle), Hours(early, late)]


def hours_are_kept(table: Timetable, change: datetime, moment: datetime) -> None:
    until = table.find_opening(moment, moment + SEARCH_PERIOD)
    told = table, moment, until
    assert moment <= until <= moment + timedelta(days=2 if is_jumped_over(table, change) else 1) + MOST, told
    assert is_open(table, until), told
    # Every quarter of an hour around the change, and at last.
    quarters = (moment + number * 15 * MINUTE for number in range(30))
    for asked in (*quarters, until - SECOND):
        if moment <= asked < until:
            assert not is_open(table, asked) or comes_twice(asked, table.zone), (*told, asked)


def is_jumped_over(table: Timetable, change: datetime) -> bool:
    """A window that does not come on this day."""
    is_forward = offset(change - SECOND, table.zone) < offset(change, table.zone)
    return is_forward and any(hours.start < hours.end for hours in table.windows)


def night_is_kept(zone: ZoneInfo, moment: datetime) -> None:
    for quiet in (Hours(time(22), time(7)), around(zone, moment)):
        until = Timetable(zone, quiet).find_opening(moment, moment + SEARCH_PERIOD)
        assert not within(quiet, until, zone), (zone.key, moment)
        assert until - moment <= timedelta(days=1) + MOST, (zone.key, moment)
        assert until == moment or wall(until, zone).time() == quiet.end or until in changes(zone.key)


def around(zone: ZoneInfo, moment: datetime) -> Hours:
    """Half an hour, in the middle of the hour of this moment: often one that comes twice, or not at all."""
    hour = wall(moment, zone).hour
    return Hours(time(hour, 15), time(hour, 45))


@settings(max_examples=150, deadline=None)
@given(nights(), usable, st.none() | windows, st.lists(st.integers(-2000, 90_000), min_size=1, max_size=5))
def test_through_the_gate_it_is_sent_once_and_never_too_early(night, quiet, windows, lateness):
    """Workers come by when they do, by clocks that are up to two seconds slow. (Milliseconds after the time set.)"""
    zone, moment = night
    chosen = UserSettings(
        time_zone=zone.key, quiet_from=quiet.start, quiet_until=quiet.end, delivery_windows=written(windows)
    )
    now, asked, lateness = moment, 0, [*lateness, 0]
    while (answer := asks(chosen, now, moment)) != Deliver():
        now, asked = answer.until + timedelta(milliseconds=lateness[asked % len(lateness)]), asked + 1
        now = max(now, moment)
        assert asked < 100, "it is held for ever"
    assert not within(quiet, now, zone)
    assert now - moment <= SEARCH_PERIOD + timedelta(days=2)


def asks(chosen: UserSettings, now: datetime, wanted_at: datetime):
    person = Person("u:1", USER, is_member=True, settings=chosen)
    return quiet_hours(Facts(EVENT, "email", "email", person, now=now, wanted_at=wanted_at))


def written(windows: tuple[Hours, ...] | None) -> dict:
    """Windows as a user's settings hold them."""
    found = [
        [f"{hours.start:%H:%M}", f"{hours.end:%H:%M}", [DAYS[day] for day in sorted(hours.days)]]
        for hours in windows or ()
    ]
    assert parse_windows(found) == (windows or ())
    return {"email": found}

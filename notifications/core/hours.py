"""Local times: time zones by name, the instants of local times, and hours that recur each day or week.

When clocks change, a local time occurs twice or not at all. :func:`first_instant` and :func:`last_instant` decide which
instant it means.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from math import ceil, floor
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils import timezone

from notifications import conf

logger = logging.getLogger("notifications.zones")

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY = frozenset(range(7))
# Within this period every weekly window begins, even if the clocks are set back.
SEARCH_PERIOD = timedelta(days=8)
# A worker that cron starts runs every few minutes.
MIN_OPEN_TIME = timedelta(minutes=15)
# Offsets in days. They include hours that began yesterday, even if midnight occurs twice.
NEARBY_DAYS = range(-2, 2)

# The recipients of one send() share a few time zones and hours, so the same instants are computed often.
cached = lru_cache(maxsize=10_000)


def get_zone(name: str) -> ZoneInfo:
    """Return the time zone of this name, or the site's if the name is empty or unknown.

    An unknown name in a user's settings or a rota is logged, and stops no notification.
    """
    site = timezone.get_default_timezone_name()
    try:
        return ZoneInfo(name or site)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        logger.warning("The time zone %r in a user's settings or a rota is unknown, so %s is used.", name, site)
        return ZoneInfo(site)


@cached
def first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant, in UTC, at which the clocks show the naive time ``wall`` or have skipped it."""
    first, second = _get_both_instants(wall, zone)
    return _find_clock_change(second, first, zone) if first > second else first


@cached
def last_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant, in UTC, from which the clocks never again show a time before the naive time ``wall``."""
    first, second = _get_both_instants(wall, zone)
    if first >= second:
        return _find_clock_change(second, first, zone) if first > second else first
    just_before = (second - datetime.resolution).astimezone(zone).replace(tzinfo=None)
    # If the clocks are set back exactly to this time, they show nothing earlier after its first occurrence.
    return second if just_before < wall else first


def _get_both_instants(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the instants by the UTC offsets before and after a change of the clocks."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


def _find_clock_change(earlier: datetime, later: datetime, zone: ZoneInfo) -> datetime:
    """Return the second at which the clocks are set forward."""
    low, high = floor(earlier.timestamp()), ceil(later.timestamp())
    before = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


@dataclass(frozen=True, slots=True)
class Hours:
    """The hours from ``start`` until ``end`` on some days of the week.

    If ``end`` is not later than ``start``, they end on the next day: 22:00 to 07:00, or 00:00 to 00:00.

    :param days: the days of the week on which the hours begin; Monday is 0.
    """

    start: time
    end: time
    days: frozenset[int] = EVERY_DAY

    def __str__(self) -> str:
        days = " ".join(DAYS[day] for day in sorted(self.days)) + " " if self.days != EVERY_DAY else ""
        return f"{days}{self.start:%H:%M}–{self.end:%H:%M}"

    def list_spans(
        self, moment: datetime, zone: ZoneInfo, days: range = NEARBY_DAYS
    ) -> Iterator[tuple[datetime, datetime]]:
        """Yield the start and end in local time for each of the days around a moment."""
        today = moment.astimezone(zone).date()
        for day in (today + timedelta(days=number) for number in days):
            if day.weekday() in self.days:
                yield datetime.combine(day, self.start), datetime.combine(self._last_day(day), self.end)

    def _last_day(self, day: date) -> date:
        return day if self.start < self.end else day + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Timetable:
    """The times at which somebody may be reached: in one of the windows, if there are any, and outside the quiet hours.

    When clocks are set back, quiet hours last from their first start to their last end, and a window lasts from its
    last start to its first end. So nothing is sent at a local time that is quiet.
    """

    zone: ZoneInfo
    quiet: Hours | None = None
    windows: tuple[Hours, ...] = ()

    def find_opening(self, moment: datetime, deadline: datetime) -> datetime:
        """Return the first instant from ``moment`` on that is open. Windows are ignored from ``deadline`` on."""
        while (later := self._wait_for_window(self.skip_quiet_hours(moment), deadline)) != moment:
            moment = later
        return moment

    def skip_quiet_hours(self, moment: datetime) -> datetime:
        """Return the end of the quiet hours, or ``moment`` if it is outside of them."""
        for start, end in self.quiet.list_spans(moment, self.zone) if self.quiet else ():
            until = last_instant(end, self.zone)
            if first_instant(start, self.zone) <= moment < until:
                return until
        return moment

    def _wait_for_window(self, moment: datetime, deadline: datetime) -> datetime:
        if not self.windows or moment >= deadline:
            return moment
        return min(self.find_next_window(moment), deadline)

    def find_next_window(self, moment: datetime) -> datetime:
        """Return ``moment`` if it is in a window, otherwise the start of the next window.

        If there is no next window, the result is the latest possible time.
        """
        for days in (NEARBY_DAYS, range(NEARBY_DAYS.stop, SEARCH_PERIOD.days + 1)):
            if openings := [max(start, moment) for start, end in self._list_openings(moment, days) if end > moment]:
                return min(openings)
        return datetime.max.replace(tzinfo=UTC)

    def _list_openings(self, moment: datetime, days: range) -> Iterator[tuple[datetime, datetime]]:
        for window in self.windows:
            for begin, end in window.list_spans(moment, self.zone, days):
                start, until = last_instant(begin, self.zone), first_instant(end, self.zone)
                # A window within the repeated hour is open the first time.
                yield (start if start < until else first_instant(begin, self.zone)), until

    def is_usable(self) -> bool:
        """Return whether it is open in an ordinary week for at least the interval between two runs of a worker."""
        moment = monday = datetime(2024, 1, 1, tzinfo=UTC)
        deadline = monday + SEARCH_PERIOD
        while (moment := self.find_opening(moment, deadline)) < deadline:
            last = moment + MIN_OPEN_TIME - timedelta.resolution
            if self.find_opening(last, deadline) == last:
                return True
            moment += MIN_OPEN_TIME
        return False


def parse_windows(written: Any) -> tuple[Hours, ...]:
    """Return the windows from their form in settings: ``[["08:00", "12:00"], ["14:00", "18:00", ["mon", "tue"]]]``.

    :raises TypeError, ValueError: if they have another form.
    """
    if not isinstance(written, list | tuple):
        raise TypeError(f"{written!r} is not a list of windows.")
    return tuple(_parse_window(item) for item in written)


def _parse_window(item: Any) -> Hours:
    if not isinstance(item, list | tuple) or len(item) not in (2, 3):
        raise ValueError(f"{item!r} is not a window.")
    return Hours(
        parse_time_of_day(item[0]), parse_time_of_day(item[1]), _parse_days(item[2]) if len(item) == 3 else EVERY_DAY
    )


def _parse_days(names: Any) -> frozenset[int]:
    if not isinstance(names, list | tuple) or not names or not all(name in DAYS for name in names):
        raise ValueError(f"{names!r} is not a list of days.")
    return frozenset(DAYS.index(name) for name in names)


def parse_time_of_day(text: Any) -> time:
    """Return a text such as ``"08:00"`` as a time of day; ``"24:00"`` is midnight.

    :raises TypeError, ValueError: if it is not a time of day.
    """
    found = time.fromisoformat("00:00" if text == "24:00" else text)
    if found.tzinfo is not None:
        raise ValueError(f"{text!r} has a time zone.")
    return found


def get_site_quiet_hours() -> Hours | None:
    """Return the quiet hours of users who have not set their own, or None if the site sets none."""
    if not conf.current().quiet_hours:
        return None
    start, end = map(parse_time_of_day, conf.current().quiet_hours)
    return Hours(start, end)


def find_next_hour(moment: datetime, hour: int, weekday: int | None, zone: ZoneInfo) -> datetime:
    """Return the first instant from ``moment`` on at which an hour begins in a time zone.

    :param hour: the hour, from 0 to 23.
    :param weekday: the day of the week, Monday being 0; None for any day.
    """
    today = moment.astimezone(zone).date()
    # Two weeks, because a place can skip a day when it changes its time zone.
    for day in (today + timedelta(days=number) for number in range(15)):
        at = first_instant(datetime.combine(day, time(hour)), zone)
        if at >= moment and weekday in (None, day.weekday()):
            return at
    raise ValueError(f"{hour} is not an hour, or {weekday} is not a day of the week.")


def list_started_hours(now: datetime, zone: ZoneInfo) -> Iterator[tuple[datetime, int, int]]:
    """Yield the hours that began within the last 60 minutes, each with its instant, hour and day of the week.

    There are two if the clocks have skipped one of them.
    """
    today = now.astimezone(zone).date()
    for day in (today - timedelta(days=1), today):
        for hour in range(24):
            since = first_instant(datetime.combine(day, time(hour)), zone)
            if since <= now < since + timedelta(hours=1):
                yield since, hour, day.weekday()

"""The time that a report is about, and its steps: hours of a day, or days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property
from typing import Any

from django.utils.formats import date_format, get_format
from django.utils.translation import gettext_lazy as _

from notifications.monitoring.charts import Tick, choose_ticks

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
HOURS_PER_TICK = 6
DAYS = {"24h": 1, "7d": 7, "30d": 30, "90d": 90}
CHOICES = [("24h", _("24 hours")), ("7d", _("7 days")), ("30d", _("30 days")), ("90d", _("90 days"))]


@dataclass(frozen=True)
class Window:
    """The time from ``since`` to ``until``, both aware and in UTC. ``until`` is the end of the current hour.

    :param zone: the time zone of the reader, whose days and hours count.
    """

    key: str
    since: datetime
    until: datetime
    zone: tzinfo

    @property
    def is_hourly(self) -> bool:
        """Whether a step is an hour; otherwise it is a day."""
        return self.key == "24h"

    @cached_property
    def steps(self) -> Sequence[Any]:
        """The hours in the time zone of the reader, or the days."""
        if self.is_hourly:
            return [(self.since + number * HOUR).astimezone(self.zone) for number in range(24)]
        return [self.first_day + timedelta(days=number) for number in range(DAYS[self.key])]

    @property
    def first_day(self) -> date:
        return self.since.astimezone(self.zone).date()

    @property
    def last_day(self) -> date:
        return (self.until - HOUR).astimezone(self.zone).date()

    def find_step(self, at: datetime) -> int | None:
        """Return the index of the step that a time belongs to; None if it is outside the window."""
        if not self.since <= at < self.until:
            return None
        if self.is_hourly:
            return (at - self.since) // HOUR
        return min((at.astimezone(self.zone).date() - self.first_day).days, len(self.steps) - 1)

    @property
    def ticks(self) -> list[Tick]:
        """The labels of the x axis in the active language: every sixth hour, or some of the days."""
        if self.is_hourly:
            return choose_hours(self.steps, HOUR)
        # The short name of the month, in the order of the language.
        pattern = get_format("MONTH_DAY_FORMAT").replace("F", "M")
        return choose_ticks([date_format(step, pattern) for step in self.steps])


def choose_hours(times: Sequence[datetime], step: timedelta) -> list[Tick]:
    """Return ticks for the first of the times in every sixth hour of the day.

    If they are not full hours, their labels are longer, so there is one in every twelfth hour.

    :param step: the distance between two of the times.
    """
    minutes = step // MINUTE
    return [
        Tick(index, date_format(time, "TIME_FORMAT"))
        for index, time in enumerate(times)
        # In a time zone such as India's, the hours of UTC begin at half past. These labels need more room.
        if time.hour % (2 * HOURS_PER_TICK if time.minute else HOURS_PER_TICK) == 0 and time.minute < minutes
    ]


def make_window(key: str, now: datetime, zone: tzinfo) -> Window:
    """Return the last 24 hours up to the end of the current one, or today and the days before it.

    :param key: one of :data:`CHOICES`.
    """
    until = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + HOUR
    if key == "24h":
        return Window(key, until - 24 * HOUR, until, zone)
    first = now.astimezone(zone).date() - timedelta(days=DAYS[key] - 1)
    return Window(key, datetime.combine(first, time.min, zone).astimezone(UTC), until, zone)

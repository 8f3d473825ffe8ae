"""Who is on call: the pure part of rotas, without tables.

A rota has layers. The members of a layer take turns, which change at a wall-clock time. The first layer that has
somebody at an instant decides; a member who has time off, and the times outside a layer's hours, leave it to the
layers below. An override replaces all layers. If several overrides cover an instant, the one that was made last
applies.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from notifications.core.hours import Hours, first_instant

Member = int
"""The primary key of a user."""
MARGIN = timedelta(days=2)
"""Hours that began so long before a period can reach into it, whatever the clocks do."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Members who take turns.

    :param members: their primary keys, in the order of their turns.
    :param starts_on: the day, in the zone of the rota, on which the turn of the first member begins.
    :param hand_over: the time of day at which a turn begins. If the clocks skip it, the turn begins at the change.
    :param turn_days: the length of a turn in days.
    :param hours: the hours in which the layer applies; None for all.
    """

    members: tuple[Member, ...]
    starts_on: date
    hand_over: time
    turn_days: int = 7
    hours: Hours | None = None

    def find_member(self, moment: datetime, zone: ZoneInfo) -> Member | None:
        """Return the member whose turn it is at an instant, or None if the layer does not apply then."""
        if not self.members or not self._applies(moment, zone):
            return None
        day = moment.astimezone(zone).date()
        # The turn of a day begins at the hand-over, so before it the turn of the day before lasts. Two days later
        # covers zones that skip a day.
        for days in range(2, -4, -1):
            begun = day + timedelta(days=days)
            if first_instant(datetime.combine(begun, self.hand_over), zone) <= moment:
                turn = (begun - self.starts_on).days // self.turn_days
                return None if turn < 0 else self.members[turn % len(self.members)]
        raise AssertionError(f"No day near {moment} has begun.")

    def list_boundaries(self, start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Yield each instant of a period at which the member can change, and some others."""
        first = (start - MARGIN).astimezone(zone).date()
        for number in range((end - start + 2 * MARGIN).days + 1):
            day = first + timedelta(days=number)
            yield first_instant(datetime.combine(day, self.hand_over), zone)
            if self.hours:
                for begin, until in self.hours.list_spans(datetime.combine(day, time(12), zone), zone, range(1)):
                    yield first_instant(begin, zone)
                    yield first_instant(until, zone)

    def _applies(self, moment: datetime, zone: ZoneInfo) -> bool:
        return self.hours is None or any(
            first_instant(start, zone) <= moment < first_instant(end, zone)
            for start, end in self.hours.list_spans(moment, zone)
        )


@dataclass(frozen=True, slots=True)
class Absence:
    """A period in which a member takes no turns, from ``start`` until just before ``end``."""

    member: Member
    start: datetime
    end: datetime

    def covers(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


@dataclass(frozen=True, slots=True)
class Override(Absence):
    """A period in which a member is on call in place of everybody else, with or without time off."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A period in which one member is on call, or nobody: then ``member`` is None.

    :param source: ``"override"``, ``"layer"`` or ``"gap"``.
    """

    start: datetime
    end: datetime
    member: Member | None
    source: str


@dataclass(frozen=True)
class Schedule:
    """A rota with everything that decides who is on call.

    :param layers: the first has priority.
    :param overrides: in the order in which they were made.
    """

    zone: ZoneInfo
    layers: Sequence[Layer] = ()
    overrides: Sequence[Override] = ()
    time_off: Sequence[Absence] = ()

    def find_holder(self, moment: datetime) -> Member | None:
        """Return who is on call at an instant, or None if nobody is."""
        return self._decide(moment)[0]

    def list_shifts(self, start: datetime, end: datetime) -> list[Shift]:
        """Return the shifts of a period without gaps between them: times when nobody is on call are shifts too."""
        shifts: list[Shift] = []
        near = self._limit(start, end)
        for begin, until in pairwise(near._list_boundaries(start, end)):
            member, source = near._decide(begin)
            if shifts and (shifts[-1].member, shifts[-1].source) == (member, source):
                begin = shifts.pop().start  # noqa: PLW2901 - the same shift goes on
            shifts.append(Shift(begin, until, member, source))
        return shifts

    def list_gaps(self, start: datetime, end: datetime) -> list[Shift]:
        """Return the parts of a period in which nobody is on call."""
        return [shift for shift in self.list_shifts(start, end) if shift.member is None]

    def find_next(self, moment: datetime, within: timedelta = timedelta(days=60)) -> Shift | None:
        """Return the next shift of somebody else than who is on call now, or None if there is none in that time."""
        shifts = self.list_shifts(moment, moment + within)
        return next((one for one in shifts[1:] if one.member not in (None, shifts[0].member)), None)

    def _limit(self, start: datetime, end: datetime) -> "Schedule":
        """Return the schedule without the overrides and the time off of other periods, which may be thousands."""
        overrides = [one for one in self.overrides if one.start < end and start < one.end]
        time_off = [one for one in self.time_off if one.start < end and start < one.end]
        return replace(self, overrides=overrides, time_off=time_off)

    def _decide(self, moment: datetime) -> tuple[Member | None, str]:
        for override in reversed(self.overrides):
            if override.covers(moment):
                return override.member, "override"
        away = {one.member for one in self.time_off if one.covers(moment)}
        for layer in self.layers:
            member = layer.find_member(moment, self.zone)
            if member is not None and member not in away:
                return member, "layer"
        return None, "gap"

    def _list_boundaries(self, start: datetime, end: datetime) -> list[datetime]:
        instants = {start, end}
        for layer in self.layers:
            instants.update(layer.list_boundaries(start, end, self.zone))
        for absence in (*self.overrides, *self.time_off):
            instants.update((absence.start, absence.end))
        return sorted(instant for instant in instants if start <= instant <= end)

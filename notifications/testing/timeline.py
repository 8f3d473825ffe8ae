"""A simulator: it replays a day or a year through the real ``send()`` and the real worker, in a test's database, with a
clock that jumps from one event to the next."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django.test import override_settings
from django.utils import timezone

from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.workers.periodic_tasks import PERIODIC_TASKS
from notifications.events import key_of
from notifications.manager import NotificationManager
from notifications.models import NotificationLog
from notifications.testing.arrivals import Arrival, RecipientNames, format_table, list_arrivals
from notifications.testing.capture import Captured, capture_notifications, check_names, get_recipient_key
from notifications.testing.moments import (
    find_due_times,
    find_probe_times,
    find_section_times,
    is_anything_ready,
    repeat,
    to_utc,
)
from notifications.testing.outages import Outage
from notifications.testing.recording import SimulationStore, forbid_settings_override, make_simulated_settings
from notifications.testing.schedule import Call, Schedule
from notifications.testing.travel import Travel, travelling

REFRESH_INTERVAL = timedelta(seconds=1)
"""A worker's information about pauses and providers can be this old, so the simulation stops again after it."""


class Timeline:
    """A simulation; see :func:`simulated`. Times are aware datetimes, or strings in the simulation's time zone."""

    def __init__(self, travel: Travel, zone: ZoneInfo, store: SimulationStore, captured: Captured) -> None:
        self.zone = zone
        self.captured = captured
        self._clock = travel
        self._store = store
        self._schedule = Schedule()
        self._dispatcher = Dispatcher()
        self._is_busy = False

    @property
    def now(self) -> datetime:
        """The simulated time, in the simulation's time zone."""
        return self._clock.time.astimezone(self.zone)

    def at(self, when: datetime | str, call: Call) -> None:
        """Schedule a call.

        :raises ValueError: if the time is in the past.
        """
        time = to_utc(when, self.zone)
        if time < self._clock.time:
            raise ValueError(f"{when} is in the past. The simulated time is {self.now}.")
        self._schedule.add(time, call)

    def send(self, when: datetime | str, *args: Any, **kwargs: Any) -> None:
        """Schedule a ``NotificationManager.send()`` with these arguments."""
        self.at(when, partial(NotificationManager.send, *args, **kwargs))

    def every(self, step: timedelta, call: Call, *, first: datetime | str, until: datetime | str) -> None:
        """Schedule a repeated call before ``until``. Steps of whole days keep the local time."""
        for time in repeat(to_utc(first, self.zone), step, to_utc(until, self.zone), self.zone):
            self.at(time, call)

    def outage(self, channel: str, since: datetime | str, until: datetime | str, provider: str = "") -> None:
        """Make every attempt on a channel, or with one of its providers, fail temporarily in a period.

        :raises ValueError: if there is no such channel or provider, Klaxon stores the channel itself, or the period is
            empty.
        """
        span = to_utc(since, self.zone), to_utc(until, self.zone)
        self._store.outages.append(Outage(key_of(channel), *span, provider))

    def run(self, until: datetime | str | None = None) -> "Timeline":
        """Run until this time, or until nothing is left to do. It never sleeps.

        If a scheduled call raises an exception, this method raises it.
        """
        end = None if until is None else to_utc(until, self.zone)
        self._run_step()
        while (time := self._find_next_time(end)) is not None and (end is None or time <= end):
            self._clock.to(time)
            self._run_step()
        if end is not None and end > self._clock.time:
            self._clock.to(end)
        return self

    @property
    def arrivals(self) -> list[Arrival]:
        """The arrivals since the start of the simulation, in chronological order."""
        return list_arrivals(self.captured.after, self._store.texts, self.zone)

    def arrived(self, event: Any = None, *, to: Any = None, channel: Any = None) -> list[Arrival]:
        """Return the arrivals of an event, to a user or ``Address``, on a channel.

        :raises UnknownEvent: if the event is not registered.
        :raises ValueError: if the site does not have the channel.
        """
        check_names(event, channel)
        given = {"event": event, "channel": channel}
        conditions = {name: key_of(value) for name, value in given.items() if value is not None}
        if to is not None:
            conditions["recipient_key"] = get_recipient_key(to)
        return [
            arrival
            for arrival in self.arrivals
            if all(getattr(arrival, name) == value for name, value in conditions.items())
        ]

    def name_of(self, row: NotificationLog) -> Any:
        """Return the recipient of a log row: the user, or a bare address as a string."""
        return RecipientNames(self.captured.after).get_name(row)

    def assert_arrived(self, event: Any, *, to: Any, at: datetime | str, channel: Any = None) -> None:
        """Assert that there is exactly one such arrival, at this time to the second.

        :raises AssertionError: otherwise. The message lists everything that happened.
        """
        time = to_utc(at, self.zone).replace(microsecond=0)
        if [arrival.at.replace(microsecond=0) for arrival in self.arrived(event, to=to, channel=channel)] != [time]:
            raise AssertionError(f"Expected that {key_of(event)!r} reaches {to} once, at {at}.\n{self}")

    def __str__(self) -> str:
        return format_table(self.arrivals, self.captured.after, self.zone) or "Nothing happened."

    def close(self) -> None:
        self._dispatcher.close()

    def _run_step(self) -> None:
        """Make the calls that are scheduled for this time, and then run the worker and its periodic tasks."""
        call_count = self._schedule.make_calls(self._clock.time)
        self._run_periodic_tasks()
        self._is_busy = bool(self._dispatcher.run_until_idle() or call_count)

    def _run_periodic_tasks(self) -> None:
        """Run tasks such as making digests. A worker runs them every few seconds; here they are never late, and errors
        are raised."""
        for task in list(PERIODIC_TASKS.values()):
            if task.is_simulated:
                task.run(self._clock.time, lambda: False)

    def _find_next_time(self, end: datetime | None) -> datetime | None:
        """Return the next time at which something can happen.

        Digests of sections recur forever, so they count only if there is an end or something else to do.
        """
        now = self._clock.time
        times = [*find_due_times(now), *self._schedule.next_times]
        if is_anything_ready():
            times += [*find_probe_times(now), *([now + REFRESH_INTERVAL] if self._is_busy else [])]
        if times or end is not None:
            times += find_section_times(now)
        return min(times, default=None)


@contextmanager
def simulated(start: datetime | str, time_zone: str = "") -> Iterator[Timeline]:
    """Return a timeline that starts at ``start``, in this time zone or the site's.

    Within the block, nothing leaves the process. Change settings before the block.

    :raises RuntimeError: in another simulation, or if ``NOTIFICATIONS`` is overridden within the block.
    :raises TypeError: if ``start`` is not a time.
    """
    zone, store = ZoneInfo(time_zone or timezone.get_default_timezone_name()), SimulationStore()
    with (
        travelling(to_utc(start, zone)) as travel,
        override_settings(NOTIFICATIONS=make_simulated_settings(store)),
        forbid_settings_override(),
        capture_notifications() as captured,
    ):
        timeline = Timeline(travel, zone, store, captured)
        try:
            yield timeline
        finally:
            timeline.close()

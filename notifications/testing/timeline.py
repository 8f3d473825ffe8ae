"""A simulator: a day, or a year, of what happens goes through the real ``send()`` and the real worker, in a test's
database and by a clock that jumps from one thing to the next."""

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
from notifications.testing.arrivals import Arrival, Names, arrivals, table
from notifications.testing.capture import Captured, capture_notifications, check_known, key_of_recipient
from notifications.testing.moments import (
    due_moments,
    instant,
    is_anything_ready,
    probe_moments,
    repeated,
    summary_moments,
)
from notifications.testing.outages import Outage
from notifications.testing.plan import Call, Plan
from notifications.testing.recording import Post, recorded_settings, settings_kept
from notifications.testing.travel import Travel, travelling

ANOTHER_LOOK = timedelta(seconds=1)
"""What a worker knows of pauses and providers is up to a second old, so it looks again after that."""


class Timeline:
    """Made by :func:`simulated`. Times are given with a time zone, or as text on the clocks of the simulation's."""

    def __init__(self, travel: Travel, zone: ZoneInfo, post: Post, captured: Captured) -> None:
        self.zone = zone
        self.captured = captured
        self._clock = travel
        self._post = post
        self._plan = Plan()
        self._dispatcher = Dispatcher()
        self._is_busy = False

    @property
    def now(self) -> datetime:
        """The simulated time, in the simulation's time zone."""
        return self._clock.time.astimezone(self.zone)

    def at(self, when: datetime | str, call: Call) -> None:
        """Plan a call.

        :raises ValueError: if that time is over.
        """
        moment = instant(when, self.zone)
        if moment < self._clock.time:
            raise ValueError(f"{when} is over; by the simulated clock it is {self.now}.")
        self._plan.add(moment, call)

    def send(self, when: datetime | str, *given: Any, **options: Any) -> None:
        """Plan a ``NotificationManager.send()`` with these arguments."""
        self.at(when, partial(NotificationManager.send, *given, **options))

    def every(self, step: timedelta, call: Call, *, first: datetime | str, until: datetime | str) -> None:
        """Plan a call again and again, before ``until``. Whole days keep their time on the clocks of the time zone."""
        for moment in repeated(instant(first, self.zone), step, instant(until, self.zone), self.zone):
            self.at(moment, call)

    def outage(self, channel: str, since: datetime | str, until: datetime | str, provider: str = "") -> None:
        """Let a channel, or one of its providers, answer nobody for a while: each try fails, and may be repeated.

        :raises ValueError: if there is no such channel or provider, or Klaxon stores the channel itself, or at no time.
        """
        span = instant(since, self.zone), instant(until, self.zone)
        self._post.outages.append(Outage(key_of(channel), *span, provider))

    def run(self, until: datetime | str | None = None) -> "Timeline":
        """Go on until this time, or until nothing is left that would happen by itself. It never sleeps.

        What a planned call raises comes out here.
        """
        end = None if until is None else instant(until, self.zone)
        self._happen()
        while (moment := self._next(end)) is not None and (end is None or moment <= end):
            self._clock.to(moment)
            self._happen()
        if end is not None and end > self._clock.time:
            self._clock.to(end)
        return self

    @property
    def arrivals(self) -> list[Arrival]:
        """What arrived since the simulation began, in the order of time."""
        return arrivals(self.captured.after, self._post.texts, self.zone)

    def arrived(self, event: Any = None, *, to: Any = None, channel: Any = None) -> list[Arrival]:
        """Some of the arrivals: of one event, to one user or ``Address``, on one channel.

        :raises UnknownEvent: if nobody registered the event.
        :raises ValueError: if the site has no such channel.
        """
        check_known(event, channel)
        wanted = {name: key_of(word) for name, word in {"event": event, "channel": channel}.items() if word is not None}
        if to is not None:
            wanted["recipient_key"] = key_of_recipient(to)
        return [one for one in self.arrivals if all(getattr(one, name) == value for name, value in wanted.items())]

    def name_of(self, row: NotificationLog) -> Any:
        """Whom a row of the log is about: the user, or a bare address as a text."""
        return Names(self.captured.after).of(row)

    def assert_arrived(self, event: Any, *, to: Any, at: datetime | str, channel: Any = None) -> None:
        """Exactly one arrival, at this time to the second.

        :raises AssertionError: telling all that happened.
        """
        moment = instant(at, self.zone).replace(microsecond=0)
        if [one.at.replace(microsecond=0) for one in self.arrived(event, to=to, channel=channel)] != [moment]:
            raise AssertionError(f"{key_of(event)!r} was to reach {to} once, at {at}.\n{self}")

    def __str__(self) -> str:
        return table(self.arrivals, self.captured.after, self.zone) or "Nothing happened."

    def close(self) -> None:
        self._dispatcher.close()

    def _happen(self) -> None:
        """What is planned for this moment, and then the worker with its chores."""
        called = self._plan.make_calls(self._clock.time)
        self._run_periodic_tasks()
        self._is_busy = bool(self._dispatcher.run_until_idle() or called)

    def _run_periodic_tasks(self) -> None:
        """Digests and the like. A worker does them every few seconds; here they are never late, and errors come out."""
        for task in list(PERIODIC_TASKS.values()):
            task.run(self._clock.time, lambda: False)

    def _next(self, end: datetime | None) -> datetime | None:
        """The next moment at which something can happen. What comes again for ever is waited for only until an end."""
        now = self._clock.time
        moments = [*due_moments(now), *self._plan.next_moments]
        if is_anything_ready():
            moments += [*probe_moments(now), *([now + ANOTHER_LOOK] if self._is_busy else [])]
        if moments or end is not None:
            moments += summary_moments(now)
        return min(moments, default=None)


@contextmanager
def simulated(start: datetime | str, time_zone: str = "") -> Iterator[Timeline]:
    """A timeline that begins at ``start``, in this time zone or the site's own.

    Within the block nothing leaves the process. Change settings before it, not in it.

    :raises RuntimeError: in another simulation; and, within the block, where ``NOTIFICATIONS`` is overridden.
    :raises TypeError: if ``start`` is no time.
    """
    zone, post = ZoneInfo(time_zone or timezone.get_default_timezone_name()), Post()
    with (
        travelling(instant(start, zone)) as travel,
        override_settings(NOTIFICATIONS=recorded_settings(post)),
        settings_kept(),
        capture_notifications() as captured,
    ):
        timeline = Timeline(travel, zone, post, captured)
        try:
            yield timeline
        finally:
            timeline.close()

"""Limit how many faults are announced while a node babbles, and summarise the others.

A faulty node can send thousands of different faults, and damaged frames can look like faults of any device. Each source
address may announce some faults in a minute, and each bus some more. Beyond the limit of its bus, a fault is still
announced if it is the first one of its source for some minutes, or if it was reported twice, which random frames do not
do. So real faults are announced during a flood too. The time is that of the frames.
"""

import json
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from notifications.can.faults import FaultKey

WINDOW_SECONDS = 60.0
MAX_PER_SOURCE = 20
MAX_PER_BUS = 60
MAX_CONFIRMED_PER_BUS = 240
"""The limit for faults that were reported twice, beyond the limit of their bus."""
FIRST_OF_SOURCE_SECONDS = 600.0
CONFIRMED_WITHIN_SECONDS = 15.0
OVER_AFTER_SECONDS = 60.0
SUMMARY_EVERY_SECONDS = 300.0
STILL_WITHIN_SECONDS = 5.0
MAX_SUSPECTS = 20_000
MAX_SUSPECTS_PER_SOURCE = 5_000
MAX_SOURCES = 4096
MAX_BUSES = 256
LISTED_SOURCES = 10

Source = tuple[str, int]


class Verdict(Enum):
    """What to do with a fault that a device reports and that is not open."""

    ANNOUNCE = "announce"
    HOLD = "hold"
    """It was reported twice. Open it, and announce it when there is room."""
    IGNORE = "ignore"
    """It was reported once. It is only remembered."""


@dataclass(frozen=True)
class FloodChange:
    """The summary of a flood: the faults that were reported on a bus and not announced.

    :param kind: ``flooded``.
    :param since: the begin of the time that the summary is about.
    :param at: its end, in UTC, from the timestamps of the frames.
    :param count: the number of faults that were not announced.
    :param sources: the source addresses with most of them, each with its number, the worst first.
    :param source_count: the number of all source addresses that they were reported from.
    :param standing: how many of them still stand. Those that were reported twice are announced later.
    :param is_over: whether the flood has ended. If there were summaries before, the last one can have the count 0.
    :param begun_at: the begin of the flood, which can have several summaries.
    """

    kind: str
    bus: str
    since: datetime
    at: datetime
    count: int
    sources: tuple[tuple[int, int], ...]
    source_count: int
    standing: int
    is_over: bool
    begun_at: datetime

    @property
    def severity(self) -> int:
        return 1

    @property
    def key(self) -> tuple[str, str]:
        return "flood", self.bus

    @property
    def correlation_id(self) -> str:
        """An id that is the same for all summaries of a flood."""
        return f"flood:{self.bus[-64:]}:{self.begun_at.timestamp():.0f}"

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        times = {name: getattr(self, name).isoformat() for name in ("since", "at", "begun_at")}
        return {**vars(self), **times, "sources": [list(pair) for pair in self.sources]}

    def as_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(self.as_dict())

    def __str__(self) -> str:
        listed = ", ".join(f"0x{address:02X} ({count})" for address, count in self.sources)
        others = self.source_count - len(self.sources)
        listed += f" and {others} others" if others else ""
        what = f"{self.count} faults were not announced, {self.standing} of them stand, reported by {listed}"
        end = "The flood is over" if self.is_over else "The flood goes on"
        return (
            f"{self.at:%Y-%m-%d %H:%M:%S} UTC {self.bus}: flood since {self.since:%Y-%m-%d %H:%M:%S}: "
            f"{what if self.count else 'all faults were announced'}. {end}."
        )


@dataclass(slots=True)
class Flood:
    """What was not announced on one bus since the last summary."""

    begun_at: float
    since: float
    last_at: float
    counts: Counter[int] = field(default_factory=Counter)

    def summarise(self, bus: str, now: float, standing: int, is_over: bool) -> FloodChange:
        times = (self.begun_at, self.since, now)
        begun_at, since, at = (datetime.fromtimestamp(timestamp, UTC) for timestamp in times)
        sources = tuple(self.counts.most_common(LISTED_SOURCES))
        total = self.counts.total()
        # A fault that an earlier summary has counted can still stand.
        return FloodChange(
            "flooded", bus, since, at, total, sources, len(self.counts), min(standing, total), is_over, begun_at
        )


class RecentTimes:
    """When something was announced for each source or bus, in the last minute and at last.

    :param limit: the maximum number of keys. Those that were not used for the longest time are forgotten.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: OrderedDict[Any, deque[float]] = OrderedDict()

    def count(self, key: Any, now: float) -> int:
        """Return how often :meth:`add` was called for a key in the last minute."""
        times = self._times.get(key)
        if not times:
            return 0
        since = now - WINDOW_SECONDS
        # The last one stays, for find_last().
        while len(times) > 1 and times[0] <= since:
            times.popleft()
        return len(times) if times[0] > since else 0

    def find_last(self, key: Any) -> float:
        """Return when :meth:`add` was last called for a key."""
        times = self._times.get(key)
        return times[-1] if times else float("-inf")

    def add(self, key: Any, now: float) -> None:
        self._times.setdefault(key, deque()).append(now)
        self._times.move_to_end(key)
        if len(self._times) > self._limit:
            self._times.popitem(last=False)

    def clear(self) -> None:
        self._times.clear()


class Suspects:
    """Faults that were reported and neither announced nor opened, each with the time of the last report.

    If there are too many, those of the source with the most of them are forgotten first.
    """

    def __init__(self, limit: int = MAX_SUSPECTS, limit_per_source: int = MAX_SUSPECTS_PER_SOURCE) -> None:
        self._limit = limit
        self._limit_per_source = limit_per_source
        self._by_source: dict[Source, OrderedDict[FaultKey, float]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def pop(self, source: Source, key: FaultKey) -> float | None:
        """Forget a fault, and return when it was last reported; None if it is unknown."""
        known = self._by_source.get(source)
        time = None if known is None else known.pop(key, None)
        if time is not None:
            self._count -= 1
            if not known:
                del self._by_source[source]
        return time

    def add(self, source: Source, key: FaultKey, now: float) -> None:
        known = self._by_source.setdefault(source, OrderedDict())
        known[key] = now
        self._count += 1
        if len(known) > self._limit_per_source:
            self._forget(source, 1)
        elif self._count > self._limit:
            worst = max(self._by_source, key=lambda one: len(self._by_source[one]))
            # Many at once, because it takes long to find the worst source.
            self._forget(worst, max(1, len(self._by_source[worst]) // 10))

    def count_standing(self, bus: str, since: float) -> int:
        """Return the number of faults on a bus that were reported since a time."""
        of_bus = [known for source, known in self._by_source.items() if source[0] == bus]
        return sum(time >= since for known in of_bus for time in known.values())

    def _forget(self, source: Source, count: int) -> None:
        known = self._by_source[source]
        for _ in range(count):
            known.popitem(last=False)
        self._count -= count
        if not known:
            del self._by_source[source]


class FloodGuard:
    """Decides which faults may be announced now, and counts the others for a summary."""

    def __init__(self) -> None:
        self.suspects = Suspects()
        self._sources = RecentTimes(MAX_SOURCES)
        self._buses = RecentTimes(MAX_BUSES)
        self._confirmed = RecentTimes(MAX_BUSES)
        self._floods: OrderedDict[str, Flood] = OrderedDict()

    @property
    def is_active(self) -> bool:
        """Whether there is a bus with faults that were not announced."""
        return bool(self._floods)

    def judge(self, key: FaultKey, now: float, may_hold: bool) -> Verdict:
        """Decide about a reported fault that is not open.

        :param may_hold: whether there is room for another open fault that is not announced.
        """
        source = key.device[:2]
        reported_at = self.suspects.pop(source, key) if self.suspects else None
        is_confirmed = reported_at is not None and now - reported_at <= CONFIRMED_WITHIN_SECONDS
        if self._is_allowed(source, now, is_confirmed):
            if reported_at is not None:
                self._uncount(source)
            return Verdict.ANNOUNCE
        if reported_at is None:
            self._count(source, now)
        if is_confirmed and may_hold:
            return Verdict.HOLD
        self.suspects.add(source, key, now)
        return Verdict.IGNORE

    def may_announce(self, source: Source, now: float) -> bool:
        """Return whether a fault that was held can be announced now. Then it is counted as announced."""
        if not self._is_allowed(source, now, is_confirmed=True):
            return False
        self._uncount(source)
        return True

    def summarise(self, now: float, count_held: Callable[[str], int], is_last: bool = False) -> list[FloodChange]:
        """Return the summaries that are due.

        :param count_held: returns how many faults of a bus are held and stand.
        :param is_last: whether nothing follows, so that all summaries are due.
        """
        changes = []
        for bus, flood in list(self._floods.items()):
            is_over = is_last or now - flood.last_at >= OVER_AFTER_SECONDS
            # If it has ended already, but not for long enough, one summary is enough.
            goes_on = now - flood.last_at < STILL_WITHIN_SECONDS and now - flood.since >= SUMMARY_EVERY_SECONDS
            if not (is_over or goes_on):
                continue
            del self._floods[bus]
            if flood.counts or (is_over and flood.since > flood.begun_at):
                standing = count_held(bus) + self.suspects.count_standing(bus, now - CONFIRMED_WITHIN_SECONDS)
                changes.append(flood.summarise(bus, now, standing, is_over))
            if not is_over:
                self._floods[bus] = Flood(flood.begun_at, now, flood.last_at)
        return changes

    def reset(self, now: float) -> None:
        """Forget all times, because the clock was set back."""
        for times in (self._sources, self._buses, self._confirmed):
            times.clear()
        self.suspects = Suspects()
        for flood in self._floods.values():
            flood.begun_at, flood.since = min(flood.begun_at, now), min(flood.since, now)
            flood.last_at = min(flood.last_at, now)

    def _is_allowed(self, source: Source, now: float, is_confirmed: bool) -> bool:
        bus = source[0]
        if self._sources.count(source, now) >= MAX_PER_SOURCE:
            return False
        if self._buses.count(bus, now) < MAX_PER_BUS:
            self._buses.add(bus, now)
        elif is_confirmed and self._confirmed.count(bus, now) < MAX_CONFIRMED_PER_BUS:
            self._confirmed.add(bus, now)
        elif self._sources.find_last(source) > now - FIRST_OF_SOURCE_SECONDS:
            return False
        self._sources.add(source, now)
        return True

    def _count(self, source: Source, now: float) -> None:
        bus, address = source
        flood = self._floods.setdefault(bus, Flood(now, now, now))
        flood.last_at = now
        flood.counts[address] += 1
        if len(self._floods) > MAX_BUSES:
            self._floods.popitem(last=False)

    def _uncount(self, source: Source) -> None:
        bus, address = source
        flood = self._floods.get(bus)
        if flood is not None and address in flood.counts:
            flood.counts[address] -= 1
            if not flood.counts[address]:
                del flood.counts[address]

"""Track faults: they are raised once, repeated and counted, and cleared.

A fault has ended if its device reports that it has no fault, or if the device is silent. Another fault does not end it,
because a device reports several faults in turn. A fault that has ended by a report and does not come back for some
seconds is cleared. If it comes back, it is flapping: that is announced now and then, and the fault must stay away for
longer and longer before it is cleared. The time is that of the frames, so a recording can be processed as fast as it is
read.

In a flood (see :mod:`notifications.can.flood`) a fault may be held: it is open, and announced when there is room.
"""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from notifications.can import dm1
from notifications.can.changes import Change
from notifications.can.faults import (
    Device,
    Fault,
    FaultChange,
    FaultKey,
    Kind,
    Report,
    SeenFault,
    StandingFault,
    make_correlation_id,
)
from notifications.can.flood import FloodChange, FloodGuard, Verdict
from notifications.can.tally import Tally

# RV-C devices report at least every 5 seconds, and up to three reports may be lost.
MIN_SILENCE_SECONDS = 15.0
MAX_OPEN_FAULTS = 10_000
# Frames of several buses in one recording can be out of order. A larger difference means that the clock was set back.
MAX_DISORDER_SECONDS = 1.0

QUIET_SECONDS = 10.0
"""How long a fault must stay away after a report that it has ended, before it is cleared."""
MAX_QUIET_SECONDS = 300.0
RETURN_SECONDS = 600.0
"""A fault that comes back so soon after it was cleared must stay away for twice as long the next time."""
FLAPS_ANNOUNCED_FROM = 3
FLAPS_ANNOUNCED_EVERY = 300.0
MAX_HELD = 2_000
MAX_HELD_PER_SOURCE = 500
FLOOD_CHECKED_EVERY = 1.0


@dataclass(slots=True)
class OpenFault:
    """A fault that was raised and not cleared, with the last values that were received.

    :ivar device: the device with its present address.
    :ivar severity: the highest severity that was announced.
    :ivar correlation_id: the id of the fault, with the address that the device had when it was raised.
    :ivar quiet: the seconds for which it must stay away after its device has reported that it has no fault.
    :ivar checked_at: when it is looked at again, because it can be cleared then; None while its bus is lost.
    :ivar ended_at: when the device reported that it has no fault; None while the fault stands.
    :ivar quiet_since: the begin of the time for which it must stay away: ``ended_at``, or the end of an outage.
    :ivar is_held: whether it is not announced yet, because of a flood.
    :ivar owner: the NAME of the device, if it has changed its address since the fault was raised.
    """

    protocol: str
    device: Device
    fault: Fault
    last_seen_at: float
    severity: int
    correlation_id: str
    quiet: float
    checked_at: float | None = 0.0
    ended_at: float | None = None
    quiet_since: float = 0.0
    flaps: int = 0
    flaps_announced_at: float | None = None
    is_held: bool = False
    owner: bytes | None = None

    def find_deadline(self, clear_after: float) -> float:
        if self.ended_at is None:
            return self.last_seen_at + clear_after
        return self.quiet_since + self.quiet

    def make_change(self, kind: Kind, timestamp: float) -> FaultChange:
        return FaultChange.of(kind, self.protocol, self.device, self.fault, timestamp, self.flaps, self.correlation_id)


class FaultTracker:
    """Keeps the open faults.

    :param clear_after: the seconds of silence after which a fault is cleared.
    :param max_open_faults: the maximum number of open faults. One source address can have at most half of them, so that
        a faulty device cannot use up the memory or displace the faults of other devices. The tally counts reports
        beyond the limit as dropped.
    :param quiet: the seconds for which a fault must stay away after a report that it has ended.
    :ivar now: the time of the last frame.
    """

    def __init__(
        self,
        tally: Tally,
        clear_after: float = MIN_SILENCE_SECONDS,
        max_open_faults: int = MAX_OPEN_FAULTS,
        quiet: float = QUIET_SECONDS,
    ) -> None:
        self.tally = tally
        self.clear_after = clear_after
        self.max_open_faults = max_open_faults
        self.quiet = quiet
        self.now = 0.0
        self._open: dict[FaultKey, OpenFault] = {}
        self._by_device: dict[Device, dict[FaultKey, OpenFault]] = {}  # in the order in which they were raised
        self._by_source: Counter[tuple[str, int]] = Counter()
        # When faults are looked at. An entry whose time differs from the fault's ``checked_at`` is out of date.
        self._deadlines: list[tuple[float, int, FaultKey]] = []
        self._number = 0
        # When faults were cleared, and how long they had to stay away before.
        self._cleared: OrderedDict[FaultKey, tuple[float, float]] = OrderedDict()
        self._guard = FloodGuard()
        self._held: dict[tuple[str, int], dict[FaultKey, OpenFault]] = {}
        self._held_count = 0
        self._flood_checked_at = 0.0
        self._lost_buses: set[str] = set()
        # Faults of devices that have moved. Another device with the old address may have the same fault.
        self._moved_ids: set[str] = set()
        # Another thread adds to it.
        self._restored: deque[StandingFault] = deque()
        self._published: dict[str, SeenFault] = {}
        self._lock = threading.Lock()
        self._published_at = 0.0

    def __len__(self) -> int:
        return len(self._open)

    def list_standing(self) -> Iterator[FaultChange]:
        """Return the faults that are open, as they were raised."""
        return (one.make_change("raised", one.last_seen_at) for one in self._open.values() if one.ended_at is None)

    def restore(self, faults: Iterable[StandingFault]) -> None:
        """Continue with faults that stood when the bridge stopped. They are not raised again.

        Any thread can call this, also while frames are processed. The time of silence begins with the next frame.
        """
        self._restored.extend(faults)

    def publish_seen(self) -> None:
        """Let :meth:`take_seen` return the faults that were reported since the last call."""
        seen = [one for one in self._open.values() if one.last_seen_at >= self._published_at and not one.is_held]
        self._published_at = self.now
        with self._lock:
            if len(self._published) > self.max_open_faults:
                self._published.clear()
            for one in seen:
                self._published[one.correlation_id] = SeenFault(one.correlation_id, one.last_seen_at, one.fault.count)

    def take_seen(self) -> list[SeenFault]:
        """Return the faults that were published and not taken yet. Another thread can call this."""
        with self._lock:
            published, self._published = self._published, {}
        return list(published.values())

    def pause(self, bus: str) -> None:
        """Clear no fault of a bus whose connection was lost, until :meth:`resume` is called."""
        self._lost_buses.add(bus)

    def is_lost(self, bus: str) -> bool:
        """Return whether the connection to a bus was lost."""
        return bus in self._lost_buses

    def resume(self, bus: str, timestamp: float) -> None:
        """Continue with a bus that is connected again. The times of silence begin anew."""
        self._lost_buses.discard(bus)
        self._set_clock(timestamp)
        for key, one in self._open.items():
            if key.device.bus == bus:
                one.last_seen_at = one.quiet_since = self.now
                self._schedule(key, one)

    def set_forward(self, timestamp: float) -> None:
        """Continue at another time, because the clock was set forward. The times of silence begin anew."""
        self.now = max(self.now, timestamp)
        for one in self._open.values():
            one.last_seen_at = self.now
            if one.ended_at is not None:
                one.ended_at = one.quiet_since = self.now
        self._flood_checked_at = self._published_at = self.now
        self._guard.reset(self.now)
        self._rebuild_deadlines()

    def advance_to(self, timestamp: float) -> list[Change]:
        """Advance the time to ``timestamp`` (seconds since 1970), and return the faults that are cleared by silence,
        the oldest first, and what has become of a flood."""
        self._set_clock(timestamp)
        if self._restored:
            self._take_restored()
        changes: list[Change] = []
        while self._deadlines and self._deadlines[0][0] <= self.now:
            time, _number, key = heappop(self._deadlines)
            one = self._open.get(key)
            if one is None or one.checked_at != time:
                continue
            if key.device.bus in self._lost_buses:
                one.checked_at = None
            elif one.find_deadline(self.clear_after) > self.now:
                self._schedule(key, one)
            else:
                changes += self._clear(key)
        if (self._held or self._guard.is_active) and self.now >= self._flood_checked_at + FLOOD_CHECKED_EVERY:
            self._flood_checked_at = self.now
            changes += self._release_held()
            changes += self._summarise_floods()
        return changes

    def add_report(self, report: Report, timestamp: float) -> list[FaultChange]:
        """Process a report, and return what has become of its faults."""
        changes: list[FaultChange] = []
        keys = set()
        for fault in report.faults:
            key = FaultKey(report.device, fault.instance, fault.spn, fault.fmi)
            keys.add(key)
            one = self._open.get(key)
            if one is None:
                changes += self._raise(key, report, fault, timestamp)
            else:
                changes += self._repeat(key, one, fault, timestamp)
        if report.is_complete:
            for key, one in self._by_device.get(report.device, {}).items():
                # A device that speaks both protocols reports the faults of each for itself.
                if key not in keys and one.protocol == report.protocol and one.ended_at is None:
                    self._end(key, one, timestamp)
        return changes

    def finish(self) -> list[Change]:
        """Return the faults that have ended, as cleared: nothing follows that could raise them again. Return the
        summary of a flood, too."""
        ended = [key for key, one in self._open.items() if one.ended_at is not None]
        changes: list[Change] = [change for key in ended for change in self._clear(key)]
        return [*changes, *self._summarise_floods(is_last=True)]

    def move_source(self, bus: str, before: int, after: int, name: bytes | None = None) -> list[FaultChange]:
        """Let a device keep its faults under a new source address, and return those that have moved. Faults that are
        open under the new address stay as they are, and so do those of another device that has just taken the old one.

        :param name: the NAME of the device, if it is known.
        """
        changes = []
        for device in [one for one in self._by_device if one[:2] == (bus, before)]:
            for key, one in list(self._by_device[device].items()):
                # In J1939 the DSA is the source address. In RV-C it is the kind of device, which stays.
                moved = Device(bus, after, after if one.protocol == dm1.PROTOCOL else device.dsa)
                moved_key = key._replace(device=moved)
                if one.owner in (None, name) and moved_key not in self._open:
                    one.owner = name
                    self._move(key, moved_key, one)
                    if not one.is_held:
                        changes.append(one.make_change("moved", self.now))
        self._rebuild_deadlines()
        return changes

    def _move(self, key: FaultKey, moved_key: FaultKey, one: OpenFault) -> None:
        """Keep an open fault under another key."""
        self._remove_held(key, one)
        del self._open[key]
        self._forget_of_device(key)
        self._release_source(key.device[:2], 1)
        one.device = moved_key.device
        self._moved_ids.add(one.correlation_id)
        self._open[moved_key] = self._by_device.setdefault(one.device, {})[moved_key] = one
        self._by_source[one.device[:2]] += 1
        if one.is_held:
            self._add_held(moved_key, one)

    def _forget_of_device(self, key: FaultKey) -> None:
        of_device = self._by_device[key.device]
        del of_device[key]
        if not of_device:
            del self._by_device[key.device]

    def _set_clock(self, timestamp: float) -> None:
        if timestamp >= self.now - MAX_DISORDER_SECONDS:
            self.now = max(self.now, timestamp)
            return
        # The clock was set back, or the file contains several recordings. No open fault may have a time in the future.
        self.now = timestamp
        for one in self._open.values():
            one.last_seen_at = min(one.last_seen_at, timestamp)
            if one.ended_at is not None:
                one.ended_at = min(one.ended_at, timestamp)
                one.quiet_since = min(one.quiet_since, timestamp)
            one.flaps_announced_at = None
        self._flood_checked_at = self._published_at = timestamp
        self._guard.reset(timestamp)
        self._cleared.clear()
        self._rebuild_deadlines()

    def _rebuild_deadlines(self) -> None:
        self._deadlines.clear()
        for key, one in self._open.items():
            self._schedule(key, one)

    def _take_restored(self) -> None:
        while self._restored:
            standing = self._restored.popleft()
            key, device = standing.key, standing.device
            one = self._open.get(key)
            if one is not None:
                # The bridge could not read the table when it started, and has raised the fault again.
                one.severity, one.correlation_id = max(one.severity, standing.severity), standing.correlation_id
            elif key not in self._cleared:
                one = self._add(key, standing.protocol, device, standing.fault, standing.correlation_id)
                one.severity, one.flaps = standing.severity, standing.flaps
                # How long ago its flapping was announced is not stored.
                one.flaps_announced_at = self.now if standing.flaps else None
            if standing.correlation_id != make_correlation_id(standing.protocol, key):
                self._moved_ids.add(standing.correlation_id)

    def _raise(self, key: FaultKey, report: Report, fault: Fault, timestamp: float) -> list[FaultChange]:
        source = report.device[:2]
        if len(self._open) >= self.max_open_faults or self._by_source[source] * 2 >= self.max_open_faults:
            self.tally.dropped += 1
            return []
        may_hold = self._held_count < MAX_HELD and len(self._held.get(source, ())) < MAX_HELD_PER_SOURCE
        verdict = self._guard.judge(key, self.now, may_hold)
        if verdict is Verdict.IGNORE:
            self.tally.suppressed += 1
            return []
        correlation_id = self._find_free_id(make_correlation_id(report.protocol, key))
        one = self._add(key, report.protocol, report.device, fault, correlation_id)
        if verdict is Verdict.HOLD:
            one.is_held = True
            self._add_held(key, one)
            return []
        self.tally.raised += 1
        return [one.make_change("raised", timestamp)]

    def _find_free_id(self, correlation_id: str) -> str:
        number, free = 1, correlation_id
        while free in self._moved_ids:
            number += 1
            free = f"{correlation_id}:{number}"
        return free

    def _add(self, key: FaultKey, protocol: str, device: Device, fault: Fault, correlation_id: str) -> OpenFault:
        quiet = self._find_quiet(key)
        one = OpenFault(protocol, device, fault, self.now, fault.severity, correlation_id, quiet)
        self._open[key] = self._by_device.setdefault(device, {})[key] = one
        self._by_source[device[:2]] += 1
        self._schedule(key, one)
        return one

    def _add_held(self, key: FaultKey, one: OpenFault) -> None:
        self._held.setdefault(key.device[:2], {})[key] = one
        self._held_count += 1

    def _remove_held(self, key: FaultKey, one: OpenFault) -> None:
        source = key.device[:2]
        if one.is_held:
            del self._held[source][key]
            self._held_count -= 1
            if not self._held[source]:
                del self._held[source]

    def _announce_held(self, key: FaultKey, one: OpenFault, timestamp: float) -> FaultChange:
        self._remove_held(key, one)
        one.is_held, one.severity = False, one.fault.severity
        self.tally.raised += 1
        return one.make_change("raised", timestamp)

    def _release_held(self) -> Iterator[FaultChange]:
        """Announce held faults as far as there is room, the most severe of each source first."""
        for source in list(self._held):
            held = self._held[source]
            for key in sorted(held, key=lambda key: -held[key].fault.severity):
                one = held[key]
                if one.ended_at is None and source[0] not in self._lost_buses:
                    if not self._guard.may_announce(source, self.now):
                        break
                    yield self._announce_held(key, one, self.now)

    def _summarise_floods(self, is_last: bool = False) -> list[FloodChange]:
        return self._guard.summarise(self.now, self._count_held, is_last)

    def _count_held(self, bus: str) -> int:
        faults = (one for source, held in self._held.items() if source[0] == bus for one in held.values())
        return sum(one.ended_at is None for one in faults)

    def _find_quiet(self, key: FaultKey) -> float:
        cleared_at, quiet = self._cleared.pop(key, (None, 0.0))
        if cleared_at is None or self.now - cleared_at > RETURN_SECONDS:
            return self.quiet
        return min(2 * quiet, MAX_QUIET_SECONDS)

    def _repeat(self, key: FaultKey, one: OpenFault, fault: Fault, timestamp: float) -> list[FaultChange]:
        one.fault, one.last_seen_at = fault, self.now
        changes = []
        if one.ended_at is None:
            self.tally.repeated += 1
        else:
            one.ended_at = None
            one.flaps += 1
            self.tally.flapped += 1
            if not one.is_held and self._must_announce_flaps(one):
                one.flaps_announced_at = self.now
                changes.append(one.make_change("flapping", timestamp))
        if one.is_held:
            may_announce = self._guard.may_announce(key.device[:2], self.now)
            return [self._announce_held(key, one, timestamp)] if may_announce else []
        if fault.severity > one.severity:
            one.severity = fault.severity
            changes.append(one.make_change("worsened", timestamp))
        return changes

    def _must_announce_flaps(self, one: OpenFault) -> bool:
        if one.flaps_announced_at is None:
            return one.flaps >= FLAPS_ANNOUNCED_FROM
        return self.now - one.flaps_announced_at >= FLAPS_ANNOUNCED_EVERY

    def _end(self, key: FaultKey, one: OpenFault, timestamp: float) -> None:
        one.ended_at = one.quiet_since = timestamp
        if one.checked_at is not None and one.find_deadline(self.clear_after) < one.checked_at:
            self._schedule(key, one)

    def _schedule(self, key: FaultKey, one: OpenFault) -> None:
        """Look at a fault again when it can be cleared at the earliest."""
        one.checked_at = one.find_deadline(self.clear_after)
        self._number += 1
        heappush(self._deadlines, (one.checked_at, self._number, key))

    def _clear(self, key: FaultKey) -> list[FaultChange]:
        one = self._open.pop(key)
        source = key.device[:2]
        self._forget_of_device(key)
        self._release_source(source, 1)
        self._moved_ids.discard(one.correlation_id)
        self._cleared[key] = (self.now, one.quiet)
        if len(self._cleared) > self.max_open_faults:
            self._cleared.popitem(last=False)
        if one.is_held:
            self._remove_held(key, one)
            return []
        self.tally.cleared += 1
        ended_at = one.last_seen_at + self.clear_after if one.ended_at is None else one.ended_at
        return [one.make_change("cleared", ended_at)]

    def _release_source(self, source: tuple[str, int], count: int) -> None:
        self._by_source[source] -= count
        if not self._by_source[source]:
            del self._by_source[source]

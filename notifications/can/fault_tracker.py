"""Track faults: they are raised once, repeated and counted, and cleared.

A fault has ended if its device reports that it has no fault, or if the device is silent. Another fault does not end it,
because a device reports several faults in turn. A fault that has ended by a report and does not come back for some
seconds is cleared. If it comes back, it is flapping: that is announced now and then, and the fault must stay away for
longer and longer before it is cleared. The time is that of the frames, so a recording can be processed as fast as it is
read.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from notifications.can.faults import Device, Fault, FaultChange, FaultKey, Kind, Report
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


@dataclass(slots=True)
class OpenFault:
    """A fault that was raised and not cleared, with the last values that were received.

    :ivar origin: the device as it was when the fault was raised. It can get another address.
    :ivar severity: the highest severity that was announced.
    :ivar ended_at: when the device reported that it has no fault; None while the fault stands.
    :ivar quiet: the seconds for which it must stay away then.
    :ivar checked_at: when it is looked at again, because it can be cleared then.
    """

    protocol: str
    origin: Device
    fault: Fault
    last_seen_at: float
    severity: int
    quiet: float
    checked_at: float = 0.0
    ended_at: float | None = None
    flaps: int = 0
    flaps_announced_at: float | None = None

    def find_deadline(self, clear_after: float) -> float:
        if self.ended_at is None:
            return self.last_seen_at + clear_after
        return self.ended_at + self.quiet

    def make_change(self, kind: Kind, timestamp: float) -> FaultChange:
        return FaultChange.of(kind, self.protocol, self.origin, self.fault, timestamp, self.flaps)


class FaultTracker:
    """Keeps the open faults.

    :param clear_after: the seconds of silence after which a fault is cleared.
    :param max_open_faults: the maximum number of open faults. One source address can have at most half of them, so that
        a faulty device cannot use up the memory or displace the faults of other devices. The tally counts reports
        beyond the limit as dropped.
    :param quiet: the seconds for which a fault must stay away after a report that it has ended.
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
        self._now = 0.0
        self._open: dict[FaultKey, OpenFault] = {}
        self._by_device: dict[Device, dict[FaultKey, OpenFault]] = {}  # in the order in which they were raised
        self._by_source: Counter[tuple[str, int]] = Counter()
        # When faults are looked at. An entry whose time differs from the fault's ``checked_at`` is out of date.
        self._deadlines: list[tuple[float, int, FaultKey]] = []
        self._number = 0
        # When faults were cleared, and how long they had to stay away before.
        self._cleared: OrderedDict[FaultKey, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def list_standing(self) -> Iterator[FaultChange]:
        """Return the faults that are open, as they were raised."""
        return (one.make_change("raised", one.last_seen_at) for one in self._open.values() if one.ended_at is None)

    def advance_to(self, timestamp: float) -> list[FaultChange]:
        """Advance the time to ``timestamp`` (seconds since 1970), and return the faults that are cleared by silence,
        the oldest first."""
        self._set_clock(timestamp)
        cleared = []
        while self._deadlines and self._deadlines[0][0] <= self._now:
            time, _number, key = heappop(self._deadlines)
            one = self._open.get(key)
            if one is None or one.checked_at != time:
                continue
            if one.find_deadline(self.clear_after) > self._now:
                self._schedule(key, one)
            else:
                cleared.append(self._clear(key))
        return cleared

    def add_report(self, report: Report, timestamp: float) -> list[FaultChange]:
        """Process a report, and return what has become of its faults."""
        changes = []
        keys = set()
        for fault in report.faults:
            key = FaultKey(report.device, fault.instance, fault.spn, fault.fmi)
            keys.add(key)
            one = self._open.get(key)
            if one is None:
                changes += self._raise(key, report, fault, timestamp)
            else:
                changes += self._repeat(one, fault, timestamp)
        if report.is_complete:
            for key, one in self._by_device.get(report.device, {}).items():
                if key not in keys and one.ended_at is None:
                    self._end(key, one, timestamp)
        return changes

    def finish(self) -> list[FaultChange]:
        """Return the faults that have ended, as cleared: nothing follows that could raise them again."""
        return [self._clear(key) for key in [key for key, one in self._open.items() if one.ended_at is not None]]

    def move_source(self, bus: str, before: int, after: int) -> None:
        """Let a device keep its faults under a new source address. Faults that are open under it stay as they are."""
        for device in [one for one in self._by_device if one[:2] == (bus, before)]:
            dsa = after if device.dsa == before else device.dsa
            moved = Device(bus, after, dsa)
            if moved in self._by_device:
                continue
            faults = self._by_device.pop(device)
            self._by_device[moved] = {}
            for key, one in faults.items():
                del self._open[key]
                self._open[key._replace(device=moved)] = self._by_device[moved][key._replace(device=moved)] = one
            self._by_source[bus, after] += len(faults)
            self._release_source((bus, before), len(faults))
        self._rebuild_deadlines()

    def _set_clock(self, timestamp: float) -> None:
        if timestamp >= self._now - MAX_DISORDER_SECONDS:
            self._now = max(self._now, timestamp)
            return
        # The clock was set back, or the file contains several recordings. No open fault may have a time in the future.
        self._now = timestamp
        for one in self._open.values():
            one.last_seen_at = min(one.last_seen_at, timestamp)
            if one.ended_at is not None:
                one.ended_at = min(one.ended_at, timestamp)
            one.flaps_announced_at = None
        self._cleared.clear()
        self._rebuild_deadlines()

    def _rebuild_deadlines(self) -> None:
        self._deadlines.clear()
        for key, one in self._open.items():
            self._schedule(key, one)

    def _raise(self, key: FaultKey, report: Report, fault: Fault, timestamp: float) -> list[FaultChange]:
        source = report.device[:2]
        if len(self._open) >= self.max_open_faults or self._by_source[source] * 2 >= self.max_open_faults:
            self.tally.dropped += 1
            return []
        one = OpenFault(report.protocol, report.device, fault, self._now, fault.severity, self._find_quiet(key))
        self._open[key] = self._by_device.setdefault(report.device, {})[key] = one
        self._by_source[source] += 1
        self._schedule(key, one)
        self.tally.raised += 1
        return [one.make_change("raised", timestamp)]

    def _find_quiet(self, key: FaultKey) -> float:
        cleared_at, quiet = self._cleared.pop(key, (None, 0.0))
        if cleared_at is None or self._now - cleared_at > RETURN_SECONDS:
            return self.quiet
        return min(2 * quiet, MAX_QUIET_SECONDS)

    def _repeat(self, one: OpenFault, fault: Fault, timestamp: float) -> list[FaultChange]:
        one.fault, one.last_seen_at = fault, self._now
        changes = []
        if one.ended_at is None:
            self.tally.repeated += 1
        else:
            one.ended_at = None
            one.flaps += 1
            self.tally.flapped += 1
            if self._must_announce_flaps(one):
                one.flaps_announced_at = self._now
                changes.append(one.make_change("flapping", timestamp))
        if fault.severity > one.severity:
            one.severity = fault.severity
            changes.append(one.make_change("worsened", timestamp))
        return changes

    def _must_announce_flaps(self, one: OpenFault) -> bool:
        if one.flaps_announced_at is None:
            return one.flaps >= FLAPS_ANNOUNCED_FROM
        return self._now - one.flaps_announced_at >= FLAPS_ANNOUNCED_EVERY

    def _end(self, key: FaultKey, one: OpenFault, timestamp: float) -> None:
        one.ended_at = timestamp
        if one.find_deadline(self.clear_after) < one.checked_at:
            self._schedule(key, one)

    def _schedule(self, key: FaultKey, one: OpenFault) -> None:
        """Look at a fault again when it can be cleared at the earliest."""
        one.checked_at = one.find_deadline(self.clear_after)
        self._number += 1
        heappush(self._deadlines, (one.checked_at, self._number, key))

    def _clear(self, key: FaultKey) -> FaultChange:
        one = self._open.pop(key)
        device, source = key.device, key.device[:2]
        del self._by_device[device][key]
        if not self._by_device[device]:
            del self._by_device[device]
        self._release_source(source, 1)
        self._cleared[key] = (self._now, one.quiet)
        if len(self._cleared) > self.max_open_faults:
            self._cleared.popitem(last=False)
        self.tally.cleared += 1
        if one.ended_at is None:
            return one.make_change("cleared", one.last_seen_at + self.clear_after)
        return one.make_change("cleared", one.ended_at)

    def _release_source(self, source: tuple[str, int], count: int) -> None:
        self._by_source[source] -= count
        if not self._by_source[source]:
            del self._by_source[source]

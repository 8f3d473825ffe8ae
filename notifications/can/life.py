"""The life of faults: raised once, repeated and counted, cleared.

A fault is cleared when its device says that it has none, or by silence. It is never cleared because another fault
came: one address may tell of several in turn. Time is the frames' own, so a recording is lived through as fast as it
can be read.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass

from notifications.can.faults import Device, Fault, FaultChange, FaultKey, Report
from notifications.can.tally import Tally

# RV-C devices report at least every 5 s; three reports may be lost before silence means anything.
SHORTEST_SILENCE = 15.0
MOST_OPEN = 10_000
# Frames of several buses in one recording are out of order by less; more than this is a clock that was set back.
LATE = 1.0


@dataclass(slots=True)
class OpenFault:
    """A fault between raised and cleared, as it was last heard."""

    report: Report
    fault: Fault
    heard_at: float


class FaultLife:
    """Keeps the open faults.

    :param clear_after: seconds of silence after which a fault is cleared.
    :param most_open: how many faults are kept at most, half of them of one source address, so that a babbling node
        costs neither memory nor the faults of its neighbours. The tally counts reports that found no room as dropped.
    """

    def __init__(self, tally: Tally, clear_after: float = SHORTEST_SILENCE, most_open: int = MOST_OPEN) -> None:
        self.tally = tally
        self.clear_after = clear_after
        self.most_open = most_open
        self._now = 0.0
        self._open: OrderedDict[FaultKey, OpenFault] = OrderedDict()  # the longest unheard first
        self._by_device: dict[Device, dict[FaultKey, OpenFault]] = {}  # in the order raised
        self._by_source: Counter[tuple[str, int]] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def advance(self, timestamp: float) -> list[FaultChange]:
        """Let time pass until ``timestamp`` (seconds since 1970); returns what silence cleared, oldest first."""
        self._turn_clock(timestamp)
        cleared = []
        while self._open:
            key, longest = next(iter(self._open.items()))
            ends_at = longest.heard_at + self.clear_after
            if ends_at > self._now:
                break
            cleared.append(self._clear(key, ends_at))
        return cleared

    def hear(self, report: Report, timestamp: float) -> list[FaultChange]:
        """Take in a report; returns what it raised or cleared, in the order raised."""
        if report.fault is None:
            return [self._clear(key, timestamp) for key in list(self._by_device.get(report.device, ()))]
        fault = report.fault
        key = FaultKey(report.device, fault.instance, fault.spn, fault.fmi)
        if key in self._open:
            self._repeat(key, fault)
            return []
        return self._raise(key, report, fault, timestamp)

    def _turn_clock(self, timestamp: float) -> None:
        if timestamp >= self._now - LATE:
            self._now = max(self._now, timestamp)
            return
        # Set back, or the next recording of several in one file: nothing open was heard in this clock's future.
        self._now = timestamp
        for open_fault in self._open.values():
            open_fault.heard_at = min(open_fault.heard_at, timestamp)

    def _repeat(self, key: FaultKey, fault: Fault) -> None:
        open_fault = self._open[key]
        open_fault.fault, open_fault.heard_at = fault, self._now
        self._open.move_to_end(key)
        self.tally.repeated += 1

    def _raise(self, key: FaultKey, report: Report, fault: Fault, timestamp: float) -> list[FaultChange]:
        source = report.device[:2]
        if len(self._open) >= self.most_open or self._by_source[source] * 2 >= self.most_open:
            self.tally.dropped += 1
            return []
        self._open[key] = self._by_device.setdefault(report.device, {})[key] = OpenFault(report, fault, self._now)
        self._by_source[source] += 1
        self.tally.raised += 1
        return [FaultChange.of("raised", report, fault, timestamp)]

    def _clear(self, key: FaultKey, timestamp: float) -> FaultChange:
        open_fault = self._open.pop(key)
        device, source = key.device, key.device[:2]
        del self._by_device[device][key]
        if not self._by_device[device]:
            del self._by_device[device]
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]
        self.tally.cleared += 1
        return FaultChange.of("cleared", open_fault.report, open_fault.fault, timestamp)

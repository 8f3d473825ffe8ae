"""Track faults: they are raised once, repeated and counted, and cleared.

A fault is cleared if its device reports that it has no fault, or if the device is silent. Another fault does not clear
it, because a device reports several faults in turn. The time is that of the frames, so a recording can be processed as
fast as it is read.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass

from notifications.can.faults import Device, Fault, FaultChange, FaultKey, Report
from notifications.can.tally import Tally

# RV-C devices report at least every 5 seconds, and up to three reports may be lost.
MIN_SILENCE_SECONDS = 15.0
MAX_OPEN_FAULTS = 10_000
# Frames of several buses in one recording can be out of order. A larger difference means that the clock was set back.
MAX_DISORDER_SECONDS = 1.0


@dataclass(slots=True)
class OpenFault:
    """A fault that was raised and not cleared, with the last values that were received."""

    report: Report
    fault: Fault
    last_seen_at: float


class FaultTracker:
    """Keeps the open faults.

    :param clear_after: the seconds of silence after which a fault is cleared.
    :param max_open_faults: the maximum number of open faults. One source address can have at most half of them, so that
        a faulty device cannot use up the memory or displace the faults of other devices. The tally counts reports
        beyond the limit as dropped.
    """

    def __init__(
        self, tally: Tally, clear_after: float = MIN_SILENCE_SECONDS, max_open_faults: int = MAX_OPEN_FAULTS
    ) -> None:
        self.tally = tally
        self.clear_after = clear_after
        self.max_open_faults = max_open_faults
        self._now = 0.0
        self._open: OrderedDict[FaultKey, OpenFault] = OrderedDict()  # the longest silent first
        self._by_device: dict[Device, dict[FaultKey, OpenFault]] = {}  # in the order in which they were raised
        self._by_source: Counter[tuple[str, int]] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def advance_to(self, timestamp: float) -> list[FaultChange]:
        """Advance the time to ``timestamp`` (seconds since 1970), and return the faults that are cleared by silence,
        the oldest first."""
        self._set_clock(timestamp)
        cleared = []
        while self._open:
            key, longest = next(iter(self._open.items()))
            ends_at = longest.last_seen_at + self.clear_after
            if ends_at > self._now:
                break
            cleared.append(self._clear(key, ends_at))
        return cleared

    def add_report(self, report: Report, timestamp: float) -> list[FaultChange]:
        """Process a report, and return the faults that it raises or clears, in the order in which they were raised."""
        if report.fault is None:
            return [self._clear(key, timestamp) for key in list(self._by_device.get(report.device, ()))]
        fault = report.fault
        key = FaultKey(report.device, fault.instance, fault.spn, fault.fmi)
        if key in self._open:
            self._repeat(key, fault)
            return []
        return self._raise(key, report, fault, timestamp)

    def _set_clock(self, timestamp: float) -> None:
        if timestamp >= self._now - MAX_DISORDER_SECONDS:
            self._now = max(self._now, timestamp)
            return
        # The clock was set back, or the file contains several recordings. No open fault may have a time in the future.
        self._now = timestamp
        for open_fault in self._open.values():
            open_fault.last_seen_at = min(open_fault.last_seen_at, timestamp)

    def _repeat(self, key: FaultKey, fault: Fault) -> None:
        open_fault = self._open[key]
        open_fault.fault, open_fault.last_seen_at = fault, self._now
        self._open.move_to_end(key)
        self.tally.repeated += 1

    def _raise(self, key: FaultKey, report: Report, fault: Fault, timestamp: float) -> list[FaultChange]:
        source = report.device[:2]
        if len(self._open) >= self.max_open_faults or self._by_source[source] * 2 >= self.max_open_faults:
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

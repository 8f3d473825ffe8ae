"""Convert CAN frames into changes of faults."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from notifications.can import dm_rv
from notifications.can.fault_tracker import FaultTracker
from notifications.can.faults import FaultChange, Report
from notifications.can.frame import Frame, SilenceTick

Decoder = Callable[[Frame], Report | None]

DECODERS: Mapping[int, Decoder] = {dm_rv.DGN: dm_rv.decode}
"""The decoder of diagnostic messages for each data group number. To support another protocol, add an entry."""


class Bridge:
    """Processes the frames of all buses. It counts in the tally of the given tracker."""

    def __init__(self, tracker: FaultTracker) -> None:
        self.tracker = tracker
        self.tally = tracker.tally

    def process(self, items: Iterable[Frame | SilenceTick]) -> Iterator[FaultChange]:
        """Yield each change as soon as it is known. Invalid frames are counted and skipped."""
        for item in items:
            yield from (
                self.tracker.advance_to(item.timestamp) if isinstance(item, SilenceTick) else self._process_frame(item)
            )

    def _process_frame(self, frame: Frame) -> list[FaultChange]:
        self.tally.frames += 1
        if not frame.has_valid_timestamp:
            self.tally.malformed += 1
            return []
        return self.tracker.advance_to(frame.timestamp) + self._decode(frame)

    def _decode(self, frame: Frame) -> list[FaultChange]:
        if not frame.is_data_frame:
            self.tally.ignored += 1
            return []
        decode = DECODERS.get(frame.dgn)
        if decode is None:
            return []
        report = decode(frame)
        if report is None:
            self.tally.ignored += 1
            return []
        return self.tracker.add_report(report, frame.timestamp)

"""Convert CAN frames into changes of faults."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from notifications.can import addresses, dm1, dm_rv, transport
from notifications.can.addresses import AddressBook
from notifications.can.fault_tracker import FaultTracker
from notifications.can.faults import FaultChange, Report
from notifications.can.frame import Frame, Item, SilenceTick
from notifications.can.transport import Transport

Decoder = Callable[[Frame], Report | None]

DECODERS: Mapping[int, Decoder] = {dm_rv.DGN: dm_rv.decode, dm1.DGN: dm1.decode}
"""The decoder of diagnostic messages for each data group number. To support another protocol, add an entry."""
RVC_DGNS = range(0x1FE00, 0x20000)
"""Only RV-C devices send most of these."""
MAX_RVC_SOURCES = 4096


class Bridge:
    """Processes the frames of all buses. It counts in the tally of the given tracker."""

    def __init__(self, tracker: FaultTracker) -> None:
        self.tracker = tracker
        self.tally = tracker.tally
        self._transport = Transport()
        self._addresses = AddressBook()
        self._rvc_sources: set[tuple[str, int]] = set()

    def process(self, items: Iterable[Item]) -> Iterator[FaultChange]:
        """Yield each change as soon as it is known. Invalid frames are counted and skipped.

        At the end, faults that have ended are cleared without waiting for whether they come back.
        """
        for item in items:
            if isinstance(item, Frame):
                yield from self._process_frame(item)
            elif isinstance(item, SilenceTick):
                yield from self.tracker.advance_to(item.timestamp)
        yield from self.tracker.finish()

    def _process_frame(self, frame: Frame) -> list[FaultChange]:
        self.tally.frames += 1
        if not frame.has_valid_timestamp:
            self.tally.malformed += 1
            return []
        return self.tracker.advance_to(frame.timestamp) + self._read(frame)

    def _read(self, frame: Frame) -> list[FaultChange]:
        if not frame.is_data_frame:
            self.tally.ignored += 1
            return []
        dgn = frame.dgn
        if dgn in DECODERS:
            return self._decode(frame)
        group = dgn & 0x1FF00
        if group in (transport.CONTROL, transport.DATA):
            message = self._transport.add(frame)
            self.tally.broken = self._transport.broken
            return [] if message is None or message.dgn not in DECODERS else self._decode(message)
        if group == addresses.CLAIM:
            self._follow(frame)
        elif dgn in RVC_DGNS and len(self._rvc_sources) < MAX_RVC_SOURCES:
            self._rvc_sources.add((frame.bus, frame.source_address))
        return []

    def _decode(self, frame: Frame) -> list[FaultChange]:
        source = (frame.bus, frame.source_address)
        if frame.dgn == dm_rv.DGN and len(self._rvc_sources) < MAX_RVC_SOURCES:
            self._rvc_sources.add(source)
        report = DECODERS[frame.dgn](frame)
        is_repeated = frame.dgn == dm1.DGN and source in self._rvc_sources and dm1.is_repeated_dm_rv(frame)
        if report is None or is_repeated:
            self.tally.ignored += 1
            return []
        return self.tracker.add_report(report, frame.timestamp)

    def _follow(self, frame: Frame) -> None:
        moved = self._addresses.add_claim(frame)
        if moved is not None:
            self.tracker.move_source(frame.bus, *moved)

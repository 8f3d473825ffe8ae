"""Convert CAN frames into changes of faults."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from notifications.can import addresses, dm1, dm_rv, transport
from notifications.can.addresses import AddressBook
from notifications.can.changes import Change
from notifications.can.devices import DeviceBook
from notifications.can.fault_tracker import FaultTracker
from notifications.can.faults import Report
from notifications.can.frame import Frame, SilenceTick
from notifications.can.standing import Seen, Standing
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
        self.devices = DeviceBook()

    def restore(self, bus: str, state: Standing) -> None:
        """Continue with what the state tables contain about a bus. Any thread can call this."""
        self.tracker.restore(state.faults)
        self._addresses.restore(bus, state.addresses)

    def take_seen(self) -> Seen:
        """Return which devices and faults were seen since the last call. Any one other thread can call this."""
        return Seen(self.devices.take(), self.tracker.take_seen())

    def process(self, items: Iterable[Frame | SilenceTick]) -> Iterator[Change]:
        """Yield each change as soon as it is known. Invalid frames are counted and skipped.

        At the end, faults that have ended are cleared without waiting for whether they come back.
        """
        for item in items:
            yield from (
                self.tracker.advance_to(item.timestamp) if isinstance(item, SilenceTick) else self._process_frame(item)
            )
        yield from self.tracker.finish()
        self._publish_seen(self.tracker.now)

    def _process_frame(self, frame: Frame) -> list[Change]:
        self.tally.frames += 1
        if not frame.has_valid_timestamp:
            self.tally.malformed += 1
            return []
        return self.tracker.advance_to(frame.timestamp) + self._read(frame)

    def _read(self, frame: Frame) -> list[Change]:
        if not frame.is_data_frame:
            self.tally.ignored += 1
            return []
        if self.devices.add(frame):
            self._publish_seen(frame.timestamp)
        dgn = frame.dgn
        if dgn in DECODERS:
            return self._decode(frame)
        group = dgn & 0x1FF00
        if group in (transport.CONTROL, transport.DATA):
            message = self._transport.add(frame)
            self.tally.broken = self._transport.broken
            return [] if message is None or message.dgn not in DECODERS else self._decode(message)
        if group == addresses.CLAIM:
            return self._follow(frame)
        if dgn in RVC_DGNS and len(self._rvc_sources) < MAX_RVC_SOURCES:
            self._rvc_sources.add((frame.bus, frame.source_address))
        return []

    def _decode(self, frame: Frame) -> list[Change]:
        source = (frame.bus, frame.source_address)
        if frame.dgn == dm_rv.DGN and len(self._rvc_sources) < MAX_RVC_SOURCES:
            self._rvc_sources.add(source)
        report = DECODERS[frame.dgn](frame)
        is_repeated = frame.dgn == dm1.DGN and source in self._rvc_sources and dm1.is_repeated_dm_rv(frame)
        if report is None or is_repeated:
            self.tally.ignored += 1
            return []
        return [*self.tracker.add_report(report, frame.timestamp)]

    def _publish_seen(self, timestamp: float) -> None:
        self.devices.publish(timestamp)
        self.tracker.publish_seen()

    def _follow(self, frame: Frame) -> list[Change]:
        self.devices.add_claim(frame)
        moved = self._addresses.add_claim(frame)
        return [] if moved is None else [*self.tracker.move_source(frame.bus, *moved)]

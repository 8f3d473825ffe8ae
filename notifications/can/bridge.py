"""Convert CAN frames into changes of faults and alerts."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

from notifications.can import addresses, dm1, dm_rv, transport
from notifications.can.addresses import AddressBook
from notifications.can.alert_tracker import AlertTracker
from notifications.can.changes import Change
from notifications.can.devices import DeviceBook
from notifications.can.fault_reminders import FaultReminders
from notifications.can.fault_tracker import FaultTracker
from notifications.can.faults import FaultChange, Report
from notifications.can.frame import DGN_MASK, MAX_TIMESTAMP, BusEvent, Frame, Item, SilenceTick
from notifications.can.signals import Reading, SignalDecoder
from notifications.can.standing import Seen, Standing
from notifications.can.transport import Transport

Decoder = Callable[[Frame], Report | None]

DECODERS: Mapping[int, Decoder] = {dm_rv.DGN: dm_rv.decode, dm1.DGN: dm1.decode}
"""The decoder of diagnostic messages for each data group number. To support another protocol, add an entry."""
FIRST_RVC_DGN = 0x1FE00
"""Only RV-C devices send most messages from here on."""
RVC_HEARD_SECONDS = 6.0
"""RV-C devices send at least one message in five seconds."""
MAX_RVC_SOURCES = 4096
MAX_READ_THINGS = 4096


class Bridge:
    """Processes the frames of all buses. It counts in the tally of the given tracker.

    :param alerts: the alerts of the rules; by default, only faults are tracked.
    :param decoder: decodes the messages that rules need; None if they need none.
    :param intervals: by message, how often rules in Python receive its readings, in seconds.
    :param reminders: report faults that go on; by default, none is reported again.
    """

    def __init__(
        self,
        tracker: FaultTracker,
        alerts: AlertTracker | None = None,
        decoder: SignalDecoder | None = None,
        intervals: Mapping[str, float] | None = None,
        reminders: FaultReminders | None = None,
    ) -> None:
        self.tracker = tracker
        self.tally = tracker.tally
        self.alerts = AlertTracker((), self.tally) if alerts is None else alerts
        self._has_alerts = bool(self.alerts.rules)
        self._decoder = decoder
        self._readings = ReadingFeed(intervals or {})
        self._reminders = FaultReminders(lambda change: None) if reminders is None else reminders
        self._transport = Transport()
        self._addresses = AddressBook()
        self._rvc_sources: set[tuple[str, int]] = set()
        # DM1 that can be a copy of a DM_RV: when the first one came, and the last one.
        self._doubtful: dict[tuple[str, int], tuple[float, Frame]] = {}
        self.devices = DeviceBook()
        self.on_restored: Callable[[Change], object] = lambda change: None
        """Called with each fault and alert that stands in the state tables, by the thread that processes frames."""
        # Another thread adds to it.
        self._restored: deque[tuple[str, Standing]] = deque()

    def restore(self, bus: str, state: Standing) -> None:
        """Continue with what the state tables contain about a bus. Any thread can call this."""
        self._restored.append((bus, state))

    def take_seen(self) -> Seen:
        """Return which devices and faults were seen since the last call. Any one other thread can call this."""
        return Seen(self.devices.take(), self.tracker.take_seen())

    def process(self, items: Iterable[Item]) -> Iterator[Change]:
        """Yield each change as soon as it is known. Invalid frames are counted and skipped.

        At the end, faults that have ended are cleared without waiting for whether they come back.
        """
        for item in items:
            has_restored, before = self._take_restored(), self.tracker.now
            if changes := self._process_frame(item) if isinstance(item, Frame) else self._process_other(item):
                self._reminders.note(changes, self.tracker.now)
                yield from changes
            if self.tracker.now < before:
                self._reminders.rebase(self.tracker.now)
            elif self.tracker.now >= self._reminders.due_at:
                yield from self._reminders.take_due(self.tracker.now, self.tracker.is_lost)
            if has_restored:
                self._show_restored()
        yield from self._diagnose_doubtful()
        yield from self.tracker.finish()
        yield from self.alerts.finish()
        self._publish_seen(self.tracker.now)

    def list_standing(self) -> Iterator[Change]:
        """Return the faults and alerts that are open, as they were raised and begun."""
        yield from self.tracker.list_standing()
        yield from self.alerts.list_standing()

    def _process_other(self, item: SilenceTick | BusEvent) -> Sequence[Change]:
        if isinstance(item, BusEvent) and item.kind == "lost":
            changes = [*self.tracker.advance_to(item.timestamp), *self.alerts.lose_bus(item.bus, item.timestamp)]
            self.tracker.pause(item.bus)
            return changes
        if isinstance(item, BusEvent) and item.kind == "set":
            self.tracker.set_forward(item.timestamp)
            self.alerts.set_forward(item.timestamp)
            self._reminders.rebase(self.tracker.now)
        elif isinstance(item, BusEvent):
            self.tracker.resume(item.bus, item.timestamp)
        return [*self.tracker.advance_to(item.timestamp), *self.alerts.advance_to(item.timestamp)]

    def _process_frame(self, frame: Frame) -> list[Change]:
        self.tally.frames += 1
        timestamp = frame.timestamp
        # The condition is negated so that "nan" is malformed too.
        if not 0 <= timestamp <= MAX_TIMESTAMP:
            self.tally.malformed += 1
            return []
        changes: list[Change] = []
        changes += self.tracker.advance_to(timestamp)
        if frame.is_error or frame.is_remote:
            self.tally.ignored += 1
        else:
            changes += self._interpret(frame, timestamp)
        return changes

    def _interpret(self, frame: Frame, timestamp: float) -> list[Change]:
        """Process a data frame."""
        changes: list[Change] = []
        if frame.is_extended and self.devices.add(frame):
            self._publish_seen(timestamp)
        if self._has_alerts:
            source = frame.arbitration_id & 0xFF if frame.is_extended else None
            changes += self.alerts.receive(timestamp, frame.bus, source)
        if self._decoder is not None and (readings := self._decoder.decode(frame)):
            changes += self._read(readings)
        elif not frame.is_extended:
            self.tally.ignored += 1
            return changes
        dgn = (frame.arbitration_id >> 8) & DGN_MASK
        if dgn in DECODERS:
            changes += self._diagnose(frame)
        elif frame.is_extended:
            changes += self._follow(frame, dgn)
        return changes

    def _follow(self, frame: Frame, dgn: int) -> Sequence[Change]:
        """Process a frame of the transport protocol or an address claim."""
        if dgn >= FIRST_RVC_DGN:
            source = (frame.bus, frame.arbitration_id & 0xFF)
            if source not in self._rvc_sources and len(self._rvc_sources) < MAX_RVC_SOURCES:
                self._rvc_sources.add(source)
            return ()
        group = dgn & 0x1FF00
        if group in (transport.CONTROL, transport.DATA):
            message = self._transport.add(frame)
            self.tally.broken = self._transport.broken
            return () if message is None else self._process_message(message)
        if group == addresses.CLAIM:
            self.devices.add_claim(frame)
            if (moved := self._addresses.add_claim(frame)) is not None:
                return [
                    *self.tracker.move_source(frame.bus, *moved, name=frame.data),
                    *self.alerts.move_source(frame.bus, *moved),
                ]
        return ()

    def _take_restored(self) -> bool:
        """Pass on what another thread has read from the state tables. Return whether there was anything."""
        if not self._restored:
            return False
        while self._restored:
            bus, state = self._restored.popleft()
            self.tracker.restore(state.faults)
            self._addresses.restore(bus, state.addresses)
            self.alerts.restore(state.alerts)
        return True

    def _show_restored(self) -> None:
        standing = list(self.list_standing())
        self._reminders.note(standing, self.tracker.now)
        for change in standing:
            self.on_restored(change)

    def _publish_seen(self, timestamp: float) -> None:
        self.devices.publish(timestamp)
        self.tracker.publish_seen()

    def _process_message(self, message: Frame) -> Sequence[Change]:
        """Process a message that came in several frames."""
        changes: list[Change] = []
        if message.dgn in DECODERS:
            changes += self._diagnose(message)
        if self._decoder is not None:
            changes += self._read(self._decoder.decode(message))
        return changes

    def _read(self, readings: Iterable[Reading]) -> list[Change]:
        changes: list[Change] = []
        for reading in readings:
            changes += self.alerts.add(reading)
            if self._readings.takes(reading):
                changes.append(reading)
        return changes

    def _diagnose(self, frame: Frame) -> Sequence[Change]:
        source = (frame.bus, frame.source_address)
        if frame.dgn == dm_rv.DGN and len(self._rvc_sources) < MAX_RVC_SOURCES:
            self._rvc_sources.add(source)
        report = DECODERS[frame.dgn](frame)
        is_doubtful = frame.dgn == dm1.DGN and dm1.is_repeated_dm_rv(frame)
        if is_doubtful and source not in self._rvc_sources and self._must_wait(source, frame):
            return ()
        if report is None or (is_doubtful and source in self._rvc_sources):
            self.tally.ignored += 1
            return ()
        return self.tracker.add_report(report, frame.timestamp)

    def _must_wait(self, source: tuple[str, int], frame: Frame) -> bool:
        """Return whether it is not known yet if the device speaks RV-C, so that its DM1 can be a copy of a DM_RV."""
        if source not in self._doubtful and len(self._doubtful) >= MAX_RVC_SOURCES:
            return False
        first_at, _frame = self._doubtful.get(source, (frame.timestamp, frame))
        self._doubtful[source] = (min(first_at, frame.timestamp), frame)
        return frame.timestamp - first_at < RVC_HEARD_SECONDS

    def _diagnose_doubtful(self) -> list[FaultChange]:
        """Process what still waits at the end."""
        changes = []
        for source, (first_at, frame) in self._doubtful.items():
            report = dm1.decode(frame)
            is_known = source in self._rvc_sources or frame.timestamp - first_at >= RVC_HEARD_SECONDS
            if report is not None and not is_known:
                changes += self.tracker.add_report(report, frame.timestamp)
        return changes


class ReadingFeed:
    """Decides which readings the rules in Python receive.

    :param intervals: by message, the seconds between two readings of the same device and instance.
    """

    def __init__(self, intervals: Mapping[str, float]) -> None:
        self._intervals = intervals
        self._taken_at: OrderedDict[Hashable, float] = OrderedDict()

    def takes(self, reading: Reading) -> bool:
        interval = self._intervals.get(reading.message)
        if interval is None:
            return False
        before = self._taken_at.pop(reading.key, None)
        is_due = before is None or not 0 <= reading.timestamp - before < interval
        self._taken_at[reading.key] = reading.timestamp if is_due or before is None else before
        if len(self._taken_at) > MAX_READ_THINGS:
            self._taken_at.popitem(last=False)
        return is_due

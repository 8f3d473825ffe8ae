"""What a bridge has seen on its buses, for ``bridge_can --watch``: devices, the last values of signals, and rates."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from notifications.can.frame import BusEvent, Frame, Item
from notifications.can.signals import Reading, SignalDecoder

MAX_DEVICES = 4096
MAX_MESSAGES = 4096


@dataclass(slots=True)
class BusRow:
    """One bus. ``rate`` is the number of frames in a second, lately, on the clock of this machine."""

    name: str
    frames: int = 0
    is_connected: bool = True
    rate: float = 0.0


@dataclass(slots=True)
class DeviceRow:
    """One device. ``last_seen`` is in seconds since 1970, on the clock of the frames."""

    bus: str
    source_address: int
    frames: int
    last_seen: float


@dataclass(frozen=True)
class Snapshot:
    """What was seen up to now.

    :param now: the time on the clock of the frames, in seconds since 1970; None before the first frame.
    :param readings: the last one of each message, device and instance.
    """

    now: float | None = None
    buses: tuple[BusRow, ...] = ()
    devices: tuple[DeviceRow, ...] = ()
    readings: tuple[Reading, ...] = ()


class Activity:
    """Remembers what passes, and describes it on request.

    The thread that reads the bus only stores references to frames. Signals are decoded by the thread that wants to
    see them, and only the messages that the decoder has.

    :param decoder: one of its own, because decoders count in their tally.
    """

    def __init__(self, decoder: SignalDecoder | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._decoder = decoder
        self._clock = clock
        self._now: float | None = None
        self._buses: dict[str, BusRow] = {}
        self._devices: dict[tuple[str, int], DeviceRow] = {}
        self._messages: dict[tuple[str, int, bytes], Frame] = {}
        self._described_at = clock()
        self._frames_before: dict[str, int] = {}

    def observe(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and remember them."""
        for item in items:
            self._now = item.timestamp
            if isinstance(item, Frame):
                self._add_frame(item)
            elif isinstance(item, BusEvent):
                self._buses.setdefault(item.bus, BusRow(item.bus)).is_connected = item.kind != "lost"
            yield item

    def describe(self) -> Snapshot:
        """Return what was seen. Another thread may observe meanwhile."""
        # A copy of a dictionary is one step for the interpreter; an iteration is not.
        devices, buses = self._devices.copy(), self._buses.copy()
        self._measure_rates(buses)
        return Snapshot(
            self._now,
            tuple(buses[name] for name in sorted(buses)),
            tuple(devices[key] for key in sorted(devices)),
            tuple(self._decode(self._messages.copy())),
        )

    def _add_frame(self, frame: Frame) -> None:
        bus = self._buses.get(frame.bus)
        if bus is None:
            bus = self._buses[frame.bus] = BusRow(frame.bus)
        bus.frames += 1
        if not frame.is_data_frame:
            return
        source = (frame.bus, frame.source_address)
        device = self._devices.get(source)
        if device is not None:
            device.frames += 1
            device.last_seen = frame.timestamp
        elif len(self._devices) < MAX_DEVICES:
            self._devices[source] = DeviceRow(*source, 1, frame.timestamp)
        if self._decoder is not None and frame.dgn in self._decoder.by_dgn:
            # The first byte is the instance in most messages.
            message = (frame.bus, frame.arbitration_id, frame.data[:1])
            if message in self._messages or len(self._messages) < MAX_MESSAGES:
                self._messages[message] = frame

    def _measure_rates(self, buses: dict[str, BusRow]) -> None:
        now = self._clock()
        seconds, self._described_at = now - self._described_at, now
        for name, bus in buses.items():
            before, self._frames_before[name] = self._frames_before.get(name, 0), bus.frames
            bus.rate = (bus.frames - before) / seconds if seconds > 0 else 0.0

    def _decode(self, messages: dict[tuple[str, int, bytes], Frame]) -> Iterator[Reading]:
        if self._decoder is not None:
            for key in sorted(messages):
                yield from self._decoder.decode(messages[key])

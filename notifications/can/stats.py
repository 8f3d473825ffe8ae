"""Measure the traffic of buses: frames a second, load, and how many frames each device sends."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from notifications.can.frame import DGN_MASK, Frame, Item
from notifications.can.pending_changes import PendingChanges

RVC_BITRATE = 250_000
MAX_ROWS = 4096
SHOWN_ROWS = 40
# Bits of a frame without data, and how many of them are stuffed like the data. A tenth is added by stuffing, as
# measured in recordings.
EXTENDED_BITS, EXTENDED_STUFFED = 67, 54
STANDARD_BITS, STANDARD_STUFFED = 47, 34
STUFFED_PER_BIT = 10
WITHOUT_PRIORITY = 0x1FFFFFF


class Row(NamedTuple):
    """What is counted together: the frames of one device with one data group number, or of one standard id."""

    bus: str
    is_extended: bool
    number: int

    def __str__(self) -> str:
        if not self.is_extended:
            return f"{self.bus:<12} {self.number:>8X}     -"
        return f"{self.bus:<12} {self.number >> 8 & DGN_MASK:>8X}  {self.number & 0xFF:>4X}"


class Stats:
    """Counts frames, and writes a line every so many seconds of the frames' time.

    :param pending: the changes that wait to be sent.
    :param bitrate: bits per second of the bus, of which the load is a part.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        pending: PendingChanges,
        every: float = 10.0,
        bitrate: int = RVC_BITRATE,
    ) -> None:
        self.write = write
        self.pending = pending
        self.every = every
        self.bitrate = bitrate
        self.frames: Counter[Row] = Counter()
        self.other_frames = 0
        self._recent: Counter[str] = Counter()
        self._recent_bits: Counter[str] = Counter()
        self._since: float | None = None

    def count(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and count the frames among them."""
        for item in items:
            # After a step of the clock in either direction a new interval begins.
            if self._since is None or not 0 <= item.timestamp - self._since < 10 * self.every:
                self._begin(item.timestamp)
            elif item.timestamp - self._since >= self.every:
                self._write_interval(item.timestamp)
            if isinstance(item, Frame):
                self._count_frame(item)
            yield item

    def list_rows(self) -> Iterator[str]:
        """Yield the lines of a table of all frames, the most frequent first."""
        yield f"{'bus':<12} {'DGN':>8}  {'from':>4}  {'frames':>10}"
        for row, count in self.frames.most_common(SHOWN_ROWS):
            yield f"{row!s}  {count:>10}"
        rest = self.frames.total() + self.other_frames - sum(count for _, count in self.frames.most_common(SHOWN_ROWS))
        if rest:
            yield f"{'others':<12} {'':>8}  {'':>4}  {rest:>10}"

    def _count_frame(self, frame: Frame) -> None:
        bus = frame.bus
        number = frame.arbitration_id & WITHOUT_PRIORITY if frame.is_extended else frame.arbitration_id
        row = Row(bus, frame.is_extended, number)
        self._recent[bus] += 1
        self._recent_bits[bus] += count_bits(frame)
        if row in self.frames or len(self.frames) < MAX_ROWS:
            self.frames[row] += 1
        else:
            self.other_frames += 1

    def _begin(self, timestamp: float) -> None:
        self._since = timestamp
        self._recent.clear()
        self._recent_bits.clear()

    def _write_interval(self, timestamp: float) -> None:
        seconds = timestamp - (self._since or 0.0)
        waiting = f"{len(self.pending)} changes waiting, {self.pending.tally.overflowed} dropped"
        for bus in self._recent or {"": 0}:
            load = self._recent_bits[bus] / seconds / self.bitrate
            self.write(f"{bus or 'bus'}: {self._recent[bus] / seconds:.0f} frames/s, load {load:.0%}, {waiting}")
        self._begin(timestamp)


def count_bits(frame: Frame) -> int:
    """Return about how many bits a frame takes on the bus."""
    bits, stuffed = (EXTENDED_BITS, EXTENDED_STUFFED) if frame.is_extended else (STANDARD_BITS, STANDARD_STUFFED)
    data = 8 * len(frame.data)
    return bits + data + (stuffed + data) // STUFFED_PER_BIT

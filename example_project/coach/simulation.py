"""Frames on the RV-C bus of a coach whose water heater has a minor fault and whose furnace has a serious one.

The same seed gives the same frames. Frames are generated lazily, so an hour takes no more memory than a minute.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

PRIORITY = 6 << 26
DM_RV, DC_SOURCE_STATUS_1, TANK_STATUS = 0x1FECA, 0x1FFFD, 0x1FFB7
PANEL, FURNACE, WATER_HEATER = 68, 94, 101
HOUSE_BATTERY, BATTERY_MONITOR = 1, 120
FRESH, BLACK, GREY = 0, 1, 2
RUNNING = 0b0101
YELLOW, RED = 1 << 4, 1 << 6
FAULTY_EVERY, HEALTHY_EVERY = 1.0, 5.0  # seconds; RV-C allows 0.1-1 and at most 5


class SimulatedFrame(NamedTuple):
    """A frame: seconds since the start, the 29-bit id and eight bytes."""

    after: float
    arbitration_id: int
    data: bytes

    def as_candump(self, start: float, bus: str) -> str:
        return f"({start + self.after:.6f}) {bus} {self.arbitration_id:08X}#{self.data.hex().upper()}"


@dataclass(frozen=True)
class Trouble:
    """A fault of one device. It begins and ends at these fractions of the whole time."""

    device: int
    lamp: int
    spn: int
    fmi: int
    begins: float
    ends: float


TROUBLES = (
    Trouble(WATER_HEATER, YELLOW, spn=131, fmi=1, begins=0.2, ends=0.8),
    Trouble(FURNACE, RED, spn=73, fmi=7, begins=0.4, ends=0.7),
)


def frames(seconds: float, seed: int) -> Iterator[SimulatedFrame]:
    """Return the traffic of ``seconds``, ordered by time."""
    sources = [_battery, _tanks, _healthy_panel]
    streams = [source(seconds, Random(f"{seed}-{source.__name__}")) for source in sources]
    streams += [_diagnosed(trouble, seconds, Random(f"{seed}-{trouble.device}")) for trouble in TROUBLES]
    return heapq.merge(*streams)


def _battery(seconds: float, random: Random) -> Iterator[SimulatedFrame]:
    volts, amperes = 13.2, 4.0
    for after in _times(0.5, seconds, random):
        volts = min(max(volts + random.uniform(-0.05, 0.05), 12.4), 14.4)
        amperes = min(max(amperes + random.uniform(-0.5, 0.5), -20.0), 40.0)
        data = bytes([HOUSE_BATTERY, BATTERY_MONITOR])
        data += round(volts / 0.05).to_bytes(2, "little")
        data += (0x77359400 + round(amperes * 1000)).to_bytes(4, "little")
        yield _frame(after, DC_SOURCE_STATUS_1, PANEL, data)


def _tanks(seconds: float, random: Random) -> Iterator[SimulatedFrame]:
    levels = {FRESH: random.randint(10, 30), BLACK: random.randint(0, 10), GREY: random.randint(0, 20)}
    for after in _times(2.0, seconds, random):
        tank = random.choice(list(levels))
        yield _frame(after, TANK_STATUS, PANEL, bytes([tank, levels[tank], 32]))


def _healthy_panel(seconds: float, random: Random) -> Iterator[SimulatedFrame]:
    for after in _times(HEALTHY_EVERY, seconds, random):
        yield _no_fault(after, PANEL)


def _diagnosed(trouble: Trouble, seconds: float, random: Random) -> Iterator[SimulatedFrame]:
    """Yield a device's own DM_RV: every 5 seconds while it is healthy, every second while it has a fault."""
    begins, ends = trouble.begins * seconds, trouble.ends * seconds
    times = random.randint(1, 20)
    for after in _times(HEALTHY_EVERY, begins, random):
        yield _no_fault(after, trouble.device)
    for after in _times(FAULTY_EVERY, ends - begins, random):
        yield _faulty(begins + after, trouble, times)
    for after in _times(HEALTHY_EVERY, seconds - ends, random):
        yield _no_fault(ends + after, trouble.device)


def _times(period: float, seconds: float, random: Random) -> Iterator[float]:
    """Yield times one period apart, each with a random delay."""
    for number in range(int(seconds / period)):
        yield round(number * period + random.uniform(0.0, period / 10), 6)


def _no_fault(after: float, device: int) -> SimulatedFrame:
    return _frame(after, DM_RV, device, bytes([RUNNING, device]))


def _faulty(after: float, trouble: Trouble, times: int) -> SimulatedFrame:
    low = (trouble.spn & 0b111) << 5 | trouble.fmi
    data = bytes([RUNNING | trouble.lamp, trouble.device, 0, trouble.spn >> 3, low, times])
    return _frame(after, DM_RV, trouble.device, data)


def _frame(after: float, dgn: int, source: int, data: bytes) -> SimulatedFrame:
    return SimulatedFrame(after, PRIORITY | dgn << 8 | source, data.ljust(8, b"\xff"))

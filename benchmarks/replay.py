"""Replay of a recording by the CAN bridge, beside a loop over the same file that only reads it with python-can.

The recording has the traffic of an RV-C network: batteries, tanks, thermostats, and two devices that have a fault for
half of the time. The bridge tracks the faults and calls the rules, and does not send.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import can

from benchmarks.figures import Figures, ratio
from benchmarks.place import Place
from notifications.can.bridge import Bridge
from notifications.can.fault_tracker import FaultTracker
from notifications.can.recordings import read_frames
from notifications.can.tally import Tally

FRAMES_PER_SECOND = 800
MESSAGES = (0x19FFFD44, 0x19FFFC44, 0x19FFB745, 0x19FF9C46, 0x19FFDC47, 0x19FEF048)
DM_RV = 0x19FECA
NO_FAULT = "FFFFFFFFFFFF"


def run(place: Place) -> Iterator[Figures]:
    path = place.folder / "coach.log"
    frames = place.size(200_000, 5_000)
    write_recording(path, frames)
    ours, bare = [], []
    for _ in range(place.size(7, 1)):
        # Rounds are short, so that other work on the machine affects both sides.
        ours.append(measure(lambda: replay(path)))
        bare.append(measure(lambda: read_only(path)))
    per_second = frames / min(ours)
    details = f"{frames:,} frames, CPU time; {min(ours) / frames * 1e6:.1f} µs for each, without the bridge "
    details += f"{min(bare) / frames * 1e6:.1f} µs"
    yield Figures("frames a second of a replay", place.database, per_second, "frames/s", 50_000, True, details)
    what = "time of a replay, to that of python-can's LogReader alone"
    yield Figures(what, place.database, ratio(ours, bare), "x", 2.0, False, details)


def write_recording(path: Path, frames: int) -> None:
    random = Random(1)
    with path.open("w", encoding="ascii") as file:
        for number in range(frames):
            at = 1_700_000_000 + number / FRAMES_PER_SECOND
            if number % 40:
                arbitration_id, data = random.choice(MESSAGES), random.randbytes(8).hex().upper()
            else:
                device = 0x44 + number // 40 % 6
                has_fault = device < 0x46 and number % (FRAMES_PER_SECOND * 60) < FRAMES_PER_SECOND * 30
                arbitration_id = DM_RV << 8 | device
                data = f"15{device:02X}00106102FFFF" if has_fault else f"05{device:02X}{NO_FAULT}"
            file.write(f"({at:.6f}) can0 {arbitration_id:08X}#{data}\n")


def replay(path: Path) -> None:
    tally = Tally()
    for _change in Bridge(FaultTracker(tally)).process(read_frames(path, tally)):
        pass
    assert tally.raised, tally


def read_only(path: Path) -> None:
    with can.LogReader(path) as messages:
        for _message in messages:
            pass


def measure(function: Callable[[], None]) -> float:
    """Return the CPU seconds of one call."""
    began = time.process_time()
    function()
    return time.process_time() - began

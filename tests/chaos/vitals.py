"""What a process has in use, sampled while it works, and whether that grows."""

import time
from dataclasses import dataclass, field
from pathlib import Path

PAGE_KB = 4


@dataclass
class Vitals:
    """Of one process, by its id. Reads ``/proc``, so Linux only."""

    pid: int
    every: float = 1.0
    times: list[float] = field(default_factory=list)
    kilobytes: list[float] = field(default_factory=list)
    handles: list[float] = field(default_factory=list)

    def sample_now_and_then(self) -> None:
        if not self.times or time.monotonic() - self.times[-1] >= self.every:
            self.sample()

    def sample(self) -> None:
        place = Path(f"/proc/{self.pid}")
        self.times.append(time.monotonic())
        self.kilobytes.append(int((place / "statm").read_text().split()[1]) * PAGE_KB)
        self.handles.append(len(list((place / "fd").iterdir())))

    @property
    def memory(self) -> str:
        """From the beginning of the time that counts to its end."""
        _, values = later(self.times, self.kilobytes)
        return f"{values[0] / 1024:.1f} to {values[-1] / 1024:.1f} MB"

    @property
    def memory_slope(self) -> float:
        """Kilobytes a minute."""
        return 60 * slope(*later(self.times, self.kilobytes))

    @property
    def handles_slope(self) -> float:
        """Open files a minute."""
        return 60 * slope(*later(self.times, self.handles))

    @property
    def more_handles(self) -> float:
        """By how many open files it has grown in the time that counts."""
        times, _ = later(self.times, self.handles)
        return self.handles_slope * (times[-1] - times[0]) / 60


def later(times: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """The last two thirds: before that a process is still warming up."""
    skipped = len(times) // 3
    return times[skipped:], values[skipped:]


def slope(times: list[float], values: list[float]) -> float:
    """How much a value grows in a second, by least squares."""
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((at - middle) ** 2 for at in times)
    return sum((at - middle) * (value - mean) for at, value in zip(times, values, strict=True)) / spread

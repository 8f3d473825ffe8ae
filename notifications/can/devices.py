"""Which devices have sent frames, for the table of devices. One thread collects it, and another writes it."""

import threading
from dataclasses import dataclass

from notifications.can.frame import Frame

PUBLISHED_EVERY_SECONDS = 30.0
MAX_DEVICES = 4096


@dataclass(slots=True)
class Sighting:
    """The frames of one source address since the last time.

    :ivar name: the 64-bit NAME that the device has claimed the address with; empty if it has not.
    """

    first_seen_at: float
    last_seen_at: float
    frames: int = 0
    name: bytes = b""

    def merge(self, later: "Sighting") -> "Sighting":
        """Return both in one."""
        frames = self.frames + later.frames
        return Sighting(self.first_seen_at, later.last_seen_at, frames, later.name or self.name)


Sightings = dict[tuple[str, int], Sighting]
"""The sightings by bus and source address."""


class DeviceBook:
    """Counts the frames of each source address.

    One thread calls :meth:`add` and :meth:`add_claim`, and another one may call :meth:`take`.
    """

    def __init__(self) -> None:
        self._seen: Sightings = {}
        self._published: Sightings = {}
        self._lock = threading.Lock()
        self._published_at = float("-inf")

    def add(self, frame: Frame) -> bool:
        """Count a data frame. Return whether it is time to publish what was seen, twice a minute."""
        key = (frame.bus, frame.arbitration_id & 0xFF)
        one = self._seen.get(key)
        if one is None:
            if len(self._seen) >= MAX_DEVICES:
                return False
            one = self._seen[key] = Sighting(frame.timestamp, frame.timestamp)
        one.frames += 1
        one.last_seen_at = frame.timestamp
        # The clock can also be set back.
        return not 0 <= frame.timestamp - self._published_at < PUBLISHED_EVERY_SECONDS

    def add_claim(self, frame: Frame) -> None:
        """Note the NAME of an address claim, after :meth:`add`."""
        one = self._seen.get((frame.bus, frame.source_address))
        if one is not None and len(frame.data) == 8:
            one.name = frame.data

    def publish(self, timestamp: float) -> None:
        """Let :meth:`take` return what was seen."""
        self._published_at = timestamp
        seen, self._seen = self._seen, {}
        with self._lock:
            for key, one in seen.items():
                before = self._published.get(key)
                self._published[key] = one if before is None else before.merge(one)

    def take(self) -> Sightings:
        """Return what was published and not taken yet."""
        with self._lock:
            published, self._published = self._published, {}
        return published

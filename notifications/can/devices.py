"""Which devices have sent frames, for the table of devices. One thread collects it, and another writes it."""

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


Sightings = dict[tuple[str, int], Sighting]
"""The sightings by bus and source address."""


class DeviceBook:
    """Counts the frames of each source address.

    One thread calls :meth:`add` and :meth:`add_claim`, and another one may call :meth:`take`.
    """

    def __init__(self) -> None:
        self._seen: Sightings = {}
        self._published: Sightings | None = None
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
        """Let :meth:`take` return what was seen. If the last was not taken yet, what was seen is kept."""
        self._published_at = timestamp
        if self._published is None:
            self._published, self._seen = self._seen, {}

    def take(self) -> Sightings:
        """Return what was published and not taken yet."""
        published, self._published = self._published, None
        return published or {}

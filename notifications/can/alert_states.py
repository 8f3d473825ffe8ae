"""What is known about alerts that are open or can begin, and about the buses that they are about."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import heapify, heappop, heappush

from notifications.can.alerts import AlertChange, AlertKey, AlertKind
from notifications.can.conditions import describe_value
from notifications.can.rule_types import AlertRule
from notifications.can.signals import Reading, Value

NO_SOURCE = -1

Source = tuple[str, int]


@dataclass(slots=True)
class State:
    """What is known about one alert that is open or can begin.

    :ivar key: identifies it. ``origin`` is the key when it began; the device can get another address.
    :ivar turning_since: since when it has been about to begin or, if it has begun, to end; None if it is not.
    :ivar instance: that of the message, for the text.
    :ivar about: what is the case, if it is not about one value.
    :ivar heard_at: when the device was heard last, in a rule about silence.
    :ivar is_watch: whether it exists from when its bus or device was heard first, and does not need room.
    :ivar repeated_at: when it was notified last.
    """

    rule: AlertRule
    key: AlertKey
    origin: AlertKey
    has_begun: bool = False
    turning_since: float | None = None
    heard_at: float = 0.0
    repeated_at: float = 0.0
    message: str = ""
    field: str = ""
    value: Value = None
    unit: str = ""
    instance: int | None = None
    about: str = ""
    is_watch: bool = False

    def note(self, reading: Reading, name: str, value: Value, unit: str) -> None:
        """Keep the value that decides."""
        self.message, self.instance = reading.message, reading.instance
        self.field, self.value, self.unit, self.about = name, value, unit, ""

    @property
    def text(self) -> str:
        return self.about or describe_value(self.message, self.field, self.value, self.unit, self.instance)

    def find_delay(self) -> float:
        return self.rule.clear_after if self.has_begun else self.rule.begin_after

    def make_change(self, kind: AlertKind, timestamp: float) -> AlertChange:
        return AlertChange(
            kind,
            *self.origin,
            self.rule.severity,
            self.message,
            self.field,
            self.value,
            self.unit,
            self.text,
            datetime.fromtimestamp(max(timestamp, 0.0), UTC),
        )


@dataclass(slots=True)
class Bus:
    """What is known about a bus.

    :ivar heard_at: when there was a frame last.
    :ivar awake_since: since when there have been frames without a pause that matters.
    :ivar waiting: the alerts that were due while nothing was heard.
    :ivar devices: the states of rules about silence, by source address.
    :ivar silence: the states of rules about the silence of this bus.
    :ivar is_silent: whether one of these has begun.
    """

    name: str
    heard_at: float
    awake_since: float
    is_lost: bool = False
    waiting: set[AlertKey] = field(default_factory=set)
    devices: dict[int, list[State]] = field(default_factory=dict)
    silence: list[State] = field(default_factory=list)
    is_silent: bool = False


def find_source(key: AlertKey) -> Source:
    return key.bus, NO_SOURCE if key.source_address is None else key.source_address


class Room:
    """Counts what is kept of each source address, so that one of them cannot use more than half of the room."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._count = 0
        self._by_source: Counter[Source] = Counter()

    def has(self, key: AlertKey) -> bool:
        """Return whether there is room for one more."""
        return self._count < self.size and self._by_source[find_source(key)] * 2 < self.size

    def add(self, key: AlertKey) -> None:
        self._count += 1
        self._by_source[find_source(key)] += 1

    def remove(self, key: AlertKey) -> None:
        source = find_source(key)
        self._count -= 1
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]


class Deadlines:
    """When alerts are looked at again. For each there is one time, the earliest."""

    def __init__(self) -> None:
        self._times: dict[AlertKey, float] = {}
        # Entries whose time differs from that of their key are out of date.
        self._heap: list[tuple[float, int, AlertKey]] = []
        self._number = 0
        self.first = float("inf")
        """When something is due next, or earlier."""

    def add(self, key: AlertKey, time: float) -> None:
        if time >= self._times.get(key, float("inf")):
            return
        self._times[key] = time
        self._number += 1
        heappush(self._heap, (time, self._number, key))
        self.first = min(self.first, time)
        if len(self._heap) > 4 * len(self._times) + 1000:
            self._heap = [entry for entry in self._heap if self._times.get(entry[2]) == entry[0]]
            heapify(self._heap)

    def pop(self, now: float) -> AlertKey | None:
        """Return the next key whose time has come; None if there is none."""
        while self._heap and self._heap[0][0] <= now:
            time, _number, key = heappop(self._heap)
            if self._times.get(key) == time:
                del self._times[key]
                return key
        self.first = self._heap[0][0] if self._heap else float("inf")
        return None

    def clear(self) -> None:
        self._times.clear()
        self._heap.clear()
        self.first = float("inf")

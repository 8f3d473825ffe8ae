"""Decode the values of signals from frames, as DBC files define them (read with cantools).

A message of RV-C or SAE J1939 is recognised by its data group number (DGN), any other by its identifier. Only the
messages that somebody needs are decoded.
"""

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from notifications.can.frame import DGN_MASK, Frame
from notifications.can.tally import Tally

Value = float | str | None
Decoded = tuple[dict[str, Value], int | None, int]
"""Values, instance, and how many values are not plausible. Without any value the instance is not valid."""

IDENTITY = "KlaxonIdentity"
"""The attribute of signals in a DBC file that together are the instance, numbered from 1, the lowest bits first."""
FIRST_CODE = 0xFD
"""The first code in the top byte that is not a value: FD is reserved, FE out of range, and FF not available."""
TOTAL = ("TANK_STATUS", "Level", "RelativeLevel", "Resolution")
"""The message with a field that is computed, in percent: its name, and those of the dividend and the divisor."""
DIGITS = 9
MAX_KNOWN = 4096
"""How many different payloads of a message are remembered with their values. Devices repeat most of theirs."""
SYMBOLS = {"degC": "°C", "deg C": "°C", "Deg C": "°C", "degF": "°F"}


# It is not frozen, because then each would take several times as long to make.
@dataclass(slots=True)
class Reading:
    """The values in one message. Nothing changes them.

    :param source_address: the address of the sender; None if the message has none.
    :param instance: which of several, such as the second battery; None if there is only one.
    :param values: by field; a number, or the word for it that the DBC file has. None means that the device does not
        know the value, or that it is not plausible.
    :param units: by field; empty if it has none.
    :param timestamp: seconds since 1970, in UTC, from the frame.
    """

    bus: str
    source_address: int | None
    message: str
    instance: int | None
    values: Mapping[str, Value]
    units: Mapping[str, str]
    timestamp: float

    @property
    def kind(self) -> str:
        return "reading"

    @property
    def severity(self) -> int:
        return 0

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.timestamp, UTC)

    @property
    def key(self) -> Hashable:
        return (self.message, self.bus, self.source_address, self.instance)

    @property
    def correlation_id(self) -> str:
        parts = (self.message[-24:], self.bus[-32:], self.source_address, self.instance)
        return ":".join(["reading", *("-" if part is None else str(part) for part in parts)])

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        names = ("kind", "bus", "source_address", "message", "instance")
        return {**{name: getattr(self, name) for name in names}, "values": dict(self.values), "at": self.at.isoformat()}

    def as_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(self.as_dict())

    def __str__(self) -> str:
        known = [f"{name} {format_value(value, self.units[name])}" for name, value in self.values.items()]
        instance = "" if self.instance is None else f" instance {self.instance}"
        return f"{self.at:%Y-%m-%d %H:%M:%S} UTC {self.bus}: {self.message}{instance}: {', '.join(known)}."


def format_value(value: Value, unit: str) -> str:
    """Return a value as text, such as ``12.05 V``."""
    if value is None:
        return "not available"
    text = value if isinstance(value, str) else f"{value:.6g}"
    return f"{text} {unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Field:
    """One signal of a message.

    :ivar limit: the first raw value that is a code and not a value; None if there is no such code.
    :ivar tolerance: what a value may be outside of its range because of rounding.
    """

    name: str
    unit: str
    choices: Mapping[int, str]
    conversion: Any
    limit: int | None
    minimum: float | None
    maximum: float | None
    tolerance: float
    is_identity: bool

    @classmethod
    def of(cls, signal: Any, is_j1939: bool) -> "Field":
        has_range = signal.minimum is not None and signal.maximum is not None and signal.minimum < signal.maximum
        return cls(
            signal.name,
            SYMBOLS.get(signal.unit, signal.unit or ""),
            {raw: str(name) for raw, name in (signal.choices or {}).items()},
            signal.conversion,
            find_limit(signal.length) if is_j1939 and not signal.is_signed and not signal.is_float else None,
            float(signal.minimum) if has_range else None,
            float(signal.maximum) if has_range else None,
            abs(signal.scale) / 2,
            find_position(signal) > 0,
        )

    def is_plausible(self, value: float) -> bool:
        if self.minimum is None or self.maximum is None:
            return isfinite(value)
        return self.minimum - self.tolerance <= value <= self.maximum + self.tolerance

    def read(self, raw: float) -> tuple[Value, bool]:
        """Return the value, and whether it is plausible."""
        if self.limit is not None and raw >= self.limit:
            return None, True
        if self.choices and (word := self.choices.get(raw)) is not None:  # type: ignore[call-overload]
            return word, True
        value = self.conversion.raw_to_scaled(raw, decode_choices=False)
        if isinstance(value, float):
            # 2272 times 0.05 is 113.60000000000001.
            value = round(value, DIGITS)
        return (value, True) if self.is_plausible(value) else (None, False)


def find_limit(length: int) -> int | None:
    """Return the first raw value of this many bits that is a code, such as "not available"."""
    if length == 1:
        return None
    if length % 8 == 0:
        return FIRST_CODE << (length - 8)
    # 10 in two bits, and 1110 in four, mean an error. Other lengths only have the code for "not available".
    return (1 << length) - (2 if length in (2, 4) else 1)


def find_position(signal: Any) -> int:
    """Return the place of a signal in the identity of its message; 0 if it does not belong to it."""
    attribute = (signal.dbc.attributes if signal.dbc else {}).get(IDENTITY)
    return int(attribute.value) if attribute is not None else 0


class Message:
    """A message that a DBC file defines.

    :ivar dgn: its data group number; None if it is recognised by its identifier.
    """

    def __init__(self, message: Any, is_j1939: bool) -> None:
        self.name: str = message.name
        self.frame_id: int = message.frame_id
        self.is_extended: bool = message.is_extended_frame
        self.dgn = find_dgn(message.frame_id) if is_j1939 else None
        self.fields = {signal.name: Field.of(signal, is_j1939) for signal in message.signals}
        self.units = {name: one.unit for name, one in self.fields.items()}
        if message.name == TOTAL[0]:
            self.units[TOTAL[1]] = "%"
        self.identity = find_identity(message.signals)
        self._message = message
        self._known: dict[bytes, Decoded | None] = {}

    @property
    def field_names(self) -> tuple[str, ...]:
        """The names of the fields that rules can use."""
        return tuple(self.units)

    def read(self, frame: Frame, errors: tuple[type[Exception], ...], tally: Tally) -> Reading | None:
        """Return the values of a frame; None if it cannot be decoded or its instance is not valid."""
        data = frame.data
        if data not in self._known:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[data] = self._decode(data, errors)
        known = self._known[data]
        if known is None:
            tally.undecoded += 1
            return None
        values, instance, implausible = known
        if implausible:
            tally.implausible += implausible
            if not values:
                return None
        source = frame.arbitration_id & 0xFF if self.dgn is not None else None
        return Reading(frame.bus, source, self.name, instance, values, self.units, frame.timestamp)

    def _decode(self, data: bytes, errors: tuple[type[Exception], ...]) -> Decoded | None:
        try:
            raw = self._message.decode_simple(data, decode_choices=False, scaling=False, allow_truncated=True)
        except errors:
            return None
        values: dict[str, Value] = {}
        implausible = 0
        for name, one in self.fields.items():
            values[name], is_plausible = one.read(raw[name]) if name in raw else (None, True)
            if not is_plausible:
                if one.is_identity:
                    return {}, None, 1
                implausible += 1
        if self.name == TOTAL[0]:
            values[TOTAL[1]], is_plausible = find_share(values)
            implausible += not is_plausible
        return values, self._number(raw), implausible

    def _number(self, raw: Mapping[str, int]) -> int | None:
        parts = [(raw[name], bits, shift) for name, bits, shift in self.identity if name in raw]
        if all(value == (1 << bits) - 1 for value, bits, _shift in parts):
            return None
        return sum(value << shift for value, _bits, shift in parts)


def find_dgn(frame_id: int) -> int:
    """Return the DGN of a 29-bit identifier, without the address of the receiver if it is a part of the identifier."""
    dgn = (frame_id >> 8) & DGN_MASK
    return dgn if dgn & 0xF000 == 0xF000 else dgn & 0x1FF00


def find_identity(signals: Iterable[Any]) -> tuple[tuple[str, int, int], ...]:
    """Return the signals that are the instance, each with its bits and its place in the number.

    Without the attribute ``KlaxonIdentity`` it is a signal that is called ``Instance``, if there is one.
    """
    marked = sorted((find_position(one), one.name, one.length) for one in signals if find_position(one))
    if not marked:
        marked = [(1, one.name, one.length) for one in signals if one.name.lower() == "instance" and not one.is_float]
    shifts = [sum(length for _number, _name, length in marked[:index]) for index in range(len(marked))]
    return tuple((name, length, shift) for (_number, name, length), shift in zip(marked, shifts, strict=True))


def find_share(values: Mapping[str, Value]) -> tuple[float | None, bool]:
    """Return the computed field, and whether it is plausible."""
    part, whole = values.get(TOTAL[2]), values.get(TOTAL[3])
    if not isinstance(part, int | float) or not isinstance(whole, int | float) or not whole:
        return None, True
    return (100 * part / whole, True) if part <= whole else (None, False)


@dataclass
class SignalDecoder:
    """Decodes some messages. Frames of all others are skipped.

    :param messages: the messages that are needed.
    :param errors: what the decoding of a damaged frame raises.
    """

    messages: Iterable[Message]
    tally: Tally
    errors: tuple[type[Exception], ...] = (ValueError,)
    by_dgn: dict[int, list[Message]] = field(default_factory=dict)
    by_id: dict[tuple[int, bool], list[Message]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in self.messages:
            if one.dgn is not None:
                self.by_dgn.setdefault(one.dgn, []).append(one)
            else:
                self.by_id.setdefault((one.frame_id, one.is_extended), []).append(one)

    def decode(self, frame: Frame) -> list[Reading]:
        """Return the readings in a data frame: usually none or one. A long frame is a message of several frames."""
        found: Iterable[Message] | None = None
        if frame.is_extended:
            dgn = (frame.arbitration_id >> 8) & DGN_MASK
            found = self.by_dgn.get(dgn if dgn & 0xF000 == 0xF000 else dgn & 0x1FF00)
        if self.by_id and found is None:
            found = self.by_id.get((frame.arbitration_id, frame.is_extended))
        if found is None:
            return []
        return [reading for message in found if (reading := message.read(frame, self.errors, self.tally)) is not None]

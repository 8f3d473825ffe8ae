"""The items that a bus yields: frames, ticks while there are none, and events of the connection."""

from dataclasses import dataclass
from typing import Any, Literal

DGN_MASK = 0x1FFFF
# 1 January 3000. A later timestamp, or one that is not a number, comes from a damaged recording.
MAX_TIMESTAMP = 32_503_680_000.0


# It is not frozen, because to create a frozen one takes three times as long, and there are thousands a second.
@dataclass(slots=True)
class Frame:
    """One CAN frame.

    :param timestamp: seconds since 1970, in UTC, from the interface or the recording.
    :param bus: the name of the channel; empty if the source does not contain it.
    :param arbitration_id: 29 bits if ``is_extended``, otherwise 11.
    """

    timestamp: float
    bus: str
    arbitration_id: int
    data: bytes
    is_extended: bool = True
    is_error: bool = False
    is_remote: bool = False

    @classmethod
    def of(cls, message: Any, bus: str = "") -> "Frame":
        """Return the frame in a python-can message. ``bus`` is used if the message does not name its channel."""
        channel = message.channel
        return cls(
            message.timestamp,
            bus if channel is None else str(channel),
            message.arbitration_id,
            bytes(message.data or b""),
            message.is_extended_id,
            message.is_error_frame,
            message.is_remote_frame,
        )

    @property
    def dgn(self) -> int:
        """The data group number: bits 24-8. The higher bits (priority and a reserved bit) do not affect the content."""
        return (self.arbitration_id >> 8) & DGN_MASK

    @property
    def source_address(self) -> int:
        return self.arbitration_id & 0xFF

    @property
    def is_data_frame(self) -> bool:
        """Whether this is an extended data frame. RV-C and J1939 use no others."""
        return self.is_extended and not self.is_error and not self.is_remote

    @property
    def has_valid_timestamp(self) -> bool:
        return 0 <= self.timestamp <= MAX_TIMESTAMP


@dataclass(frozen=True, slots=True)
class SilenceTick:
    """A tick while no frames are received. ``timestamp`` is the current time on the clock of the frames."""

    timestamp: float


@dataclass(frozen=True, slots=True)
class BusEvent:
    """The connection to a bus was lost, or is back. Between the two nothing is known about the bus. Or the clock of its
    frames was set forward, so that less time has passed than their timestamps say.

    :param timestamp: when it happened, on the clock of the frames. If that was set: the new time.
    :param bus: the name of the channel, as in the frames.
    :param reason: why it was lost, in one line; empty if it is back.
    """

    kind: Literal["lost", "back", "set"]
    timestamp: float
    bus: str
    reason: str = ""


Item = Frame | SilenceTick | BusEvent
"""What a source yields."""

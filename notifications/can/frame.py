"""What comes from a bus: a frame, or the news that none came."""

from dataclasses import dataclass
from typing import Any

DGN_MASK = 0x1FFFF
# 1 January 3000. What claims to be later (or is not a number) comes from a damaged recording and has no date.
LATEST = 32_503_680_000.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One CAN frame.

    :param timestamp: seconds since 1970, in UTC, as the interface or the recording says.
    :param bus: the name of the channel; empty where the source does not know it.
    :param arbitration_id: 29 bits where ``is_extended``, else 11.
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
        """The frame in a python-can message; ``bus`` names the channel of a message that does not."""
        return cls(
            timestamp=message.timestamp,
            bus=bus if message.channel is None else str(message.channel),
            arbitration_id=message.arbitration_id,
            data=bytes(message.data or b""),
            is_extended=message.is_extended_id,
            is_error=message.is_error_frame,
            is_remote=message.is_remote_frame,
        )

    @property
    def dgn(self) -> int:
        """The data group number: bits 24-8. The priority and the reserved bit above say nothing about the content."""
        return (self.arbitration_id >> 8) & DGN_MASK

    @property
    def source_address(self) -> int:
        return self.arbitration_id & 0xFF

    @property
    def carries_data(self) -> bool:
        """RV-C and J1939 speak in extended data frames only."""
        return self.is_extended and not self.is_error and not self.is_remote

    @property
    def is_dated(self) -> bool:
        return 0 <= self.timestamp <= LATEST


@dataclass(frozen=True, slots=True)
class Quiet:
    """No frame came for a while; by the clock of the frames it is now this time."""

    timestamp: float

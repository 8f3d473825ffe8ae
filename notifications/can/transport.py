"""Put together messages of more than eight bytes (the transport protocol of SAE J1939-21, which RV-C uses too).

Both forms are read: broadcasts (BAM), and transfers to one device (RTS and CTS), to which this module only listens. The
time is that of the frames.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from notifications.can.frame import Frame

CONTROL, DATA = 0xEC00, 0xEB00
"""The DGNs of both kinds of frames. Their lowest byte is the address of the receiver."""
RTS, CTS, END, BROADCAST, ABORT = 16, 17, 19, 32, 255
EVERYBODY = 0xFF
PACKET_BYTES = 7
MAX_BYTES = 255 * PACKET_BYTES
# A sender may pause for 0.75 seconds in a broadcast and for 1.25 seconds in a transfer.
MAX_PAUSE_SECONDS = 1.25
MAX_TRANSFERS = 1024
PRIORITY = 6 << 26

Key = tuple[str, int, int]


@dataclass(slots=True)
class Transfer:
    """A message of which some packets may be missing yet."""

    dgn: int
    size: int
    packets: int
    last_at: float
    received: dict[int, bytes] = field(default_factory=dict)

    def hear(self, timestamp: float) -> None:
        """Go on, unless the pause was too long."""
        if not self.has_stopped(timestamp):
            self.last_at = timestamp

    def has_stopped(self, timestamp: float) -> bool:
        return abs(timestamp - self.last_at) > MAX_PAUSE_SECONDS

    @property
    def is_complete(self) -> bool:
        return len(self.received) == self.packets

    @property
    def data(self) -> bytes:
        return b"".join(self.received[number] for number in range(1, self.packets + 1))[: self.size]


class Transport:
    """Keeps the transfers of all buses that have begun. Those that do not go on are forgotten."""

    def __init__(self) -> None:
        # The longest without a packet first.
        self._transfers: OrderedDict[Key, Transfer] = OrderedDict()
        self.broken = 0

    def add(self, frame: Frame) -> Frame | None:
        """Process a frame of either kind, and return the message that it completes, as a long frame.

        ``broken`` counts the transfers that remained incomplete and the frames that cannot be read.
        """
        if len(frame.data) != 8:
            self.broken += 1
            return None
        if frame.dgn & 0x1FF00 == CONTROL:
            self._control(frame)
            return None
        return self._add_packet(frame)

    def _control(self, frame: Frame) -> None:
        sender, receiver, data = frame.source_address, frame.dgn & 0xFF, frame.data
        kind = data[0]
        if kind in (RTS, BROADCAST):
            self._begin((frame.bus, sender, receiver), frame)
        elif kind == CTS:
            # A receiver that is busy repeats it, and the sender waits for as long.
            if (transfer := self._transfers.get((frame.bus, receiver, sender))) is not None:
                transfer.hear(frame.timestamp)
        elif kind == END:
            # The receiver has everything; this listener may have missed a packet.
            self._forget((frame.bus, receiver, sender))
        elif kind == ABORT:
            self._forget((frame.bus, receiver, sender))
            self._forget((frame.bus, sender, receiver))

    def _begin(self, key: Key, frame: Frame) -> None:
        data = frame.data
        size, packets = int.from_bytes(data[1:3], "little"), data[3]
        # A new transfer between the same devices replaces the one before.
        self._forget(key)
        is_broadcast = data[0] == BROADCAST
        if not 8 < size <= MAX_BYTES or packets != -(-size // PACKET_BYTES) or is_broadcast != (key[2] == EVERYBODY):
            self.broken += 1
            return
        self._transfers[key] = Transfer(int.from_bytes(data[5:8], "little"), size, packets, frame.timestamp)
        if len(self._transfers) > MAX_TRANSFERS:
            self._transfers.popitem(last=False)
            self.broken += 1

    def _add_packet(self, frame: Frame) -> Frame | None:
        key = (frame.bus, frame.source_address, frame.dgn & 0xFF)
        transfer = self._transfers.get(key)
        if transfer is None:
            return None
        if transfer.has_stopped(frame.timestamp):
            self._forget(key)
            return None
        number = frame.data[0]
        if not 1 <= number <= transfer.packets:
            self._forget(key)
            return None
        transfer.last_at = frame.timestamp
        # A receiver can ask for packets again; the last ones count.
        transfer.received[number] = frame.data[1:]
        if not transfer.is_complete:
            self._transfers.move_to_end(key)
            return None
        del self._transfers[key]
        arbitration_id = PRIORITY | (transfer.dgn & 0x1FFFF) << 8 | frame.source_address
        return Frame(frame.timestamp, frame.bus, arbitration_id, transfer.data)

    def _forget(self, key: Key) -> None:
        if self._transfers.pop(key, None) is not None:
            self.broken += 1

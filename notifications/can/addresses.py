"""Follow devices that change their source address (SAE J1939-81, and RV-C 3.3).

A device claims an address with its 64-bit NAME, which is unique. If another device with a more important NAME claims
the same address, the first one claims a new one.
"""

from collections import OrderedDict
from collections.abc import Mapping

from notifications.can.frame import Frame

CLAIM = 0xEE00
"""The DGN of an address claim, without the address of the receiver."""
CANNOT_CLAIM = 0xFE
MAX_DEVICES = 4096


class AddressBook:
    """Knows the source address of each device that has claimed one."""

    def __init__(self) -> None:
        self._addresses: OrderedDict[tuple[str, bytes], int] = OrderedDict()

    def restore(self, bus: str, addresses: Mapping[bytes, int]) -> None:
        """Continue with the addresses that devices had when the bridge stopped. What they have claimed since counts.

        Any thread can call this.
        """
        for name, address in addresses.items():
            self._addresses.setdefault((bus, name), address)

    def add_claim(self, frame: Frame) -> tuple[int, int] | None:
        """Process an address claim.

        :returns: the addresses before and after, if the device has another one than before.
        """
        if len(frame.data) != 8 or frame.source_address >= CANNOT_CLAIM:
            return None
        device = (frame.bus, frame.data)
        before = self._addresses.pop(device, None)
        self._addresses[device] = frame.source_address
        if len(self._addresses) > MAX_DEVICES:
            self._addresses.popitem(last=False)
        if before in (None, frame.source_address):
            return None
        return before, frame.source_address

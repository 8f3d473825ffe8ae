"""Decode DM1, the message with the active faults of a device in SAE J1939 (data group FECA), defined in SAE J1939-73.

=========  =========================================================================================
byte 0     lamps: bits 0-1 protect, 2-3 amber warning, 4-5 red stop, 6-7 malfunction indicator
byte 1     how the lamps flash, in the same order
byte 2-5   a fault: 16 bits SPN, lowest byte first; the upper 3 bits of the SPN and 5 bits FMI; and
           7 bits occurrence count, 7F if it is not available
byte 6-9   the next fault, and so on
=========  =========================================================================================

A device with more than one fault sends a message of several frames. Each message contains all faults of its device.
"""

from notifications.can.faults import Device, Fault, Report
from notifications.can.frame import Frame

DGN = 0x0FECA
PROTOCOL = "j1939"
MIN_LENGTH = 6
FAULT_BYTES = 4
LIT = 0b01
LAMPS = ((0, "protect"), (2, "yellow"), (4, "red"), (6, "malfunction"))
NO_SPN = 0x7FFFF
NO_COUNT = 0x7F
NO_FLASHING = (0x00, 0xFF)


def decode(frame: Frame) -> Report | None:
    """Return the report in a DM1 message; None if it is too short."""
    data = frame.data
    if len(data) < MIN_LENGTH:
        return None
    lamps = tuple(name for shift, name in LAMPS if data[0] >> shift & 0b11 == LIT)
    # A single frame has room for one fault; the two bytes after it are filled up.
    ends = range(2 + FAULT_BYTES, len(data) + 1, FAULT_BYTES)
    faults = [_parse_fault(data[end - FAULT_BYTES : end], lamps) for end in ends]
    device = Device(frame.bus, frame.source_address, frame.source_address)
    return Report(PROTOCOL, device, tuple(fault for fault in faults if fault is not None), is_complete=True)


def is_repeated_dm_rv(frame: Frame) -> bool:
    """Return whether a frame of an RV-C device can be a DM_RV that it also sends under the DGN of DM1.

    Its second byte is then a source address. In DM1 the second byte is FF, or 0 in old devices, unless a lamp flashes.
    """
    return len(frame.data) <= 8 and len(frame.data) > 1 and frame.data[1] not in NO_FLASHING


def _parse_fault(data: bytes, lamps: tuple[str, ...]) -> Fault | None:
    spn = data[0] | data[1] << 8 | (data[2] & 0b1110_0000) << 11
    fmi, count = data[2] & 0x1F, data[3] & 0x7F
    # Zeros mean that there is no fault, and so do ones.
    if spn in (0, NO_SPN):
        return None
    return Fault(None, spn, fmi, lamps, None if count == NO_COUNT else count)

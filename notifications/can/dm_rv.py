"""Decode DM_RV, the diagnostic message of RV-C (data group 1FECA), defined in section 3.2.5 of the RV-C layer document.

========  ==========================================================================================
byte 0    bits 0-3 operating status, 4-5 yellow lamp, 6-7 red lamp
byte 1    default source address (DSA) of the device that has the fault
byte 2-4  SPN, most significant bits first (unlike J1939 DM1), then 5 bits FMI
byte 5    bits 0-6 occurrence count; 7F not available
========  ==========================================================================================
"""

from notifications.can.faults import Device, Fault, Report
from notifications.can.frame import Frame

DGN = 0x1FECA
PROTOCOL = "rvc"
MIN_LENGTH = 6
LIT = 0b01  # 00 is off, 10 error, 11 not available
NO_FAULT_SPN = 0x7FF  # all ones; if bytes 2-5 are FF, which also means "no fault", the SPN is all ones too
NO_COUNT = 0x7F


def decode(frame: Frame) -> Report | None:
    """Return the report in a DM_RV frame; None if the frame is too short or blank."""
    data = frame.data
    if len(data) < MIN_LENGTH or _is_blank(data):
        return None
    device = Device(frame.bus, frame.source_address, data[1])
    fault = _parse_fault(data)
    # A device with several faults sends them in turn.
    return Report(PROTOCOL, device, () if fault is None else (fault,), is_complete=fault is None)


def _is_blank(data: bytes) -> bool:
    """Whether a message is blank. Devices send zeros at first: SPN 0, FMI 0, count 0, no lamp. They mean nothing."""
    return not any(data[2:6]) and not _parse_lamps(data[0])


def _parse_fault(data: bytes) -> Fault | None:
    # A device with one instance has 0 in byte 2. Otherwise the SPN is in byte 2, and byte 3 contains the instance.
    high, instance = (data[2], data[3]) if data[2] else (data[3], None)
    spn = high << 3 | data[4] >> 5
    if spn == NO_FAULT_SPN:
        return None
    count = data[5] & 0x7F
    return Fault(instance, spn, data[4] & 0x1F, _parse_lamps(data[0]), None if count == NO_COUNT else count)


def _parse_lamps(status: int) -> tuple[str, ...]:
    pairs = (("yellow", status >> 4 & 0b11), ("red", status >> 6 & 0b11))
    return tuple(name for name, bits in pairs if bits == LIT)

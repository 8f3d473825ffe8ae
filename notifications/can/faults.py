"""The data types of diagnostics: faults, reports of devices, and the changes that rules receive."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from notifications.can import fmi as failure_modes

Kind = Literal["raised", "cleared"]


@dataclass(frozen=True, slots=True)
class Fault:
    """The fault in a diagnostic message.

    :param instance: the number of the part, if there are several of the same kind; otherwise None.
    :param spn: suspect parameter number: what is wrong.
    :param fmi: failure mode indicator: how it is wrong.
    :param lamps: the lamps that are lit, of ``yellow`` and ``red``, in this order.
    :param count: the number of occurrences, as the device counts them; None if it does not.
    """

    instance: int | None
    spn: int
    fmi: int
    lamps: tuple[str, ...]
    count: int | None


class Device(NamedTuple):
    """The device that has a fault. The default source address (DSA) is the kind of device, and the source address is
    that of the sender."""

    bus: str
    source_address: int
    dsa: int


class FaultKey(NamedTuple):
    """The values that identify a fault."""

    device: Device
    instance: int | None
    spn: int
    fmi: int


@dataclass(frozen=True, slots=True)
class Report:
    """One diagnostic message. Without a fault it means that the device has no fault."""

    protocol: str
    device: Device
    fault: Fault | None


@dataclass(frozen=True)
class FaultChange:
    """A fault was raised or cleared. If it was cleared, lamps and count are the last ones that were received.

    :param protocol: ``rvc`` or ``j1939``, which use different numbers for SPN and FMI.
    :param at: the time in UTC, from the timestamps of the frames.
    """

    kind: Kind
    protocol: str
    bus: str
    source_address: int
    dsa: int
    instance: int | None
    spn: int
    fmi: int
    lamps: tuple[str, ...]
    count: int | None
    at: datetime

    @classmethod
    def of(cls, kind: Kind, report: Report, fault: Fault, timestamp: float) -> "FaultChange":
        return cls(
            kind,
            report.protocol,
            *report.device,
            fault.instance,
            fault.spn,
            fault.fmi,
            fault.lamps,
            fault.count,
            datetime.fromtimestamp(timestamp, UTC),
        )

    @property
    def problem(self) -> str:
        """The failure mode in words, such as ``"below the normal range"``."""
        return failure_modes.RVC.get(self.fmi, f"failure mode {self.fmi}")

    @property
    def fault_id(self) -> str:
        """An id that is the same when a fault is raised and when it is cleared. Use it as correlation id."""
        # The channel of a serial adapter can be a long path, and a correlation id has at most 100 characters.
        parts = (self.bus[-64:], self.source_address, self.dsa, self.instance, self.spn, self.fmi)
        return ":".join("-" if part is None else str(part) for part in (self.protocol, *parts))

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "lamps": list(self.lamps), "at": self.at.isoformat()}

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.as_dict())

    def __str__(self) -> str:
        lamps = " and ".join(self.lamps) or "no"
        instance = "" if self.instance is None else f" instance {self.instance}"
        count = "" if self.count is None else f", count {self.count}"
        return (
            f"{self.at:%Y-%m-%d %H:%M:%S} UTC {self.bus}: fault {self.kind} at device 0x{self.dsa:02X}{instance}: "
            f"SPN {self.spn} {self.problem} (FMI {self.fmi}), {lamps} lamp{count}, "
            f"reported by 0x{self.source_address:02X}."
        )

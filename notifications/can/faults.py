"""The words of diagnostics: a fault, a report that a device makes of it, and the change that the bridge tells of."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from notifications.can import fmi as failure_modes

Kind = Literal["raised", "cleared"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a diagnostic message says is wrong.

    :param instance: which of several like parts; None where the device has one.
    :param spn: suspect parameter number: what is wrong.
    :param fmi: failure mode indicator: how.
    :param lamps: those lit, of ``yellow`` and ``red``, in this order.
    :param count: how often it occurred, as the device counts; None where it does not.
    """

    instance: int | None
    spn: int
    fmi: int
    lamps: tuple[str, ...]
    count: int | None


class Device(NamedTuple):
    """Who is meant: the default source address (DSA) names the function for which the sender at this address speaks."""

    bus: str
    source_address: int
    dsa: int


class FaultKey(NamedTuple):
    """What makes two reports tell of the same fault."""

    device: Device
    instance: int | None
    spn: int
    fmi: int


@dataclass(frozen=True, slots=True)
class Report:
    """One diagnostic message; without a fault it says that the device has none."""

    protocol: str
    device: Device
    fault: Fault | None


@dataclass(frozen=True)
class FaultChange:
    """A fault was raised or cleared. A cleared one repeats the lamps and count that were heard last.

    :param protocol: ``rvc`` or ``j1939``, which number SPN and FMI differently.
    :param at: aware, in UTC, from the timestamps of the frames.
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
        """The same text for a fault when it is raised and when it is cleared; a good correlation id."""
        # A serial adapter's channel can be a long path; a correlation id has room for 100 characters.
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

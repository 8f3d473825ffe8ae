"""The data types of diagnostics: faults, reports of devices, and the changes that rules receive."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from notifications.can import fmi as failure_modes

Kind = Literal["raised", "worsened", "flapping", "cleared"]

SEVERITIES = {"protect": 1, "yellow": 1, "malfunction": 1, "red": 2}
"""How serious a lamp is. A fault without a lamp has the severity 0."""


def find_severity(lamps: Iterable[str]) -> int:
    """Return the severity of the worst of the given lamps."""
    return max((SEVERITIES[lamp] for lamp in lamps), default=0)


@dataclass(frozen=True, slots=True)
class Fault:
    """The fault in a diagnostic message.

    :param instance: the number of the part, if there are several of the same kind; otherwise None.
    :param spn: suspect parameter number: what is wrong.
    :param fmi: failure mode indicator: how it is wrong.
    :param lamps: the lamps that are lit, in this order: ``protect``, ``yellow``, ``red`` and ``malfunction``. RV-C has
        only ``yellow`` and ``red``.
    :param count: the number of occurrences, as the device counts them; None if it does not.
    """

    instance: int | None
    spn: int
    fmi: int
    lamps: tuple[str, ...]
    count: int | None

    @property
    def severity(self) -> int:
        """The severity of the worst lamp, see ``SEVERITIES``."""
        return find_severity(self.lamps)


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
    """One diagnostic message.

    :param faults: the faults that it contains. Without any it means that the device has no fault.
    :param is_complete: whether the message contains all faults of the device, so that any other one has ended.
    """

    protocol: str
    device: Device
    faults: tuple[Fault, ...]
    is_complete: bool


@dataclass(frozen=True)
class FaultChange:
    """What has become of a fault: it was raised or cleared, a worse lamp is lit than before, or it comes and goes.

    If it was cleared, lamps and count are the last ones that were received.

    :param protocol: ``rvc`` or ``j1939``, which use different numbers for SPN and FMI.
    :param at: the time in UTC, from the timestamps of the frames.
    :param flaps: how often the fault has come back since it was raised.
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
    flaps: int = 0

    @classmethod
    def of(
        cls, kind: Kind, protocol: str, device: Device, fault: Fault, timestamp: float, flaps: int = 0
    ) -> "FaultChange":
        return cls(
            kind,
            protocol,
            *device,
            fault.instance,
            fault.spn,
            fault.fmi,
            fault.lamps,
            fault.count,
            datetime.fromtimestamp(timestamp, UTC),
            flaps,
        )

    @property
    def problem(self) -> str:
        """The failure mode in words, such as ``"below the normal range"``."""
        return failure_modes.TABLES[self.protocol].get(self.fmi, f"failure mode {self.fmi}")

    @property
    def severity(self) -> int:
        """The severity of the worst lamp, see ``SEVERITIES``."""
        return find_severity(self.lamps)

    @property
    def key(self) -> FaultKey:
        """The values that identify the fault."""
        return FaultKey(Device(self.bus, self.source_address, self.dsa), self.instance, self.spn, self.fmi)

    @property
    def correlation_id(self) -> str:
        """An id that is the same when a fault is raised and when it is cleared. Use it as correlation id."""
        # The channel of a serial adapter can be a long path, and a correlation id has at most 100 characters.
        parts = (self.bus[-64:], self.source_address, self.dsa, self.instance, self.spn, self.fmi)
        return ":".join("-" if part is None else str(part) for part in (self.protocol, *parts))

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON. ``flaps`` is there only if the fault has come back."""
        values = {**vars(self), "lamps": list(self.lamps), "at": self.at.isoformat()}
        if not self.flaps:
            del values["flaps"]
        return values

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.as_dict())

    def __str__(self) -> str:
        lamps = " and ".join(self.lamps) or "no"
        instance = "" if self.instance is None else f" instance {self.instance}"
        count = "" if self.count is None else f", count {self.count}"
        count += f", came back {self.flaps} times" if self.flaps else ""
        return (
            f"{self.at:%Y-%m-%d %H:%M:%S} UTC {self.bus}: fault {self.kind} at device 0x{self.dsa:02X}{instance}: "
            f"SPN {self.spn} {self.problem} (FMI {self.fmi}), {lamps} lamp{count}, "
            f"reported by 0x{self.source_address:02X}."
        )

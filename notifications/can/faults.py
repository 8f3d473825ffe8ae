"""The data types of diagnostics: faults, reports of devices, and the changes that rules receive."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from notifications.can import fmi as failure_modes

Kind = Literal["raised", "worsened", "flapping", "repeated", "moved", "cleared"]

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


@dataclass(frozen=True, slots=True)
class StandingFault:
    """A fault that stood when the bridge stopped, as the state table remembers it.

    :param severity: the highest severity that was announced.
    """

    protocol: str
    device: Device
    fault: Fault
    severity: int
    flaps: int
    correlation_id: str

    @property
    def key(self) -> FaultKey:
        return FaultKey(self.device, self.fault.instance, self.fault.spn, self.fault.fmi)


@dataclass(frozen=True, slots=True)
class SeenFault:
    """A fault that was reported again.

    :param last_seen_at: seconds since 1970.
    """

    correlation_id: str
    last_seen_at: float
    count: int | None


def make_correlation_id(protocol: str, key: FaultKey) -> str:
    """Return the id of a fault."""
    device = key.device
    # The channel of a serial adapter can be a long path, and a correlation id has at most 100 characters.
    parts = (device.bus[-64:], device.source_address, device.dsa, key.instance, key.spn, key.fmi)
    return ":".join("-" if part is None else str(part) for part in (protocol, *parts))


@dataclass(frozen=True)
class FaultChange:
    """What has become of a fault: it was raised or cleared, a worse lamp is lit than before, or it comes and goes.

    If it was cleared, lamps and count are the last ones that were received. If it has ``moved``, its device has another
    source address; the state table notes that, and rules do not receive it.

    :param protocol: ``rvc`` or ``j1939``, which use different numbers for SPN and FMI.
    :param source_address: the present address of the device.
    :param at: the time in UTC, from the timestamps of the frames.
    :param flaps: how often the fault has come back since it was raised.
    :param correlation_id: an id that is the same from the time when the fault is raised until it is cleared, also if
        its device gets another address; by default that of a device that has kept its address.
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
    correlation_id: str = ""

    def __post_init__(self) -> None:
        if not self.correlation_id:
            object.__setattr__(self, "correlation_id", make_correlation_id(self.protocol, self.identity))

    @classmethod
    def of(
        cls,
        kind: Kind,
        protocol: str,
        device: Device,
        fault: Fault,
        timestamp: float,
        flaps: int = 0,
        correlation_id: str = "",
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
            correlation_id,
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
    def identity(self) -> FaultKey:
        """The values that identify the fault as long as its device keeps its address."""
        return FaultKey(Device(self.bus, self.source_address, self.dsa), self.instance, self.spn, self.fmi)

    @property
    def key(self) -> tuple[str, str]:
        """The same for all changes of the fault, also if its device gets another address."""
        return "fault", self.correlation_id

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON. ``flaps`` is there only if the fault has come back, and ``correlation_id`` only
        if it does not follow from the other values, because the device has changed its address."""
        values = {**vars(self), "lamps": list(self.lamps), "at": self.at.isoformat()}
        if not self.flaps:
            del values["flaps"]
        if self.correlation_id == make_correlation_id(self.protocol, self.identity):
            del values["correlation_id"]
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

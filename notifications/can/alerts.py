"""What rules on signals and on silence report: an alert begins, is repeated, and ends."""

import json
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from notifications.can.signals import Value, format_value

AlertKind = Literal["begun", "repeated", "ended"]
SEVERITIES = ("info", "warning", "critical")
"""The names of the severities 0, 1 and 2."""
VERBS = {"begun": "begins", "repeated": "goes on", "ended": "has ended"}


class AlertKey(NamedTuple):
    """The values that identify an alert.

    :ivar rule: the name of the rule.
    :ivar source_address: that of the device; None if the alert is about the bus or a combination of values.
    """

    rule: str
    bus: str
    source_address: int | None
    instance: int | None


@dataclass(frozen=True)
class AlertChange:
    """What has become of an alert: it has begun, it goes on (``repeated``), or it has ended.

    :param rule: the name of the rule.
    :param message: the message with the value; empty if the alert is about silence or a combination.
    :param value: the value that has decided.
    :param text: what is the case, as a sentence without its full stop.
    :param at: the time in UTC, from the timestamps of the frames.
    """

    kind: AlertKind
    rule: str
    bus: str
    source_address: int | None
    instance: int | None
    severity: int
    message: str
    field: str
    value: Value
    unit: str
    text: str
    at: datetime

    @property
    def key(self) -> Hashable:
        return AlertKey(self.rule, self.bus, self.source_address, self.instance)

    @property
    def correlation_id(self) -> str:
        """An id that is the same when an alert begins and when it ends."""
        # The channel of a serial adapter can be a long path, and a correlation id has at most 100 characters.
        parts = (self.rule, self.bus[-32:], self.source_address, self.instance)
        return ":".join(["alert", *("-" if part is None else str(part) for part in parts)])

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {**vars(self), "severity": SEVERITIES[self.severity], "at": self.at.isoformat()}

    def as_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(self.as_dict())

    def __str__(self) -> str:
        device = "" if self.source_address is None else f", reported by 0x{self.source_address:02X}"
        return (
            f"{self.at:%Y-%m-%d %H:%M:%S} UTC {self.bus}: {SEVERITIES[self.severity]} {self.rule} "
            f"{VERBS[self.kind]}: {self.text}{device}."
        )

    @property
    def value_text(self) -> str:
        """The value with its unit, such as ``11.5 V``."""
        return format_value(self.value, self.unit)


class OpenAlert(Protocol):
    """An alert that has begun and not ended, as it was stored."""

    rule: str
    bus: str
    source_address: int | None
    instance: int | None
    begun_at: datetime
    last_sent_at: datetime | None

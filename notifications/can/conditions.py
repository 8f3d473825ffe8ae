"""Conditions on the values of signals."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from notifications.can.signals import Reading, Value, format_value

OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
ORDERING = frozenset({"<", "<=", ">", ">="})


@dataclass(frozen=True)
class Selection:
    """Selects readings. A filter that is empty selects everything.

    :param instances: numbers of instances.
    :param sources: source addresses.
    :param buses: names of buses.
    :param where: the value that each of these fields must have.
    """

    message: str
    instances: frozenset[int] = frozenset()
    sources: frozenset[int] = frozenset()
    buses: frozenset[str] = frozenset()
    where: Mapping[str, Value] = field(default_factory=dict)

    @cached_property
    def is_open(self) -> bool:
        """Whether it selects all readings of its message."""
        return not (self.instances or self.sources or self.buses or self.where)

    def selects(self, reading: Reading) -> bool:
        if self.is_open:
            return True
        return (
            (not self.instances or reading.instance in self.instances)
            and (not self.sources or reading.source_address in self.sources)
            and (not self.buses or reading.bus in self.buses)
            and all(reading.values.get(name) == value for name, value in self.where.items())
        )


@dataclass(frozen=True)
class Condition:
    """A comparison of one field with a value.

    :param unit: that of the field.
    :param clear_value: the value that decides whether an alert that has begun goes on; None if it is ``value``. With
        ``<`` and 11.8, a clear value of 12.4 lets the alert go on until 12.4 is reached.
    """

    selection: Selection
    field: str
    operator: str
    value: float | str
    unit: str = ""
    clear_value: float | None = None

    def holds(self, value: Value, has_begun: bool) -> bool:
        """Return whether a known value fulfils the condition: that to begin, or that to go on."""
        limit = self.clear_value if has_begun and self.clear_value is not None else self.value
        if isinstance(value, str) != isinstance(limit, str):
            # A device can send a number for which the DBC file has no word, and a word where a number is expected.
            return self.operator == "!="
        return OPERATORS[self.operator](value, limit)

    def describe(self, value: Value, instance: int | None) -> str:
        """Return a sentence without its full stop, such as ``DcVoltage of DC_SOURCE_STATUS_1 is 11.5 V``."""
        return describe_value(self.selection.message, self.field, value, self.unit, instance)


def describe_value(message: str, name: str, value: Value, unit: str, instance: int | None) -> str:
    where = message if instance is None else f"{message} instance {instance}"
    return f"{name} of {where} is {format_value(value, unit)}"

"""The kinds of rules that a rule file can have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from notifications.can.changes import Change
from notifications.can.conditions import Condition, Selection
from notifications.can.faults import FaultChange
from notifications.can.signals import Value


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What all rules have in common.

    :param name: identifies the rule in the database, so it must not change while one of its alerts is open.
    :param event: the event of the notification when an alert begins, or a fault is raised; None for none.
    :param clear_event: the event of the notification when it has ended; None for none.
    :param recipients: words such as ``members`` or ``group:Drivers``.
    :param cluster: the fields by which the cluster is found; empty for the default cluster.
    :param context: the context of the notification. A text can contain names of facts in braces.
    :param options: further options of ``send()``.
    :param severity: 0 information, 1 warning, 2 critical. A fault has its own.
    :param repeat_every: the seconds after which an alert that goes on is notified again; None for never.
    """

    name: str
    event: str | None = None
    clear_event: str | None = None
    recipients: tuple[str, ...] = ("members",)
    cluster: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    severity: int = 1
    repeat_every: float | None = None


@dataclass(frozen=True, kw_only=True)
class FaultRule(Rule):
    """Notifies of faults. A filter that is empty lets everything pass.

    :param lamps: at least one of these must be lit.
    :param severities: the severity of the worst lamp, from 0 to 2.
    :param flapping_event: the event for a fault that comes and goes; None for none.
    :param repeat_every: the seconds after which a fault that goes on is notified again; None for never.
    """

    buses: frozenset[str] = frozenset()
    protocols: frozenset[str] = frozenset()
    sources: frozenset[int] = frozenset()
    dsas: frozenset[int] = frozenset()
    instances: frozenset[int] = frozenset()
    spns: frozenset[int] = frozenset()
    fmis: frozenset[int] = frozenset()
    lamps: frozenset[str] = frozenset()
    severities: frozenset[int] = frozenset()
    flapping_event: str | None = None
    repeat_every: float | None = None

    def selects(self, change: FaultChange) -> bool:
        filters: tuple[tuple[frozenset[Any], Any], ...] = (
            (self.buses, change.bus),
            (self.protocols, change.protocol),
            (self.sources, change.source_address),
            (self.dsas, change.dsa),
            (self.instances, change.instance),
            (self.spns, change.spn),
            (self.fmis, change.fmi),
            (self.severities, change.severity),
        )
        return all(not wanted or value in wanted for wanted, value in filters) and (
            not self.lamps or not self.lamps.isdisjoint(change.lamps)
        )


@dataclass(frozen=True, kw_only=True)
class FloodRule(Rule):
    """Notifies of the summary of a flood: faults that were not announced because there were too many."""

    buses: frozenset[str] = frozenset()

    def selects(self, change: Change) -> bool:
        return not self.buses or change.bus in self.buses


@dataclass(frozen=True, kw_only=True)
class AlertRule(Rule):
    """A rule whose alerts begin and end.

    :param begin_after: the seconds for which it must be the case before an alert begins (``for`` in a rule file).
    :param clear_after: the seconds for which it must no longer be the case before the alert ends (``clear_for``).
    """

    begin_after: float = 0.0
    clear_after: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SignalRule(AlertRule):
    """An alert for each device and instance of which a value fulfils a condition."""

    condition: Condition


@dataclass(frozen=True, kw_only=True)
class StateRule(AlertRule):
    """An alert for each device and instance of which a value becomes one of ``states``, until it is another one.

    :param before: the values from which it must change; empty for any.
    """

    selection: Selection
    field: str
    states: frozenset[Value]
    before: frozenset[Value] = frozenset()
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class CompoundRule(AlertRule):
    """An alert for a bus on which all conditions are fulfilled, or any. Each can be fulfilled by any device."""

    conditions: tuple[Condition, ...]
    needs_all: bool
    buses: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class DeviceSilenceRule(AlertRule):
    """An alert for each device that is not heard for ``begin_after`` seconds although the bus is.

    :param selection: the message that each device and instance must send; None if any frame is enough.
    :param sources: the source addresses; empty for all that have been heard.
    :param is_expected: whether a device of ``sources`` that was never heard is silent.
    """

    selection: Selection | None = None
    sources: frozenset[int] = frozenset()
    buses: frozenset[str] = frozenset()
    is_expected: bool = False


@dataclass(frozen=True, kw_only=True)
class BusSilenceRule(AlertRule):
    """An alert for a bus without a frame for ``begin_after`` seconds, or whose connection is lost so long."""

    buses: frozenset[str] = frozenset()


def find_messages(rule: AlertRule) -> list[str]:
    """Return the names of the messages that a rule needs, in the order of its conditions."""
    if isinstance(rule, SignalRule):
        return [rule.condition.selection.message]
    if isinstance(rule, StateRule):
        return [rule.selection.message]
    if isinstance(rule, CompoundRule):
        return [condition.selection.message for condition in rule.conditions]
    if isinstance(rule, DeviceSilenceRule) and rule.selection is not None:
        return [rule.selection.message]
    return []

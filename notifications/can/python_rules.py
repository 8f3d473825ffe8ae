"""Rules in Python, for what a rule file cannot express. A module ``can_rules.py`` of an installed app registers them::

from notifications.can.python_rules import can_rule


@can_rule
def escalate(change):
    if change.kind == "raised" and change.severity == 2:
        yield Send(FleetEvents.FAULT, Members(fleet), fleet, {"problem": change.problem})
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from django.utils.module_loading import autodiscover_modules

from notifications.can.sends import Send

Rule = TypeVar("Rule", bound=Callable[..., Iterable[Send] | None])
MODULE = "can_rules"
DEFAULT_EVERY = 1.0


@dataclass(frozen=True)
class PythonRule:
    """A registered function.

    :ivar message: the message whose readings it receives; None if it receives changes of faults and alerts.
    :ivar every: the seconds between two readings of the same thing that it receives.
    """

    function: Callable[[Any], Iterable[Send] | None]
    message: str | None
    every: float

    @property
    def name(self) -> str:
        return f"{self.function.__module__}.{self.function.__qualname__}"


_registered: dict[str, PythonRule] = {}


@overload
def can_rule(function: Rule, /) -> Rule: ...
@overload
def can_rule(*, message: str, every: float = DEFAULT_EVERY) -> Callable[[Rule], Rule]: ...


def can_rule(function: Any = None, /, *, message: str | None = None, every: float = DEFAULT_EVERY) -> Any:
    """Register a function as a rule: ``@can_rule``, or ``@can_rule(message="TANK_STATUS", every=60)``.

    Without arguments the function receives each change: a ``FaultChange``, an ``AlertChange`` or a summary of a flood.
    With a message it receives a ``Reading`` of that message instead, at most one in ``every`` seconds for each device
    and instance. It returns an iterable of :class:`~notifications.can.sends.Send`, or None. It runs in the process of
    the bridge, in the transaction that stores the change, so it should not wait for anything but the database.

    :raises ValueError: if ``every`` is not more than 0.
    """
    if not every > 0:
        raise ValueError(f"every must be a number of seconds above 0, not {every!r}.")

    def register(found: Rule) -> Rule:
        rule = PythonRule(found, message, every)
        # A module that is imported again replaces its rules.
        _registered[rule.name] = rule
        return found

    return register if function is None else register(function)


def load_python_rules() -> tuple[PythonRule, ...]:
    """Import the modules ``can_rules`` of all installed apps and return the rules that are registered."""
    autodiscover_modules(MODULE)
    return tuple(_registered.values())

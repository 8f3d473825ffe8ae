"""The rules of a site: those of the rule files that ``CAN_RULES`` names, and those in Python."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from notifications import conf
from notifications.can.alert_tracker import AlertTracker
from notifications.can.alerts import AlertChange
from notifications.can.bridge import Bridge
from notifications.can.changes import Change
from notifications.can.databases import decoding_errors
from notifications.can.event_checks import PLACEHOLDER
from notifications.can.facts import find_facts
from notifications.can.fault_reminders import FaultReminders
from notifications.can.fault_tracker import FaultTracker
from notifications.can.faults import FaultChange
from notifications.can.python_rules import PythonRule, load_python_rules
from notifications.can.rule_recipients import find_cluster, make_recipient
from notifications.can.rule_types import FaultRule, FloodRule, Rule
from notifications.can.rules_file import read_rule_files
from notifications.can.sends import Send
from notifications.can.signals import Message, Reading, SignalDecoder
from notifications.can.tally import Tally
from notifications.events import NOTIFICATION_EVENTS

__all__ = ["RuleSet", "Send", "load_rules"]


@dataclass(frozen=True)
class RuleSet:
    """Rules, and the messages that they need."""

    rules: tuple[Rule, ...] = ()
    python_rules: tuple[PythonRule, ...] = ()
    messages: tuple[Message, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the rules in files."""
        return tuple(rule.name for rule in self.rules)

    @property
    def dgns(self) -> frozenset[int]:
        """The data group numbers of the messages that the rules need."""
        return frozenset(message.dgn for message in self.messages if message.dgn is not None)

    @property
    def needs_all_frames(self) -> bool:
        """Whether the rules need messages that are not recognised by a data group number."""
        return any(message.dgn is None for message in self.messages)

    def make_bridge(self, tracker: FaultTracker) -> Bridge:
        """Return a bridge that tracks the faults of this tracker and the alerts of these rules."""
        tally = tracker.tally
        alerts = AlertTracker(self.rules, tally)
        reminders = FaultReminders(self.find_repeat_interval)
        return Bridge(tracker, alerts, self.make_decoder(tally), self.find_reading_intervals(), reminders)

    def make_decoder(self, tally: Tally) -> SignalDecoder | None:
        """Return a decoder of the messages that the rules need; None if they need none."""
        return SignalDecoder(self.messages, tally, decoding_errors()) if self.messages else None

    def find_reading_intervals(self) -> dict[str, float]:
        """Return how often the rules in Python want readings, by message, in seconds."""
        intervals: dict[str, float] = {}
        for rule in self.python_rules:
            if rule.message is not None:
                intervals[rule.message] = min(rule.every, intervals.get(rule.message, rule.every))
        return intervals

    def find_repeat_interval(self, change: FaultChange) -> float | None:
        """Return how often a fault that goes on is reported again, in seconds: the shortest time that a rule wants."""
        rules = (rule for rule in self.rules if isinstance(rule, FaultRule) and rule.selects(change))
        return min((rule.repeat_every for rule in rules if rule.repeat_every is not None), default=None)

    def make_sends(self, change: Change) -> Iterator[Send]:
        """Yield the notifications for a change."""
        for rule in self.rules:
            event = find_event(rule, change)
            if event is not None:
                yield make_send(rule, event, change)
        message = change.message if isinstance(change, Reading) else None
        for python_rule in self.python_rules:
            if python_rule.message == message:
                yield from python_rule.function(change) or ()


def find_event(rule: Rule, change: Change) -> str | None:
    """Return the event of the notification that a rule wants for a change; None if it wants none."""
    if isinstance(change, AlertChange):
        if rule.name != change.rule:
            return None
        return rule.clear_event if change.kind == "ended" else rule.event
    if isinstance(change, FaultChange):
        if not isinstance(rule, FaultRule) or not rule.selects(change):
            return None
        events = {"raised": rule.event, "worsened": rule.event, "cleared": rule.clear_event}
        if rule.repeat_every is not None:
            events["repeated"] = rule.event
        return {**events, "flapping": rule.flapping_event}.get(change.kind)
    return rule.event if change.kind == "flooded" and isinstance(rule, FloodRule) and rule.selects(change) else None


def make_send(rule: Rule, event: str, change: Change) -> Send:
    cluster = find_cluster(rule.cluster)
    recipients = [make_recipient(word, cluster) for word in rule.recipients]
    options = {"correlation_id": change.correlation_id, **rule.options}
    return Send(event, recipients, cluster, make_context(rule, event, change), options)


def make_context(rule: Rule, event: str, change: Change) -> dict[str, Any]:
    """Return the context of the rule, or by default the facts that the event declares."""
    facts = find_facts(change)
    if rule.context is None:
        declared = NOTIFICATION_EVENTS.find(event).context
        return {name: facts[name] for name in declared or facts if name in facts}
    return {name: fill_in(value, facts) for name, value in rule.context.items()}


def fill_in(value: Any, facts: Mapping[str, Any]) -> Any:
    """Replace names of facts in braces. A text that consists of one name becomes the fact itself, such as a number."""
    if not isinstance(value, str):
        return value
    if match := PLACEHOLDER.fullmatch(value):
        return facts[match[1]]
    return PLACEHOLDER.sub(lambda found: str(facts[found[1]]), value)


def load_rules(is_required: bool = True) -> RuleSet:
    """Return the rules of the site.

    :param is_required: whether having no rule at all is an error.
    :raises ImproperlyConfigured: if rules are wrong. The message lists everything that is wrong.
    :raises MissingExtra: if python-can or cantools is not installed.
    """
    python_rules = load_python_rules()
    found = read_rule_files(list_rule_files(), python_rules)
    if found.problems:
        raise ImproperlyConfigured("\n".join(str(problem) for problem in found.problems))
    if is_required and not found.rules and not python_rules:
        raise ImproperlyConfigured(
            "There are no rules, so no notifications would be sent. Set NOTIFICATIONS['CAN_RULES'] to the paths of "
            "rule files, register rules in a module can_rules.py of an app, or try the bridge with --dry-run."
        )
    return RuleSet(found.rules, python_rules, found.messages)


def list_rule_files() -> tuple[Path, ...]:
    """Return the paths that ``CAN_RULES`` names."""
    return tuple(map(Path, conf.current().can_rules))

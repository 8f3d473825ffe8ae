"""Read rule files. They are TOML, and their keys are described in ``docs/can-rules.md``."""

import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notifications.can import toml_lines
from notifications.can.alerts import SEVERITIES
from notifications.can.conditions import OPERATORS, ORDERING, Condition, Selection
from notifications.can.databases import Databases, DatabaseUnreadable
from notifications.can.event_checks import check_event
from notifications.can.facts import ALERT_FACTS, FAULT_FACTS, FLOOD_FACTS
from notifications.can.faults import SEVERITIES as LAMPS
from notifications.can.python_rules import PythonRule
from notifications.can.rule_recipients import WORDS, find_word_fault
from notifications.can.rule_tables import Problems, RuleProblem, Table, is_number
from notifications.can.rule_types import (
    AlertRule,
    BusSilenceRule,
    CompoundRule,
    DeviceSilenceRule,
    FaultRule,
    FloodRule,
    Rule,
    SignalRule,
    StateRule,
    find_messages,
)
from notifications.can.signals import Message

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
OPTIONS = ("campaign", "channels", "level", "topic")
DEFAULTS = ("cluster", "recipients", "event", "clear_event", "severity", "repeat_every", "options")
MAX_ADDRESS, MAX_INSTANCE, MAX_SPN, MAX_DGN = 0xFF, 0xFFFFFF, 0x7FFFF, 0x1FFFF
MIN_SILENCE_SECONDS = 1.0


@dataclass
class FoundRules:
    """What the rule files contain.

    :ivar messages: those that the rules need, also the rules in Python.
    :ivar places: by rule, the file and the line where it begins.
    """

    rules: tuple[Rule, ...] = ()
    messages: tuple[Message, ...] = ()
    problems: list[RuleProblem] = field(default_factory=list)
    places: dict[str, tuple[str, int]] = field(default_factory=dict)


def read_rule_files(paths: Iterable[Path], python_rules: Iterable[PythonRule] = ()) -> FoundRules:
    """Read rule files and the DBC files that they name. Problems are collected and not raised.

    :raises MissingExtra: if cantools is not installed.
    """
    found, databases = FoundRules(), Databases()
    files = [
        (problems, content) for problems, content in map(read_file, paths) if content is not None or problems.found
    ]
    for problems, content in files:
        add_databases(content or {}, problems, databases)
    rules: list[Rule] = []
    for problems, content in files:
        for rule, line in read_rules(content or {}, problems, databases):
            if rule.name in found.places:
                path, before = found.places[rule.name]
                problem = f"The name {rule.name!r} is used twice, first in {path}:{before}."
                found.problems.append(RuleProblem(str(problems.path), line, problem, "Give each rule its own name."))
            found.places[rule.name] = str(problems.path), line
            rules.append(rule)
        found.problems += problems.found
    found.rules = tuple(rules)
    wanted = [name for rule in rules if isinstance(rule, AlertRule) for name in find_messages(rule)]
    for python_rule in python_rules:
        if python_rule.message is not None and databases.find(python_rule.message) is None:
            code = python_rule.function.__code__
            problem = f"The rule {python_rule.name} wants the message {python_rule.message!r}, which no DBC file has."
            hint = databases.suggest(python_rule.message)
            found.problems.append(RuleProblem(code.co_filename, code.co_firstlineno, problem, hint))
        elif python_rule.message is not None:
            wanted.append(python_rule.message)
    found.messages = tuple(databases.messages[name] for name in dict.fromkeys(wanted))
    return found


def read_file(path: Path) -> tuple[Problems, dict[str, Any] | None]:
    """Return the content of a file; None if it cannot be read."""
    problems = Problems(path)
    try:
        # Some editors on Windows write a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problems.add((), "There is no such file.", "Correct the path in NOTIFICATIONS['CAN_RULES'].")
        return problems, None
    except (OSError, UnicodeDecodeError) as error:
        problems.add((), f"The file cannot be read: {error}.", "It must be TOML in UTF-8.")
        return problems, None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, reason = toml_lines.find_error_line(error, text)
        problems.found.append(RuleProblem(str(path), line, f"This is not TOML: {reason}.", "See https://toml.io."))
        return problems, None
    except RecursionError:
        problems.add((), "Its brackets are nested too deeply.", "See docs/can-rules.md for the keys.")
        return problems, None
    problems.lines = toml_lines.find_lines(text)
    return problems, content


def add_databases(content: Mapping[str, Any], problems: Problems, databases: Databases) -> None:
    for table in Table(content, (), problems).take_tables("databases"):
        name = table.take_text("path", "the path of a DBC file, from the folder of this file", is_required=True)
        protocol = table.take_choice("protocol", ("", "j1939", "can"), "")
        table.finish()
        if name is None:
            continue
        try:
            databases.add(problems.path.parent / name, protocol)  # type: ignore[arg-type]
        except DatabaseUnreadable as error:
            table.add_problem("path", str(error), "Correct the path, or the file.")


def read_rules(content: Mapping[str, Any], problems: Problems, databases: Databases) -> Iterable[tuple[Rule, int]]:
    """Yield each valid rule with the line where it begins."""
    top = Table(content, (), problems)
    defaults = Table(top.take_mapping("defaults") or {}, ("defaults",), problems)
    for key in DEFAULTS:
        defaults.take(key)
    defaults.finish()
    top.take("databases")
    tables = top.take_tables("rules")
    top.finish()
    for table in tables:
        table.defaults = defaults
        before = len(problems.found)
        rule = RuleReader(table, databases).read()
        if rule is not None and len(problems.found) == before:
            yield rule, problems.lines.get(table.where, 1)


class RuleReader:
    """Reads one rule."""

    def __init__(self, table: Table, databases: Databases) -> None:
        self.table = table
        self.databases = databases
        self.kinds: Mapping[str, Callable[[dict[str, Any]], Rule | None]] = {
            "fault": self.read_fault,
            "flood": self.read_flood,
            "signal": self.read_signal,
            "state_change": self.read_state_change,
            "compound": self.read_compound,
            "device_silence": self.read_device_silence,
            "bus_silence": self.read_bus_silence,
        }

    def read(self) -> Rule | None:
        """Return the rule; None if it is wrong."""
        table = self.table
        name = table.take_text("name", 'a name such as "battery-low"', is_required=True)
        if name is not None and not NAME.fullmatch(name):
            table.add_problem("name", f"name is {name!r:.80}.", "Use up to 40 letters, digits, dots and dashes.")
        kind = table.take_choice("kind", tuple(self.kinds))
        if kind is None:
            return None
        facts = {"fault": FAULT_FACTS, "flood": FLOOD_FACTS}.get(kind, ALERT_FACTS)
        common = self.read_common(facts)
        rule = self.kinds[kind]({"name": name, **common})
        table.finish()
        return rule

    def read_common(self, facts: Collection[str]) -> dict[str, Any]:
        """Read the keys that say whom to notify and of what."""
        table = self.table
        context = table.take_mapping("context")
        options = table.take_mapping("options") or {}
        for key in options:
            if key not in OPTIONS:
                table.add_problem("options", f"options has {key!r}.", f"Known options: {', '.join(OPTIONS)}.")
        cluster = table.take("cluster", {})
        if not isinstance(cluster, str | dict):
            table.add_problem("cluster", f"cluster is {cluster!r}.", 'Write a slug, or a table such as { name = "…" }.')
            cluster = {}
        return {
            "event": self.read_event("event", context, facts),
            "clear_event": self.read_event("clear_event", context, facts),
            "recipients": self.read_recipients(),
            "cluster": {"slug": cluster} if isinstance(cluster, str) else cluster,
            "context": context,
            "options": options,
        }

    def read_event(self, key: str, context: Mapping[str, Any] | None, facts: Collection[str]) -> str | None:
        name = self.table.take_text(key, "the name of an event")
        if name is not None:
            for culprit, message, hint in check_event(key, name, context, facts):
                self.table.add_problem(culprit, message, hint)
        return name

    def read_recipients(self) -> tuple[str, ...]:
        value = self.table.take("recipients", ["members"])
        words = value if isinstance(value, list) else [value]
        if not words or not all(isinstance(word, str) for word in words):
            self.table.add_problem("recipients", f"recipients is {value!r:.80}.", f"Write one of {', '.join(WORDS)}.")
            return ()
        for word in words:
            if fault := find_word_fault(word):
                self.table.add_problem("recipients", f"recipients has {word!r:.80}.", fault)
        return tuple(words)

    def read_alert(self, has_begin: bool = True) -> dict[str, Any]:
        """Read the keys of a rule whose alerts begin and end."""
        table = self.table
        found: dict[str, Any] = {
            "severity": SEVERITIES.index(table.take_choice("severity", SEVERITIES, "warning") or "warning"),
            "repeat_every": table.take_seconds("repeat_every", None, 60.0),
            "clear_after": table.take_seconds("clear_for"),
        }
        if has_begin:
            found["begin_after"] = table.take_seconds("for")
        return found

    def read_silence(self) -> dict[str, Any]:
        found = self.read_alert(has_begin=False)
        self.table.require("after", 'a time such as "30s"')
        return {**found, "begin_after": self.table.take_seconds("after", MIN_SILENCE_SECONDS, MIN_SILENCE_SECONDS)}

    # -- the kinds ----------------------------------------------------------------------------------------------------

    def read_fault(self, common: dict[str, Any]) -> Rule | None:
        table = self.table
        flapping = self.read_event("flapping_event", common["context"], FAULT_FACTS)
        return FaultRule(
            **common,
            flapping_event=flapping,
            repeat_every=table.take_seconds("repeat_every", None, 60.0),
            buses=table.take_texts("bus"),
            protocols=table.take_texts("protocol", ("rvc", "j1939")),
            sources=table.take_numbers("source", MAX_ADDRESS),
            dsas=table.take_numbers("dsa", MAX_ADDRESS),
            instances=table.take_numbers("instance", MAX_INSTANCE),
            spns=table.take_numbers("spn", MAX_SPN),
            fmis=table.take_numbers("fmi", 31),
            lamps=table.take_texts("lamps", tuple(LAMPS)),
            severities=frozenset(map(SEVERITIES.index, table.take_texts("severity", SEVERITIES, use_defaults=False))),
        )

    def read_flood(self, common: dict[str, Any]) -> Rule | None:
        return FloodRule(**common, buses=self.table.take_texts("bus"))

    def read_signal(self, common: dict[str, Any]) -> Rule | None:
        condition = self.read_condition(self.table)
        alert = self.read_alert()
        return None if condition is None else SignalRule(**common, **alert, condition=condition)

    def read_compound(self, common: dict[str, Any]) -> Rule | None:
        table = self.table
        alert = self.read_alert()
        every, some = table.take_tables("all"), table.take_tables("any")
        if bool(every) == bool(some):
            table.add_problem("all" if every else "kind", "Which conditions?", 'Give either "all" or "any".')
        conditions = []
        for one in every or some:
            conditions.append(self.read_condition(one))
            one.finish()
        buses = table.take_texts("bus")
        known = tuple(condition for condition in conditions if condition is not None)
        return CompoundRule(**common, **alert, conditions=known, needs_all=bool(every), buses=buses)

    def read_state_change(self, common: dict[str, Any]) -> Rule | None:
        table = self.table
        alert = self.read_alert()
        message, selection = self.read_selection(table)
        name = self.read_field(table, message)
        table.require("to", "a value, or a list of values")
        states, before = self.read_values(table, "to", message, name), self.read_values(table, "from", message, name)
        if selection is None or message is None or name is None:
            return None
        if not states or (before and before <= states):
            table.add_problem("to", "The rule can never begin.", 'Write a value in "to" that is not in "from".')
        unit = message.units[name]
        return StateRule(**common, **alert, selection=selection, field=name, states=states, before=before, unit=unit)

    def read_device_silence(self, common: dict[str, Any]) -> Rule | None:
        table = self.table
        silence = self.read_silence()
        is_expected = table.take_bool("expected")
        selection, sources, buses = None, frozenset[int](), frozenset[str]()
        if table.take("message") is not None or table.take("dgn") is not None:
            _message, selection = self.read_selection(table)
        else:
            sources, buses = table.take_numbers("source", MAX_ADDRESS), table.take_texts("bus")
        if is_expected and not sources:
            hint = "Name the source addresses, and no message. Otherwise nobody knows which devices are missing."
            table.add_problem("expected", "expected needs sources.", hint)
        return DeviceSilenceRule(
            **common, **silence, selection=selection, sources=sources, buses=buses, is_expected=is_expected
        )

    def read_bus_silence(self, common: dict[str, Any]) -> Rule | None:
        return BusSilenceRule(**common, **self.read_silence(), buses=self.table.take_texts("bus"))

    # -- parts of conditions ------------------------------------------------------------------------------------------

    def read_selection(self, table: Table) -> tuple[Message | None, Selection | None]:
        message = self.read_message(table)
        instances = table.take_numbers("instance", MAX_INSTANCE)
        sources = table.take_numbers("source", MAX_ADDRESS)
        buses = table.take_texts("bus")
        where = table.take_mapping("where") or {}
        if message is None:
            return None, None
        values = {}
        for name, value in where.items():
            if name in message.units:
                values[name] = self.read_value(table, "where", message, name, value)
            else:
                self.report_field(table, "where", message, name)
        return message, Selection(message.name, instances, sources, buses, values)

    def read_message(self, table: Table) -> Message | None:
        dgn = table.take("dgn")
        if dgn is None:
            name = table.take_text("message", "the name of a message in a DBC file", is_required=True)
            message = self.databases.find(name) if name is not None else None
            if name is not None and message is None:
                table.add_problem("message", f"No DBC file has a message {name!r}.", self.databases.suggest(name))
            return message
        table.take("message")
        if not isinstance(dgn, int) or isinstance(dgn, bool) or not 0 <= dgn <= MAX_DGN:
            table.add_problem("dgn", f"dgn is {dgn!r:.80}.", "Write a number such as 0x1FFFD.")
            return None
        found = self.databases.find_by_dgn(dgn)
        if len(found) == 1:
            return found[0]
        hint = "Write message with its name instead." if found else 'Add its DBC file under "[[databases]]".'
        table.add_problem("dgn", f"{len(found)} messages of the DBC files have the DGN 0x{dgn:05X}.", hint)
        return None

    def read_field(self, table: Table, message: Message | None) -> str | None:
        name = table.take_text("field", "the name of a field of the message", is_required=True)
        if name is None or message is None or name in message.units:
            return name
        self.report_field(table, "field", message, name)
        return None

    def report_field(self, table: Table, key: str, message: Message, name: str) -> None:
        known = ", ".join(message.field_names)
        table.add_problem(key, f"{message.name} has no field {name!r}.", f"Its fields are {known}.")

    def read_value(self, table: Table, key: str, message: Message, name: str, value: Any) -> Any:
        """Return a value as readings have it: the word of the DBC file, if it has one for a number."""
        choices = message.fields[name].choices if name in message.fields else {}
        if isinstance(value, str) and value not in choices.values():
            words = ", ".join(f'"{word}"' for word in choices.values())
            hint = f"Its words are {words}." if words else "Write a number."
            table.add_problem(key, f"{name} is never {value!r}.", hint)
        elif not isinstance(value, str) and not is_number(value):
            table.add_problem(key, f"{key} is {str(value):.80}.", "Write a number or a word.")
            return None
        return choices.get(value, value) if isinstance(value, int) else value

    def read_values(self, table: Table, key: str, message: Message | None, name: str | None) -> frozenset[Any]:
        given = table.take(key, [])
        values = given if isinstance(given, list) else [given]
        if message is None or name is None:
            return frozenset()
        return frozenset(self.read_value(table, key, message, name, value) for value in values)

    def read_condition(self, table: Table) -> Condition | None:
        message, selection = self.read_selection(table)
        name = self.read_field(table, message)
        sign = table.take_choice("operator", tuple(OPERATORS))
        value = table.require("value", "a number, or a word in quotes")
        clear_value = table.take_number("clear_value")
        if message is None or selection is None or name is None or sign is None or value is None:
            return None
        value = self.read_value(table, "value", message, name, value)
        if sign in ORDERING and isinstance(value, str):
            table.add_problem("operator", f"{name} is a word, which is not less or more than another.", 'Use "==".')
        if clear_value is not None and value is not None:
            self.check_clear_value(table, sign, value, clear_value)
        return Condition(selection, name, sign, value, message.units[name], clear_value)

    def check_clear_value(self, table: Table, sign: str, value: float | str, clear_value: float) -> None:
        if sign not in ORDERING or isinstance(value, str):
            table.add_problem("clear_value", "clear_value needs an operator such as <.", "Leave it out.")
        elif clear_value < value if sign.startswith("<") else clear_value > value:
            side = "at least" if sign.startswith("<") else "at most"
            hint = f"It must be {side} {value:g}, so that the alert ends later than it begins."
            table.add_problem("clear_value", f"clear_value is {clear_value:g}.", hint)

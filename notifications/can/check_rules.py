"""Check all rules with everything that they refer to, as ``bridge_can --check`` does."""

from collections.abc import Iterable
from pathlib import Path

from notifications.can.python_rules import load_python_rules
from notifications.can.rule_recipients import find_missing
from notifications.can.rule_tables import RuleProblem
from notifications.can.rules import list_rule_files
from notifications.can.rules_file import read_rule_files


def check_rules(paths: Iterable[Path] | None = None, asks_database: bool = True) -> list[RuleProblem]:
    """Return what is wrong with rule files, with the rules in Python, and with what they refer to.

    :param paths: the rule files; by default, those of ``CAN_RULES``.
    :param asks_database: whether to look up the clusters, groups and users that the rules name.
    :raises MissingExtra: if cantools is not installed.
    :raises django.db.Error: if the database cannot be used.
    """
    found = read_rule_files(list_rule_files() if paths is None else paths, load_python_rules())
    problems = list(found.problems)
    for rule in found.rules if asks_database else ():
        if fault := find_missing(rule):
            path, line = found.places[rule.name]
            hint = "Correct the rule, or create what it names."
            problems.append(RuleProblem(path, line, f"The rule {rule.name!r}: {fault}", hint))
    return sorted(problems, key=lambda problem: (problem.path, problem.line))

"""Checks of the rules of the CAN bridge: whether their files can be read, and whether the rules fit together."""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error, Warning

from notifications import conf
from notifications.can.python_rules import load_python_rules
from notifications.can.rule_types import BusSilenceRule, DeviceSilenceRule
from notifications.can.rules import list_rule_files
from notifications.can.rules_file import read_rule_files
from notifications.checks.channels import missing_extra_error
from notifications.core import extras

MODULES = ("can", "cantools")


def check_can_rules() -> Iterator[CheckMessage]:
    python_rules = load_python_rules()
    if not conf.current().can_rules and not python_rules:
        return
    missing = [module for module in MODULES if not extras.is_installed(module)]
    for module in missing[:1]:
        yield missing_extra_error("NOTIFICATIONS['CAN_RULES']", module, "can")
    if missing:
        return
    found = read_rule_files(list_rule_files(), python_rules)
    for problem in found.problems:
        yield Error(
            f"{problem.path}:{problem.line}: {problem.message}",
            hint=problem.hint or "Correct the rule file, and try it with: manage.py bridge_can --check",
            id="klaxon.E037" if problem.path.endswith(".py") else "klaxon.E036",
        )
    has_devices = any(isinstance(rule, DeviceSilenceRule) for rule in found.rules)
    if has_devices and not any(isinstance(rule, BusSilenceRule) for rule in found.rules):
        yield Warning(
            "There are rules of the kind device_silence, but none of the kind bus_silence. If the whole bus is silent, "
            "nobody is notified, because the silence of a device counts only while the bus is heard.",
            hint="Add a rule of the kind bus_silence.",
            id="klaxon.W018",
        )

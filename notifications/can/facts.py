"""The facts about a change that contexts of notifications can contain."""

from collections.abc import Callable, Mapping
from typing import Any

from notifications.can.alerts import SEVERITIES, AlertChange
from notifications.can.changes import Change
from notifications.can.faults import FaultChange
from notifications.can.spn_names import find_device_name, find_spn_name

COMMON_FACTS = ("kind", "bus", "severity", "text", "at")
FAULT_FACTS = frozenset(
    {
        *COMMON_FACTS,
        *("protocol", "source_address", "dsa", "device", "instance", "spn", "part", "fmi", "problem"),
        *("lamps", "count", "flaps"),
    }
)
ALERT_FACTS = frozenset(
    {*COMMON_FACTS, "rule", "source_address", "device", "instance", "message", "field", "value", "unit", "value_text"}
)
FLOOD_FACTS = frozenset({*COMMON_FACTS, "since", "count", "sources", "source_count", "standing", "is_over"})


def find_facts(change: Change) -> dict[str, Any]:
    """Return the facts about a change, by the names that rule files use.

    Of a fault these are ``FAULT_FACTS``, of an alert ``ALERT_FACTS``, and of the summary of a flood ``FLOOD_FACTS``.
    """
    common = {
        "kind": change.kind,
        "bus": change.bus,
        "severity": SEVERITIES[change.severity],
        "text": str(change),
        "at": change.at,
    }
    for kind, find in FINDERS.items():
        if isinstance(change, kind):
            return {**common, **find(change)}
    return {**common, **{name: getattr(change, name) for name in FLOOD_FACTS if name not in common}}


def find_fault_facts(change: FaultChange) -> dict[str, Any]:
    names = ("protocol", "source_address", "dsa", "instance", "spn", "fmi", "problem", "count", "flaps")
    return {
        **{name: getattr(change, name) for name in names},
        "lamps": list(change.lamps),
        "device": find_device_name(change.protocol, change.dsa),
        "part": find_spn_name(change.protocol, change.dsa, change.instance, change.spn),
    }


def find_alert_facts(change: AlertChange) -> dict[str, Any]:
    names = ("rule", "source_address", "instance", "message", "field", "value", "unit", "value_text", "text")
    address = change.source_address
    device = "" if address is None else f"device 0x{address:02X}"
    return {**{name: getattr(change, name) for name in names}, "device": device}


FINDERS: Mapping[type, Callable[[Any], dict[str, Any]]] = {FaultChange: find_fault_facts, AlertChange: find_alert_facts}

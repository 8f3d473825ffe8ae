"""Probes: functions that examine one part of the system each, while it runs.

The page of the health, the alarm and the doctor use the same probes. A probe gets the alias of the database and the
time, and returns one or more findings. It is cheap enough to be called every few seconds.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from notifications.monitoring.findings import Finding
from notifications.monitoring.probes.alarms import probe_alarms
from notifications.monitoring.probes.circuits import probe_circuits
from notifications.monitoring.probes.clock import probe_clock
from notifications.monitoring.probes.dead_letters import probe_growth
from notifications.monitoring.probes.providers import probe_pauses, probe_providers
from notifications.monitoring.probes.queue import probe_queue
from notifications.monitoring.probes.success import probe_success
from notifications.monitoring.probes.workers import probe_workers
from notifications.monitoring.readings import share_readings

Probe = Callable[[str, datetime], Iterable[Finding]]
"""A function that gets the alias of the database and the time, and returns findings."""

PROBES: dict[str, Probe] = {
    "queue": probe_queue,
    "workers": probe_workers,
    "pauses": probe_pauses,
    "providers": probe_providers,
    "success": probe_success,
    "circuits": probe_circuits,
    "dead letters growing": probe_growth,
    "clock": probe_clock,
    "alarms": probe_alarms,
}


def register_probe(name: str, probe: Probe) -> None:
    """Add a probe, or replace the one of this name."""
    PROBES[name] = probe


def examine(using: str, now: datetime) -> list[Finding]:
    """Return the findings of all probes, in the order in which the probes were registered."""
    with share_readings():
        return [finding for probe in PROBES.values() for finding in probe(using, now)]

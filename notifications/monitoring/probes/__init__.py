"""Probes: functions that examine one part of the system each, while it runs.

The page of the health, the alarm and the doctor use the same probes. A probe gets the alias of the database and the
time, and returns one or more findings. It is cheap enough to be called every few seconds.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from django.db import Error
from django.utils.translation import gettext as _

from notifications.core.databases import is_missing_migration, is_temporary_failure
from notifications.models.alarm import MAX_CAUSE_LENGTH
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

logger = logging.getLogger("notifications.monitoring")

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
OWN_PROBES = frozenset(PROBES)


def register_probe(name: str, probe: Probe) -> None:
    """Add a probe, or replace the one of this name."""
    PROBES[name] = probe


def examine(using: str, now: datetime) -> list[Finding]:
    """Return the findings of all probes, in the order in which the probes were registered.

    A probe that fails is a finding, too, so that it hides nothing of what the others find.

    :raises django.db.Error: if the database cannot be used, or the tables of Klaxon are missing.
    """
    with share_readings():
        return [finding for name, probe in list(PROBES.items()) for finding in run_probe(name, probe, using, now)]


def run_probe(name: str, probe: Probe, using: str, now: datetime) -> Sequence[Finding]:
    """Return the findings of a probe. If it fails, that is its finding.

    :raises django.db.Error: if the database cannot be used, or the tables of Klaxon are missing.
    """
    try:
        found = list(probe(using, now))
        for finding in found:
            _check_finding(finding)
    except Exception as error:
        # A probe of the site may fail in any way, and may read a table of the site that is missing. If one statement
        # always takes too long, the others still find something.
        is_missing = isinstance(error, Error) and name in OWN_PROBES and is_missing_migration(error)
        if is_missing or (isinstance(error, Error) and is_temporary_failure(error)):
            raise
        logger.exception("The probe %r has failed.", name)
        # The text of the error may contain secrets, such as the URL of a request.
        detail = _("It cannot be examined: %(error)s.") % {"error": type(error).__name__}
        remedy = _("The log has the traceback. Correct the probe.")
        return [Finding(name[:MAX_CAUSE_LENGTH], False, detail, remedy, is_failure=True)]
    return found


def _check_finding(finding: Finding) -> None:
    if not isinstance(finding, Finding):
        raise TypeError(f"A probe returned {type(finding).__name__}, and not a Finding.")
    if not 0 < len(finding.name) <= MAX_CAUSE_LENGTH:
        raise ValueError(f"The name of a finding must have from 1 to {MAX_CAUSE_LENGTH} characters.")

"""Examine the system with all probes, and announce what has been bad, or good again, for long enough."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from notifications import conf
from notifications.core.databases import read_from_primary
from notifications.models import Alarm
from notifications.monitoring.alarm.announcements import announce, describe
from notifications.monitoring.findings import Finding
from notifications.monitoring.probes import examine


@read_from_primary()
def examine_system(using: str, now: datetime) -> list[Finding]:
    """Examine each cause, announce the changes, and return the findings that are not healthy."""
    found = examine(using, now)
    findings = select_causes(found)
    known = {row.cause: row for row in Alarm.objects.using(using)}
    alarms = Alarm.objects.using(using)
    for name, finding in findings.items():
        if not finding.is_healthy:
            alarms.note_bad(name, min(finding.since or now, now), finding.detail, finding.remedy)
        elif name in known and (known[name].bad_since or known[name].degraded_at):
            alarms.note_good(name, now)
    if not any(finding.is_failure for finding in found):
        # The probes of the others are no longer registered, or the site ignores them. If a probe has failed, they may
        # be its parts, and nobody knows whether they are good.
        for name in known.keys() - findings.keys():
            alarms.note_good(name, now)
    announce_changes(using, now)
    return [finding for finding in findings.values() if not finding.is_healthy]


def select_causes(found: Iterable[Finding]) -> dict[str, Finding]:
    """Return by name the findings that can be the cause of an alarm. A probe that fails is one, too."""
    # By the names of findings: the probe "queue" returns "delay" as well, which must not be ignored with it.
    ignored = set(conf.current().get_alarm_option("IGNORE"))
    causes: dict[str, Finding] = {}
    for finding in found:
        # A healthy part must not hide another part of the same name.
        if finding.name not in ignored and (finding.name not in causes or causes[finding.name].is_healthy):
            causes[finding.name] = finding
    return causes


def announce_changes(using: str, now: datetime) -> None:
    """Begin and end alarms, in one transaction with their announcements, so that each is announced exactly once."""
    bad_for, good_for = (
        timedelta(seconds=conf.current().get_alarm_option(name)) for name in ("BAD_SECONDS", "GOOD_SECONDS")
    )
    alarms = Alarm.objects.using(using)
    if not alarms.changing(now, bad_for, good_for).exists():
        return
    with transaction.atomic(using=using):
        before = list(alarms.degraded())
        rows = list(alarms.changing(now, bad_for, good_for))
        begun = [row for row in rows if alarms.degrade(row.cause, now, bad_for)]
        ended = [row for row in rows if row not in begun and alarms.recover(row.cause, now, good_for)]
        remaining = [describe(row) for row in before if row not in ended]
        if begun:
            notification_id = announce("degraded", [describe(row) for row in begun], remaining, now, using)
            alarms.filter(cause__in=[row.cause for row in begun]).update(notification=notification_id)
        if ended:
            left = [*remaining, *(describe(row) for row in begun)]
            announce("recovered", [describe(row) for row in ended], left, now, using)

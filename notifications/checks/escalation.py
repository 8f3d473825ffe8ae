"""Checks of escalations: whether their targets exist and can be reached."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.db import Error as DatabaseError
from django.db import router

from notifications import conf
from notifications.core import clock
from notifications.core.databases import is_missing_migration
from notifications.escalation.unreachable import Finding, find_declared_faults, find_unreachable
from notifications.models import EscalationPolicy

Messages = Iterator[CheckMessage]


def check_escalation_targets() -> Messages:
    for finding in find_declared_faults():
        yield Error(describe(finding), hint=finding.hint, id="klaxon.E041")


def check_reachable(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Report what escalations cannot reach, for ``check --database``.

    These are only warnings: ``migrate`` runs the check too, and must not fail because a user was deleted.
    """
    using = router.db_for_read(EscalationPolicy)
    if using not in (databases or ()) or any(conf.problems()):
        return []
    try:
        # The other check reports the faults that need no database.
        declared = [(finding.subject, finding.text) for finding in find_declared_faults()]
        found = list(dict.fromkeys(find_unreachable(clock.now(using))))
    except DatabaseError as error:
        if not is_missing_migration(error):
            raise
        # The tables do not exist yet: this is the first `migrate`.
        return []
    return [
        Warning(describe(finding), hint=finding.hint, id="klaxon.W021")
        for finding in found
        # The name of a cluster may follow the subject.
        if not any(finding.text == text and finding.subject.startswith(subject) for subject, text in declared)
    ]


def describe(finding: Finding) -> str:
    return f"Escalation: {finding.subject}. {finding.text}"

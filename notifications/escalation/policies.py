"""Which escalation an event has in a cluster: that of a table, which staff edit, or else that of the code.

``send()`` must not read the table for each call. So each process knows for ten seconds which events have a policy in
the table, and reads the table only for those. Changes apply at once in the process that makes them.
"""

import logging
import time
from typing import Any

from django.db.models.signals import post_delete, post_save

from notifications.events import Escalation, NotificationEvent, key_of
from notifications.models import EscalationPolicy

logger = logging.getLogger("notifications.escalation")
KNOWN_SECONDS = 10.0


class KnownPolicies:
    """The names of the events that have a policy in the table of a database, as they were a few seconds ago."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}
        self._read_at: dict[str, float] = {}

    def has(self, event: NotificationEvent, using: str) -> bool:
        """Return whether an event has a policy in the table."""
        if time.monotonic() - self._read_at.get(using, float("-inf")) >= KNOWN_SECONDS:
            names = EscalationPolicy.objects.using(using).values_list("event", flat=True)
            self.set(names, using)
        return key_of(event.name) in self._names[using]

    def has_lately(self, event: NotificationEvent) -> bool:
        """Do the same for every database, without a query, by what was read last."""
        return any(key_of(event.name) in names for names in self._names.values())

    def set(self, names: Any, using: str) -> None:
        """Set what is known of a database."""
        self._names[using], self._read_at[using] = frozenset(names), time.monotonic()

    def forget(self, **_signal: Any) -> None:
        """Read the table again at the next call. A receiver of the signals of the model."""
        self._read_at.clear()


KNOWN_POLICIES = KnownPolicies()


def connect() -> None:
    """Read the table again after a change in this process, from now on."""
    for signal in (post_save, post_delete):
        signal.connect(KNOWN_POLICIES.forget, sender=EscalationPolicy, dispatch_uid="klaxon.escalation.policies")


def may_escalate(event: NotificationEvent, using: str) -> bool:
    """Return whether an event has an escalation in the code or in the table. Mostly without a query."""
    return event.escalation is not None or KNOWN_POLICIES.has(event, using)


def find_policy(event: NotificationEvent, cluster: Any, using: str) -> Escalation | None:
    """Return the escalation of an event in a cluster; None if it has none.

    If the steps in the table do not fit together, this is logged, and the escalation in the code applies: a mistake of
    staff must not prevent notifications.
    """
    if KNOWN_POLICIES.has(event, using):
        rows = EscalationPolicy.objects.using(using).prefetch_related("steps").filter(event=key_of(event.name))
        by_cluster = {row.cluster_id: row for row in rows}
        if row := by_cluster.get(cluster.pk) or by_cluster.get(None):
            escalation, fault = read_policy(row, event)
            if fault:
                logger.error("The escalation policy %s is ignored. %s", row, fault)
            return escalation
    return get_declared(event)


def read_policy(row: EscalationPolicy, event: NotificationEvent) -> tuple[Escalation | None, str]:
    """Return the escalation of a row, and what is wrong with the row: then it is the escalation in the code."""
    try:
        return row.build(), ""
    except (ValueError, TypeError) as error:
        return get_declared(event), str(error)


def get_declared(event: NotificationEvent) -> Escalation | None:
    """Return the escalation that the code declares."""
    escalation: Any = event.escalation
    return escalation if isinstance(escalation, Escalation) else None

"""Send the signal ``notifications_queued`` after the commit of the transaction that queued the notifications."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connections, transaction

from notifications import signals
from notifications.core.databases import get_current_partition, read_as_routed


class Commit:
    """The commit of one transaction. All signals of the transaction have the same instance."""

    def __init__(self) -> None:
        self.has_happened = False


@dataclass(frozen=True)
class QueuedNotifications:
    """The notifications that one call has queued."""

    partition: str
    notification_ids: tuple[int, ...]
    commit: Commit

    @read_as_routed()
    def send_signal(self) -> None:
        """Send ``notifications_queued``."""
        self.commit.has_happened = True
        signals.notifications_queued.send_robust(
            sender=apps.get_model("klaxon", "Notification"),
            partition=self.partition,
            notification_ids=self.notification_ids,
            commit=self.commit,
        )


def send_signal_on_commit(notification_ids: Iterable[int], using: str) -> None:
    """Send ``notifications_queued`` after the outermost commit, unless it is rolled back, even to a savepoint."""
    queued = QueuedNotifications(get_current_partition(), tuple(notification_ids), _next_commit(connections[using]))
    transaction.on_commit(queued.send_signal, using=using, robust=True)


def _next_commit(connection: Any) -> Commit:
    """Return the next commit of a connection.

    After a rollback, the instance has not been used in a signal, so the next transaction uses it.
    """
    commit: Commit | None = getattr(connection, "klaxon_commit", None)
    if commit is None or commit.has_happened:
        commit = connection.klaxon_commit = Commit()
    return commit

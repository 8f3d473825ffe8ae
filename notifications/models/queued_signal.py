"""Telling of what was queued, once the transaction that queued it has committed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connections, transaction

from notifications import signals
from notifications.core import partitions
from notifications.core.primary import read_as_routed


class Commit:
    """One commit of one transaction. All that was queued in the transaction is told of with the same object."""

    def __init__(self) -> None:
        self.has_happened = False


@dataclass(frozen=True)
class Queued:
    """What one call has queued."""

    partition: str
    notification_ids: tuple[int, ...]
    commit: Commit

    @read_as_routed()
    def tell(self) -> None:
        """Fire ``notifications_queued``."""
        self.commit.has_happened = True
        signals.notifications_queued.send_robust(
            sender=apps.get_model("klaxon", "Notification"),
            partition=self.partition,
            notification_ids=self.notification_ids,
            commit=self.commit,
        )


def tell_on_commit(notification_ids: Iterable[int], using: str) -> None:
    """Fire ``notifications_queued`` after the outermost commit; a rollback, also to a savepoint, prevents it."""
    queued = Queued(partitions.current(), tuple(notification_ids), _next_commit(connections[using]))
    transaction.on_commit(queued.tell, using=using, robust=True)


def _next_commit(connection: Any) -> Commit:
    """The commit that this connection makes next.

    A commit that a rollback has prevented has not been told of, and stands for the next transaction.
    """
    commit: Commit | None = getattr(connection, "klaxon_commit", None)
    if commit is None or commit.has_happened:
        commit = connection.klaxon_commit = Commit()
    return commit

"""Limits on the number of waiting deliveries.

A send that exceeds a limit is refused as a whole or, if ``QUEUE_FULL`` is ``"shed"``, less urgent sends are dropped as
a whole. There is no limit unless ``QUEUE_LIMIT`` or ``CLUSTER_QUEUE_LIMIT`` is set. CRITICAL events are never refused
and never dropped. Other events never exceed a limit, even if many calls send at the same time: each waits until the one
before it has committed, and then counts.
"""

from datetime import datetime
from functools import cached_property

from notifications import conf
from notifications.events import NotificationPriority
from notifications.sending.request import Request
from notifications.storage import waiting
from notifications.storage.waiting import OutboxScope

MAX_ATTEMPTS = 5


class QueueFull(Exception):
    """A send exceeds a limit. Its transaction must be rolled back."""


def is_limited(request: Request) -> bool:
    """Return whether a limit applies to the call."""
    configured = conf.current()
    is_critical = request.event.priority == NotificationPriority.CRITICAL
    return bool(configured.queue_limit or configured.cluster_queue_limit) and not is_critical


class QueueLimit:
    """One of the limits, with the room that it leaves before a send."""

    def __init__(self, scope: OutboxScope, limit: int, below: int, may_shed: bool) -> None:
        self.scope, self.below, self.may_shed = scope, below, may_shed
        self.room = limit - waiting.count_waiting(scope)

    @cached_property
    def sheddable(self) -> int:
        return waiting.count_sheddable(self.scope, self.below) if self.may_shed else 0

    def find_least_urgent(self, count: int, without: set[int]) -> dict[int, int]:
        """Return whole sends with at least this number of deliveries together, or all if there are fewer."""
        return waiting.find_least_urgent(self.scope, self.below, count, without) if self.may_shed else {}

    def fits(self, count: int) -> bool:
        """Return whether this number of deliveries may be queued, if necessary after others are shed."""
        return count <= self.room or count <= self.room + self.sheddable


class QueueRoom:
    """The room that the limits leave for one send.

    Create it in the transaction of the send, after :func:`notifications.storage.locks.lock_queue` and before
    anything is queued.
    """

    def __init__(self, request: Request, using: str) -> None:
        configured, self.using = conf.current(), using
        below, may_shed = request.priority.band[0], configured.queue_full == "shed"
        # The smaller scope first, because shedding there makes room in the other, too.
        scopes = (
            (OutboxScope(using, request.cluster.pk), configured.cluster_queue_limit),
            (OutboxScope(using), configured.queue_limit),
        )
        self.limits = [QueueLimit(scope, most, below, may_shed) for scope, most in scopes if most]

    def fits(self, count: int) -> bool:
        """Return whether this number of deliveries may be queued, if necessary after others are shed."""
        return all(limit.fits(count) for limit in self.limits)

    def check(self, count: int) -> None:
        """Check that a send with this number of deliveries fits.

        :raises QueueFull: if it does not.
        """
        if count and not self.fits(count):
            raise QueueFull

    def make_room(self, count: int, now: datetime) -> None:
        """Shed enough sends, after this number of deliveries was queued.

        :raises QueueFull: if there are not enough, because workers have claimed some of them.
        """
        if not count:
            return
        taken: set[int] = set()
        for _ in range(MAX_ATTEMPTS):
            chosen = self._choose_sends(count, taken)
            gone = {*chosen} - waiting.lock_untouched(self.using, chosen)
            if not gone:
                waiting.shed(self.using, chosen, now)
                return
            taken |= gone
        raise QueueFull

    def _choose_sends(self, count: int, taken: set[int]) -> list[int]:
        """Return the sends to shed.

        :param taken: sends of which workers have claimed deliveries; they are not shed.
        """
        chosen: dict[int, int] = {}
        for limit in self.limits:
            needed = count - limit.room - sum(chosen.values())
            if needed <= 0:
                continue
            found = limit.find_least_urgent(needed, taken | chosen.keys())
            if sum(found.values()) < needed:
                raise QueueFull
            chosen |= found
        return [*chosen]

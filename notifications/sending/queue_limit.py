"""The bound on what waits: a send that does not fit is refused whole, or whole sends that are less urgent make room.

Off unless ``QUEUE_LIMIT`` or ``CLUSTER_QUEUE_LIMIT`` is set. A CRITICAL event is never refused and never shed. All
others never go beyond a limit, however many send at once: each waits until the one before it has committed, and then
counts.
"""

from datetime import datetime
from functools import cached_property

from notifications import conf
from notifications.events import NotificationPriority
from notifications.sending.request import Request
from notifications.storage import waiting
from notifications.storage.waiting import OutboxScope

TRIES = 5


class QueueFull(Exception):
    """A send does not fit; what it has written is to be rolled back."""


def is_limited(request: Request) -> bool:
    configured = conf.current()
    is_critical = request.event.priority == NotificationPriority.CRITICAL
    return bool(configured.queue_limit or configured.cluster_queue_limit) and not is_critical


class Bound:
    """One of the limits, as it stands before a send."""

    def __init__(self, scope: OutboxScope, limit: int, below: int, may_shed: bool) -> None:
        self.scope, self.below, self.may_shed = scope, below, may_shed
        self.room = limit - waiting.count_waiting(scope)

    @cached_property
    def most_to_shed(self) -> int:
        return waiting.count_sheddable(self.scope, self.below) if self.may_shed else 0

    def least_urgent(self, count: int, without: set[int]) -> dict[int, int]:
        """Whole sends that have so many deliveries together, or fewer where there are no more."""
        return waiting.find_least_urgent(self.scope, self.below, count, without) if self.may_shed else {}

    def fits(self, count: int) -> bool:
        """Whether so many deliveries may be queued, perhaps after others were shed."""
        return count <= self.room or count <= self.room + self.most_to_shed


class Room:
    """What the limits leave to one send.

    To be made in the transaction of the send, after :func:`notifications.storage.waiting.lock_queue` and before
    anything is queued.
    """

    def __init__(self, request: Request, using: str) -> None:
        configured, self.using = conf.current(), using
        below, may_shed = request.priority.band[0], configured.queue_full == "shed"
        # The smaller scope first: what is shed there makes room in the other, too.
        scopes = (
            (OutboxScope(using, request.cluster.pk), configured.cluster_queue_limit),
            (OutboxScope(using), configured.queue_limit),
        )
        self.bounds = [Bound(scope, limit, below, may_shed) for scope, limit in scopes if limit]

    def fits(self, count: int) -> bool:
        """Whether so many deliveries may be queued, perhaps after others were shed."""
        return all(bound.fits(count) for bound in self.bounds)

    def check(self, count: int) -> None:
        """
        :raises QueueFull: if a send of so many deliveries does not fit.
        """
        if count and not self.fits(count):
            raise QueueFull

    def make(self, count: int, now: datetime) -> None:
        """Shed what must go, now that so many deliveries were queued.

        :raises QueueFull: if there is not enough, because workers have taken some of it.
        """
        if not count:
            return
        taken: set[int] = set()
        for _ in range(TRIES):
            chosen = self._chosen(count, taken)
            gone = {*chosen} - waiting.lock_untouched(self.using, chosen)
            if not gone:
                waiting.shed(self.using, chosen, now)
                return
            taken |= gone
        raise QueueFull

    def _chosen(self, count: int, taken: set[int]) -> list[int]:
        """The sends to shed.

        :param taken: those of which a worker has begun something.
        """
        chosen: dict[int, int] = {}
        for bound in self.bounds:
            needed = count - bound.room - sum(chosen.values())
            if needed <= 0:
                continue
            found = bound.least_urgent(needed, taken | chosen.keys())
            if sum(found.values()) < needed:
                raise QueueFull
            chosen |= found
        return [*chosen]

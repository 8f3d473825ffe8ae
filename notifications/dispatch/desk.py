"""Where outcomes are written down: states and log rows of a group in one transaction.

What a provider has answered is kept until it is written. While something is kept, nothing more is claimed: a worker
that cannot record must not go on sending, or whoever takes its rows over sends all of it again.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.db import DataError, IntegrityError, router, transaction

from notifications import clock, partitions, signals
from notifications.channel_classes import address_kind
from notifications.dispatch.fallback import after_death
from notifications.dispatch.heartbeat import Pulse
from notifications.dispatch.record import Attempted, attempt_row
from notifications.models import Delivery, NotificationLog, Suppression
from notifications.models.outbox import Settlement
from notifications.outcomes import DeliveryState, Suppress

logger = logging.getLogger("notifications.dispatch")

SIGNAL_OF = {
    DeliveryState.SENT: signals.delivery_sent,
    DeliveryState.DEAD: signals.delivery_failed,
    DeliveryState.DROPPED: signals.delivery_dropped,
}


@dataclass(frozen=True)
class Outcomes:
    """What became of a group at one time. A settlement without an attempt (None) leaves no row in the log."""

    pairs: Sequence[tuple[Attempted | None, Settlement]]
    at: datetime

    def __iter__(self) -> Iterator["Outcomes"]:
        return (Outcomes([pair], self.at) for pair in self.pairs)

    @property
    def attempted(self) -> list[tuple[Attempted, Settlement]]:
        return [(item, news) for item, news in self.pairs if item is not None]


class Desk:
    """One thread's: its database, its clock, whether others still know that it lives, and what is not yet written."""

    def __init__(self, pulse: Pulse | None = None) -> None:
        self.using = router.db_for_write(Delivery)
        self.pulse = pulse
        self.owner = pulse.owner if pulse else Pulse().owner
        self._watch = clock.Watch(self.using)
        self._life = 0
        self._unwritten: list[Outcomes] = []

    def now(self) -> datetime:
        return self._watch.now()

    def time_of_answer(self) -> datetime:
        """Now, for what a provider has just answered: it must be kept even if the database went away meanwhile."""
        return self._watch.told()

    def begin(self) -> bool:
        """Whether something new may be claimed."""
        self._life = self.pulse.lives if self.pulse else 0
        return self.may_go_on()

    def may_go_on(self) -> bool:
        """Whether what was claimed since :meth:`begin` is certainly still ours."""
        return self.pulse is None or (self.pulse.is_felt() and self.pulse.lives == self._life)

    def record(self, outcomes: Outcomes) -> Counter[str]:
        """Write down what providers have answered. If that fails, it is kept for :meth:`catch_up`, and raised."""
        self._unwritten.append(outcomes)
        tally = self._write_what_can_be(outcomes)
        self._unwritten.remove(outcomes)
        return tally

    def catch_up(self) -> Counter[str]:
        """Write what could not be written before; raises while that is still so."""
        tally: Counter[str] = Counter()
        while self._unwritten:
            tally += self._write_what_can_be(self._not_written(self._unwritten[0]))
            del self._unwritten[0]
        return tally

    def write(self, outcomes: Outcomes) -> Counter[str]:
        """States and log rows in one transaction. What is no longer ours is logged too: it was tried."""
        news = [news for _, news in outcomes.pairs]
        with transaction.atomic(using=self.using):
            written = Delivery.objects.using(self.using).settle(news, outcomes.at)
            _log(outcomes, self.using)
            ours = [(item.delivery, settled) for item, settled in outcomes.attempted if settled.id in written]
            after_death(ours, self.using, outcomes.at)
            for delivery, settled in ours:
                tell(delivery, settled, self.using)
        stale = len(news) - len(written)
        if stale:
            logger.warning("%d outcomes came too late: their lease had run out and another worker took over.", stale)
        return Counter(settled.state for settled in news if settled.id in written)

    def _write_what_can_be(self, outcomes: Outcomes) -> Counter[str]:
        try:
            return self.write(outcomes)
        except (DataError, IntegrityError, ValueError):
            if len(outcomes.pairs) > 1:
                return sum((self._write_what_can_be(one) for one in outcomes), Counter())
            logger.exception("An outcome cannot be stored; its delivery becomes unknown when the lease runs out.")
            return Counter()

    def _not_written(self, outcomes: Outcomes) -> Outcomes:
        """Without what is written already: the connection can break between a commit and its answer."""
        ids = [item.delivery.pk for item, _ in outcomes.attempted]
        rows = NotificationLog.objects.using(self.using).filter(delivery_id__in=ids, sent_at=outcomes.at)
        there = set(rows.filter(kind=NotificationLog.Kind.ATTEMPT).values_list("delivery_id", flat=True))
        return Outcomes([pair for pair in outcomes.pairs if pair[1].id not in there], outcomes.at)


def _log(outcomes: Outcomes, using: str) -> None:
    rows = [attempt_row(item, news.reason, outcomes.at) for item, news in outcomes.attempted]
    NotificationLog.objects.using(using).append(rows)
    bad = [
        (address_kind(item.delivery.channel), item.delivery.address)
        for item, _ in outcomes.attempted
        if item.receipt.suppress is Suppress.NOW
    ]
    Suppression.objects.using(using).suppress(bad, Suppression.Why.HARD_BOUNCE, outcomes.at)


def tell(delivery: Delivery, news: Settlement, using: str) -> None:
    """Send the signal of an outcome, if it has one, after the commit."""
    delivery.state, delivery.reason, delivery.due_at = news.state, news.reason, news.due_at
    signal = SIGNAL_OF.get(DeliveryState(news.state))
    if signal is not None and signal.has_listeners(Delivery):
        fact = partial(signal.send_robust, sender=Delivery, partition=partitions.current(), delivery=delivery)
        transaction.on_commit(fact, using=using, robust=True)

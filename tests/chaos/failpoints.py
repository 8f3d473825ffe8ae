"""Fail points: a worker that ends, or stops, itself at a named verb of the engine.

They are put around the verbs in a forked child and nowhere else. Each writes down, before it strikes, which deliveries
the provider had accepted and the database did not know of: only these may arrive twice.
"""

import functools
import signal
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.db import transaction

from notifications.models.delivery import DeliveryQuerySet
from notifications.models.log import LogQuerySet
from tests.chaos.channel import ChaosChannel, Parcel
from tests.chaos.journal import Journal

BEFORE_CALL = ("claimed", "prepared", "marked")
AFTER_ACCEPTANCE = ("accepted", "settling", "recorded")
# Twice struck is enough: the third strike would make a dead letter of a delivery that has done nothing.
MOST_STRIKES = 2

Pairs = Sequence[tuple[int, int]]


def after(holder: type, name: str, then: Callable[..., None]) -> None:
    """Call ``then(result, *arguments)`` each time the method has done its work."""
    method = getattr(holder, name)

    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        then(result, *args)
        return result

    setattr(holder, name, wrapped)


def before(holder: type, name: str, first: Callable[..., None]) -> None:
    """Call ``first(*arguments)`` each time before the method is entered."""
    method = getattr(holder, name)

    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        first(*args)
        return method(self, *args, **kwargs)

    setattr(holder, name, wrapped)


def write_down(journal: Journal) -> None:
    """Let this process tell what it claims, settles as sent and takes back from others."""

    def once_committed(kind: str, pairs: Pairs) -> None:
        transaction.on_commit(partial(journal.write, kind, pairs))

    after(DeliveryQuerySet, "claim", lambda rows, *_: journal.write("claimed", [(row.pk, row.fence) for row in rows]))
    after(DeliveryQuerySet, "take_back", lambda rows, *_: once_committed("taken", [(r.pk, r.fence - 1) for r in rows]))
    after(DeliveryQuerySet, "settle", lambda written, news, *_: once_committed("settled", _sent(news, written)))


def _sent(news: Sequence[Any], among: set[int] | None = None) -> Pairs:
    return [(item.id, item.fence) for item in news if item.state == "sent" and (among is None or item.id in among)]


class FailPoint:
    """Strikes the ``nth`` time that this process comes by ``verb`` with nothing in its hands that was struck twice.

    :param spares: False if it strikes whatever the process has in its hands.
    """

    def __init__(
        self, journal: Journal, verb: str, nth: int, deed: signal.Signals = signal.SIGKILL, spares: bool = True
    ) -> None:
        self.journal, self.verb, self.left, self.deed, self.spares = journal, verb, nth, deed, spares
        self.fair = True
        self.settling: Pairs = []
        # What the provider of each thread has or had, until its outcome is committed.
        self.in_hand: dict[int, Pairs] = {}

    def install(self) -> None:
        after(DeliveryQuerySet, "claim", self._claimed)
        before(DeliveryQuerySet, "mark_sending", lambda *_: self.reach("prepared"))
        before(DeliveryQuerySet, "settle", self._settle)
        after(DeliveryQuerySet, "settle", lambda *_: transaction.on_commit(self._put_down))
        after(LogQuerySet, "append", lambda *_: self.reach("recorded", self.settling) if self.settling else None)
        ChaosChannel.on_begin = self._begin
        ChaosChannel.on_accepted = self._accepted

    def reach(self, verb: str, at_risk: Pairs = ()) -> None:
        if verb != self.verb or not self.fair:
            return
        self.left -= 1
        if self.left == 0:
            self.journal.write("struck", at_risk)
            self.journal.write("beside", self._list_others())
            # To this thread: it would otherwise run on for a moment while another thread takes a SIGSTOP.
            signal.pthread_kill(threading.get_ident(), self.deed)

    def _claimed(self, rows: Sequence[Any], *_: Any) -> None:
        self.fair = not self.spares or all(row.strikes < MOST_STRIKES for row in rows)
        self.settling = []
        if rows:
            self.reach("claimed")

    def _begin(self, parcels: Sequence[Parcel], _accepted: int) -> None:
        self.in_hand[threading.get_ident()] = [(parcel.delivery, parcel.fence) for parcel in parcels]
        self.reach("marked")

    def _put_down(self) -> None:
        self.in_hand.pop(threading.get_ident(), None)

    def _list_others(self) -> Pairs:
        """Return what other threads of this process, such as relief threads, have in hand."""
        own = threading.get_ident()
        return [pair for thread, pairs in list(self.in_hand.items()) if thread != own for pair in pairs]

    def _accepted(self, parcels: Sequence[Parcel], accepted: int) -> None:
        self.reach("accepted", [(parcel.delivery, parcel.fence) for parcel in parcels[:accepted]])

    def _settle(self, news: Sequence[Any], *_: Any) -> None:
        self.settling = _sent(news)
        if self.settling:
            self.reach("settling", self.settling)

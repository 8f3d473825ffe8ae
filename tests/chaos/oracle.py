"""The oracle: it compares what the provider took with what the database says, and knows nothing of the engine."""

from collections import Counter
from dataclasses import dataclass

from django.db import connection

from notifications.models import Delivery
from notifications.outcomes import END_STATES
from tests.chaos import history
from tests.chaos.figures import Figures
from tests.chaos.journal import Journal

MOST_LIVES_TOLD = 5


@dataclass(frozen=True)
class Entry:
    """A line of the ledger."""

    delivery: int
    epoch: int
    fence: int
    pid: int

    @property
    def pair(self) -> tuple[int, int]:
        return self.delivery, self.fence


class Oracle:
    """Reads the ledger, the outbox and the history once all workers have ended."""

    def __init__(self, ledger: str, journal: Journal) -> None:
        self.entries = [Entry(*map(int, line.split())) for line in ledger.splitlines()]
        self.copies = Counter(entry.delivery for entry in self.entries)
        self.states: dict[int, str] = dict(Delivery.objects.values_list("pk", "state"))
        self.journal = journal

    @property
    def lost(self) -> set[int]:
        """Sent, and the provider has never heard of it; or in no end state after the drain."""
        lied = {pk for pk, state in self.states.items() if state == "sent" and pk not in self.copies}
        return lied | {pk for pk, state in self.states.items() if state not in END_STATES}

    @property
    def duplicates(self) -> int:
        return self.copies.total() - len(self.copies)

    @property
    def strangers(self) -> int:
        """Accepted, but no such delivery: it was sent before its row was committed, or in spite of a rollback."""
        return len(self.copies.keys() - self.states.keys())

    @property
    def dead(self) -> int:
        return sum(state == "dead" for state in self.states.values())

    @property
    def stale_writes(self) -> int:
        """Settled by a worker under a fence that another had taken from it."""
        settled, taken = self._pairs("settled"), self._pairs("taken")
        return len(set(settled) & set(taken))

    @property
    def robbed(self) -> int:
        """Deliveries taken from a worker that lived, because it was too slow: each may arrive twice."""
        gone = self._gone()
        holder = {pair: fact.pid for fact in self.journal.facts("claimed") for pair in fact.pairs}
        return sum(holder[pair] not in gone for pair in self._pairs("taken") if pair in holder)

    @property
    def from_the_living(self) -> int:
        """Copies beyond the first of each delivery, of those whose sender was neither killed nor frozen."""
        gone = self._gone()
        copies = Counter(entry.delivery for entry in self.entries if entry.pid not in gone)
        return copies.total() - len(copies)

    @property
    def unexplained(self) -> set[int]:
        """Arrived more often than 1 + the number of times that contact with its sender was lost."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT delivery FROM chaos_history WHERE was = 'sending' AND state <> 'sent'")
            losses = Counter(row[0] for row in cursor.fetchall())
        return {pk for pk, count in self.copies.items() if count - 1 > losses[pk]}

    def _gone(self) -> set[int]:
        """Processes that were killed or frozen."""
        return {fact.pid for kind in ("struck", "ended") for fact in self.journal.facts(kind)}

    def _pairs(self, kind: str) -> list[tuple[int, int]]:
        return [pair for fact in self.journal.facts(kind) for pair in fact.pairs]

    def fill(self, figures: Figures) -> Figures:
        """Add what holds for every fault."""
        lost, unexplained = self.lost, self.unexplained
        figures.lost += len(lost)
        figures.duplicates += self.duplicates
        figures.zero |= {"phantoms": self.strangers, "unexplained copies": len(unexplained)}
        figures.zero["duplicates of the living"] = self.from_the_living
        figures.zero["stale writes"] = self.stale_writes
        figures.zero["forbidden moves"] = history.forbidden_moves()
        figures.told["deliveries"] = str(len(self.states))
        odd = sorted(lost | unexplained)[:MOST_LIVES_TOLD]
        figures.evidence += [f"{history.life_of(pk)} | copies {self.copies[pk]}" for pk in odd]
        return figures

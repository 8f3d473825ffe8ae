"""The scene of one fault: an empty outbox, a provider with a fresh ledger, a journal, and processes."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, connections
from django.db.models import Count, Q

from notifications.core import clock
from notifications.manager import NotificationManager
from notifications.models import Circuit, Cluster, Delivery
from notifications.outcomes import END_STATES
from tests.chaos import history
from tests.chaos.channel import ChaosChannel
from tests.chaos.failpoints import FailPoint
from tests.chaos.figures import Figures
from tests.chaos.journal import Journal
from tests.chaos.notification_events import ChaosEvents
from tests.chaos.oracle import Oracle
from tests.chaos.provider import Witness, provider
from tests.chaos.settings import STATE_DIR
from tests.chaos.workers import Pool, work
from tests.processes import environment

CROWD = 300
SECONDS_WITHOUT_NEWS = 20
LONGEST_WAIT = 300


class Scene:
    """What a story has at hand. ``fast`` chooses the smaller of two sizes; a ``lie`` breaks its workers' engine."""

    witness: Witness

    def __init__(self, folder: Path, fast: bool, lie: str = "") -> None:
        self.folder, self.fast, self.lie = folder, fast, lie
        # Of a lie it is known that something will not come.
        self.patience = SECONDS_WITHOUT_NEWS / 5 if lie else SECONDS_WITHOUT_NEWS
        self.database = "SQLite" if connection.vendor == "sqlite" else "PostgreSQL"
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.journal = Journal(folder / "journal")
        self.said = folder / "said"
        self.crowd: list[User] = []
        self._next_look = 0.0

    def size(self, full: int, fast: int) -> int:
        return fast if self.fast else full

    def pool(self) -> Pool:
        return Pool(self.said, self.journal)

    def worker(self, fail_point: FailPoint | None = None, threads: int = 1, processes: int = 1) -> partial[None]:
        """The task of a child that delivers, itself or with several processes of its own."""
        return partial(work, self.journal, fail_point, threads, self.lie, processes)

    def environment(self, settings: str, **more: str) -> dict[str, str]:
        """What a worker that is a program of its own must be told."""
        told = {"KLAXON_JOURNAL": str(self.journal.path), "KLAXON_LIE": self.lie}
        port = str(self.witness.port)
        return environment(DJANGO_SETTINGS_MODULE=settings, KLAXON_WITNESS_PORT=port, **told, **more)

    def enqueue(self, how_many: int = CROWD, words: str = "a parcel", event: ChaosEvents = ChaosEvents.PARCEL) -> None:
        for start in range(0, how_many, CROWD):
            crowd = self.crowd[: min(CROWD, how_many - start)]
            NotificationManager.send(event, crowd, context={"words": words})

    def top_up(self) -> None:
        """Keep something to do for the workers; looks now and then."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + 0.3
            if Delivery.objects.filter(state="ready").count() < CROWD // 2:
                self.enqueue()

    def alive(self) -> Counter[str]:
        """How many deliveries are in which state that is no end."""
        rows = Delivery.objects.exclude(state__in=END_STATES).values_list("state").annotate(Count("pk"))
        return Counter(dict(rows))

    def drain(self, pool: Pool) -> None:
        """Wait until everything has come to an end, or nothing moves any more and nothing is due: then it is lost."""
        before, since = None, time.monotonic()
        while (now := (self.alive(), self.accepted)) != before or not self.is_hopeless(since):
            if not now[0]:
                return
            if now != before:
                before, since = now, time.monotonic()
            pool.reap()
            time.sleep(0.1)

    def is_hopeless(self, since: float) -> bool:
        """Whether nothing has moved for long, though no retry and no lease was to be waited for."""
        quiet = time.monotonic() - since
        return quiet >= self.patience and (quiet >= LONGEST_WAIT or not self.is_expected())

    def is_expected(self) -> bool:
        """Return whether a delivery, a lease or a circuit has its time to come, or has had it recently."""
        recently = clock.now() - timedelta(seconds=self.patience)
        alive = Delivery.objects.exclude(state__in=END_STATES)
        waits = alive.filter(Q(due_at__gt=recently) | Q(lease__gt=recently)).exists()
        # A ready delivery of a channel whose only provider has an open circuit waits for its end.
        return waits or Circuit.objects.filter(open_until__gt=recently).exists()

    @property
    def accepted(self) -> int:
        """How many lines the ledger has: every one ends with a newline."""
        return self.ledger.read_bytes().count(b"\n")

    def complaints(self) -> str:
        """All that the children have written to their standard error."""
        return self.said.read_text(errors="replace") if self.said.exists() else ""

    def last_words(self) -> str:
        """What the children complained of, and how often: where a promise was broken, the reason may stand there."""
        lines = self.complaints().splitlines()
        told = Counter(line for line in lines if line[:1].strip() and not line.startswith(("Traceback", "The above")))
        return "; ".join(f"{count} x {line[:160]}" for line, count in told.most_common(8))

    def oracle(self) -> Oracle:
        return Oracle(self.ledger.read_text(), self.journal)

    def figures(self, fault: str, runs: str, pool: Pool, bound: int = 0) -> Figures:
        """The row of this fault. What was taken from living workers that were slow widens the bound, and is told."""
        oracle = self.oracle()
        figures = Figures(fault, self.database, runs, bound=bound + oracle.robbed)
        figures.zero |= {"children failed": pool.failures, "quarantined": oracle.dead}
        figures.told["taken from the living"] = str(oracle.robbed)
        return oracle.fill(figures)


def somebody(number: int) -> User:
    return User(username=f"u{number}", email=f"u{number}@example.com")


@contextmanager
def scene(folder: Path, fast: bool, keyed: bool = False, lie: str = "") -> Iterator[Scene]:
    """Set one, and leave nothing of it behind."""
    folder.mkdir()
    call_command("flush", interactive=False, verbosity=0)
    history.forget()
    made = Scene(folder, fast, lie)
    Cluster.objects.default()
    made.crowd = User.objects.bulk_create(somebody(number) for number in range(CROWD))
    with provider(made.ledger, keyed) as made.witness, ChaosChannel.as_it_was():
        ChaosChannel.port = made.witness.port
        yield made
    connections.close_all()
    shutil.rmtree(folder)
    # The next scene begins with the same ids.
    shutil.rmtree(STATE_DIR, ignore_errors=True)

"""What befalls a worker that goes on living: one trouble after the other, each for a while."""

import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from itertools import cycle
from typing import NamedTuple

from django.db import connection, connections

from tests.chaos.provider import Witness
from tests.chaos.weather import BROWN, DOWN, SLOW, Spell
from tests.postgres_server import Server

SECONDS_FOR_ONE_CALL = 0.3
SHARE_THAT_FAILS = 0.3


class Trouble(NamedTuple):
    """``begin`` is told for how many seconds; ``end`` undoes it. ``loses_contact``: it may cost a duplicate."""

    name: str
    begin: Callable[[float], object]
    end: Callable[[], object] = lambda: None
    loses_contact: bool = False


class Troubles:
    """Each slot has one, for its middle third."""

    def __init__(self, those: list[Trouble], slot: float) -> None:
        self.slot, self.met, self.lost_contact = slot, Counter[str](), 0
        self._next = cycle(those)
        self._now: Trouble | None = None
        self._turn_at = time.monotonic() + slot / 3

    def look_at_the_time(self) -> None:
        """Begin or end one, if it is time."""
        if time.monotonic() < self._turn_at:
            return
        if self._now is None:
            self._now = next(self._next)
            self._now.begin(self.slot / 3)
            self.met[self._now.name] += 1
            self.lost_contact += self._now.loses_contact
        else:
            self.be_over()
        self._turn_at += self.slot / 3 if self._now else 2 * self.slot / 3

    def be_over(self) -> None:
        if self._now:
            self._now.end()
            self._now = None


def of_the_provider(witness: Witness) -> list[Trouble]:
    return [
        Trouble("provider down", lambda seconds: witness.foretell(Spell(seconds, DOWN))),
        Trouble("provider slow", lambda seconds: witness.foretell(Spell(seconds, SLOW, SECONDS_FOR_ONE_CALL))),
        Trouble("temporary errors", lambda seconds: witness.foretell(Spell(seconds, BROWN, SHARE_THAT_FAILS))),
    ]


def of_the_worker(pid: int) -> list[Trouble]:
    freeze = Trouble("frozen", lambda _: os.kill(pid, signal.SIGSTOP), lambda: os.kill(pid, signal.SIGCONT), True)
    return [freeze]


def of_the_database() -> list[Trouble]:
    if connection.vendor == "sqlite":
        holder = LockHolder(str(connection.settings_dict["NAME"]))
        return [Trouble("locked", lambda _: holder.take(), holder.let_go, True)]
    return [Trouble("restarted", lambda _: restart(), loses_contact=True)]


def restart() -> None:
    connections.close_all()
    Server.current.restart()


class LockHolder:
    """Another program that holds SQLite's only write lock."""

    def __init__(self, name: str) -> None:
        self.name = name

    def take(self) -> None:
        self.connection = sqlite3.connect(self.name, timeout=30, isolation_level=None)
        self.connection.execute("BEGIN IMMEDIATE")

    def let_go(self) -> None:
        self.connection.execute("ROLLBACK")
        self.connection.close()

"""A worker is asked to end while its database is away: what providers have accepted must not be forgotten.

The worker is the real command. What it could not write stands in a file when it has ended; the next start reads it.
"""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from django.db import connections

from notifications.models import Delivery
from tests.chaos import databases
from tests.chaos.faults.lockouts import locked
from tests.chaos.figures import Figures
from tests.chaos.programs import command
from tests.chaos.recovery import in_flight
from tests.chaos.scene import Scene
from tests.chaos.settings import STATE_DIR, STOP_SECONDS
from tests.chaos.weather import SLOW, Spell
from tests.postgres_server import Server

DELIVERIES = 40
SECONDS_FOR_ONE = 0.05
SECONDS_AWAY_BEFORE = 1.0
LOCK_PATIENCE, LOCK_PATIENCE_OF_A_SITE = 1.0, 20.0
"""Seconds that a statement waits for a lock; a site that takes Klaxon's settings for SQLite has the second."""
PAGES_LEFT = 4
MARGIN = 3.0
SECONDS_TO_NOTICE = 0.5
SECONDS_TO_WAIT = 20.0
SECONDS_TO_END = 60.0
NEVER = 99
LONG = 10**6

Away = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Farewell:
    """How a worker ended. ``returned``: the database was back in good time before the worker had to give up.

    ``most`` is how many seconds it had to end. ``unwritten`` are the deliveries that its provider had accepted and the
    database did not know of; ``named`` is how many of them its log names, ``files`` how many files it left.
    """

    code: int
    seconds: float
    most: float
    returned: bool
    unwritten: frozenset[int]
    named: int
    files: int


def database_stopped(scene: Scene) -> Figures:
    """48: PostgreSQL crashes, its worker gets SIGTERM, and PostgreSQL comes back."""
    return stopped_while(scene, "48 SIGTERM, database stopped", server_stopped)


def database_locked(scene: Scene) -> Figures:
    """48: the same while another program holds the lock."""
    return stopped_while(scene, "48 SIGTERM, database locked", locked)


def disk_full(scene: Scene) -> Figures:
    """48: the same while the disk is full, for this worker only."""
    return stopped_while(scene, "48 SIGTERM, disk full", nullcontext, is_full=True)


@contextmanager
def server_stopped() -> Iterator[None]:
    connections.close_all()
    Server.current.stop()
    try:
        yield
    finally:
        Server.current.start()


def stopped_while(scene: Scene, fault: str, away: Away, is_full: bool = False) -> Figures:
    """Of three workers two end while the database is away; it returns in time for the other, unless the disk is full.

    Every other one has two processes. The third has the patience of a site.
    """
    times, farewells = scene.size(6, 2), []
    with scene.pool() as pool:
        for number in range(times):
            scene.witness.foretell(Spell(LONG, SLOW, SECONDS_FOR_ONE))
            scene.enqueue(DELIVERIES)
            returns = number % 3 == 1 and not is_full
            patience = LOCK_PATIENCE_OF_A_SITE if number % 3 == 2 else LOCK_PATIENCE
            farewells.append(say_farewell(scene, away, returns, 1 + number % 2, patience, is_full))
            scene.witness.foretell()
            if farewells[-1].unwritten:
                start_again(scene, farewells[-1])
        with command(scene) as worker:
            scene.drain(pool)
            end(worker)
        figures = scene.figures(fault, f"{times} stops", pool)
    figures.bound = 0
    return judged(figures, farewells)


def say_farewell(scene: Scene, away: Away, returns: bool, processes: int, patience: float, is_full: bool) -> Farewell:
    """Let a worker work, take its database away, ask it to end, and see how it does."""
    said, accepted = len(scene.complaints()), scene.accepted
    env = {databases.PATIENCE: str(patience)}
    if is_full:
        env[databases.MOST_PAGES] = str(databases.pages() + PAGES_LEFT)
    connections.close_all()
    with command(scene, "--workers", "2", "--processes", str(processes), **env) as worker:
        wait_until(lambda: scene.accepted >= accepted + 5)
        with away():
            time.sleep(SECONDS_AWAY_BEFORE)
            wait_until(lambda: not is_full or stands_still(scene))
            since = time.monotonic()
            worker.send_signal(signal.SIGTERM)
            if returns:
                time.sleep(STOP_SECONDS / 4)
            else:
                code_of(worker)
        # A server needs a while to start.
        returned = returns and time.monotonic() - since < STOP_SECONDS - SECONDS_TO_NOTICE
        code = code_of(worker)
        seconds = time.monotonic() - since
    unwritten, words = accepted_and_unwritten(scene), scene.complaints()[said:]
    named = sum(bool(re.search(rf"\b{pk}\b", words)) for pk in unwritten)
    return Farewell(code, seconds, STOP_SECONDS + patience + MARGIN, returned, unwritten, named, len(files()))


def end(worker: subprocess.Popen) -> None:
    worker.terminate()
    code_of(worker)


def code_of(worker: subprocess.Popen) -> int:
    """The exit code of one that was asked to end; ``NEVER`` if it does not."""
    with suppress(subprocess.TimeoutExpired):
        return worker.wait(SECONDS_TO_END)
    return NEVER


def stands_still(scene: Scene) -> bool:
    before = scene.accepted
    time.sleep(1)
    return scene.accepted == before


def accepted_and_unwritten(scene: Scene) -> frozenset[int]:
    accepted = {entry.pair for entry in scene.oracle().entries}
    sending = Delivery.objects.filter(state="sending").values_list("pk", "fence")
    return frozenset(pk for pk, fence in sending if (pk, fence) in accepted)


def files() -> list[Path]:
    return [path for path in Path(STATE_DIR).rglob("*") if path.is_file()]


def start_again(scene: Scene, before: Farewell) -> None:
    """The next start, with a database that is well: until all that the last one had in hand has come to an end."""
    connections.close_all()
    with command(scene) as worker:
        wait_until(lambda: not before.unwritten & in_flight())
        end(worker)


def wait_until(condition: Callable[[], object]) -> None:
    """Until it holds, or has not held for too long."""
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def judged(figures: Figures, farewells: list[Farewell]) -> Figures:
    gave_up = [one for one in farewells if one.unwritten]
    unwritten = sum(len(one.unwritten) for one in farewells)
    figures.zero["exit 0 with outcomes unwritten"] = sum(one.code == 0 for one in gave_up)
    figures.zero["did not end"] = sum(one.code == NEVER for one in farewells)
    figures.zero["no file"] = sum(not one.files for one in gave_up)
    figures.zero["not named in the log"] = unwritten - sum(one.named for one in gave_up)
    returned = [one for one in farewells if one.returned]
    figures.zero["gave up though it returned"] = sum(bool(one.code or one.unwritten) for one in returned)
    figures.zero["too slow to end"] = sum(one.seconds > one.most for one in farewells)
    figures.zero["gave up too early"] = sum(one.seconds < STOP_SECONDS for one in gave_up)
    figures.zero["nothing was unwritten"] = int(not gave_up)
    figures.zero["files left over"] = len(files())
    figures.told["unwritten"] = str(unwritten)
    figures.told["exit at most"] = f"{max(one.seconds for one in farewells):.1f} s"
    return figures

"""The disk is full. On SQLite a page limit on one connection is the same to that process.

PostgreSQL has no such limit, and filling a real disk is nothing to do on somebody's machine.
"""

import time
from functools import partial

from django.db import connection

from tests.chaos import databases
from tests.chaos.caller import Caller
from tests.chaos.figures import Figures
from tests.chaos.scene import Scene

PAGES_LEFT = 40
SECONDS_FULL = 8


def for_callers(scene: Scene) -> Figures:
    """11: no room for a notification: its caller is refused. Whatever was accepted is there, and is delivered."""
    refusals, caller = scene.size(200, 20), Caller(scene.folder / "caller")
    with scene.pool() as pool:
        [asking] = pool.start(partial(limited, PAGES_LEFT, partial(ask, caller, refusals)))
        pool.wait_for({asking}, seconds=120)
        pool.start(scene.worker(), 2)
        scene.drain(pool)
    answers = caller.answers()
    figures = scene.figures("11 disk full for callers", f"{sum(bool(a.error) for a in answers)} refusals", pool)
    figures.zero["accepted but missing"] = caller.accepted_but_missing()
    figures.zero["unclear errors"] = sum(bool(a.error) and "full" not in a.error for a in answers)
    figures.zero["never full"] = int(not any(a.error for a in answers))
    figures.told["accepted before"] = str(sum(not a.error for a in answers))
    return figures


def ask(caller: Caller, refusals: int) -> None:
    caller.ask(time.monotonic() + 60, refusals, pause=0)


def for_workers(scene: Scene) -> Figures:
    """11: no room for the record of what was sent: it is kept when the worker stops, and nothing goes out twice."""
    scene.enqueue(scene.size(900, 300))
    with scene.pool() as pool:
        cramped = set(pool.start(partial(limited, 4, scene.worker())))
        time.sleep(SECONDS_FULL)
        while_full = scene.accepted
        pool.tell_all(cramped)
        pool.wait_for(cramped)
        pool.start(scene.worker(), 2)
        scene.drain(pool)
    figures = scene.figures("11 disk full for a worker", f"{SECONDS_FULL} s", pool)
    figures.bound = 0
    figures.told["handed over meanwhile"] = str(while_full)
    return figures


def limited(pages: int, task: partial[None]) -> None:
    """Run a task that finds only so many pages left."""
    most = databases.pages() + pages
    connection.close()
    databases.trouble(connection.settings_dict, {databases.MOST_PAGES: str(most)})
    task()

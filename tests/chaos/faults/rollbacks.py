"""The caller rolls back: nothing was ever asked for."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from notifications.delivering.on_commit import NOTIFY_CHANNEL
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification
from notifications.signals import notifications_queued
from tests.chaos.figures import Figures
from tests.chaos.notification_events import ChaosEvents
from tests.chaos.scene import Scene
from tests.chaos.workers import Pool

KEPT_EVERY = 10


class ChangedItsMind(Exception):
    """What the caller's own code raises."""


def rolled_back(scene: Scene) -> Figures:
    """17: by an exception, by a savepoint, by a failing statement, by death: no row, no wake-up, no message."""
    times, facts = scene.size(1000, 100), []
    ways = (by_exception, by_savepoint, by_failing_statement, by_death)
    with scene.pool() as pool, wakes_heard() as heard:
        pool.start(scene.worker(), 2)
        notifications_queued.connect(note := lambda **fact: facts.append(fact))
        for number in range(times):
            ways[number % len(ways) if number % 20 < 4 else number % 3](scene, pool)
            if number % KEPT_EVERY == 0:
                ask("kept", scene.crowd[0])
        notifications_queued.disconnect(note)
        scene.drain(pool)
        wakes = heard()
    figures = scene.figures("17 caller rolls back", f"{times} rollbacks", pool)
    return judged(figures, -(-times // KEPT_EVERY), len(facts), wakes)


def judged(figures: Figures, kept: int, facts: int, wakes: int | None) -> Figures:
    """What was kept, in between, must be there: or no phantoms would prove nothing."""
    figures.zero["phantom rows"] = Notification.objects.exclude(context__words="kept").count()
    figures.zero["phantom signals"] = facts - kept
    figures.zero["kept and missing"] = kept - Delivery.objects.filter(state="sent").count()
    if wakes is not None:
        figures.zero["phantom wakes"] = wakes - kept
    return figures


def ask(words: str, user: User) -> None:
    NotificationManager.send(ChaosEvents.PARCEL, [user], context={"words": words})


def by_exception(scene: Scene, pool: Pool) -> None:
    try:
        with transaction.atomic():
            ask("never", scene.crowd[0])
            change_mind()
    except ChangedItsMind:
        return


def change_mind() -> None:
    raise ChangedItsMind


def by_savepoint(scene: Scene, pool: Pool) -> None:
    with transaction.atomic():
        by_exception(scene, pool)


def by_failing_statement(scene: Scene, pool: Pool) -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            ask("never", scene.crowd[0])
            cursor.execute("SELECT no_such_column FROM klaxon_notification")
    except DatabaseError:
        return


def by_death(scene: Scene, pool: Pool) -> None:
    pool.wait_for(set(pool.start(lambda: die_asking(scene.crowd[0]))))


def die_asking(user: User) -> None:
    with transaction.atomic():
        ask("never", user)
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def wakes_heard() -> Iterator[Any]:
    """On PostgreSQL, how often the workers were told of something; SQLite has nothing that could be heard."""
    if connection.vendor != "postgresql":
        yield lambda: None
        return
    ear = connection.copy()
    with ear.cursor() as cursor:
        cursor.execute(f"LISTEN {NOTIFY_CHANNEL}")
    yield lambda: len(list(ear.connection.notifies(timeout=1)))
    ear.close()

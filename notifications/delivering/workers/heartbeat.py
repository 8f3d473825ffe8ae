"""The heartbeat of a worker process, on a thread and a database connection of its own."""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Protocol
from uuid import uuid4
from weakref import WeakSet

from django.db import connections, router

from notifications import conf
from notifications.core import clock
from notifications.core.connections import limit_lock_waits, use_own_connections
from notifications.delivering.recorder import Recorder
from notifications.delivering.workers.outage_log import OUTAGE_LOG
from notifications.models import Delivery, Heartbeat

logger = logging.getLogger("notifications.worker")


SECONDS_TO_DEREGISTER = 2.0


class Keeper(Protocol):
    def unwritten_ids(self) -> set[int]:
        """The deliveries whose outcomes are kept and not yet in the database."""


class HeartbeatThread:
    """Beats until stopped, and renews the leases of what the process has claimed but not begun to send.

    What is being sent is not renewed: its lease is longer than the channel's time-outs, so a provider that hangs for
    ever costs one lease and not the worker.
    """

    def __init__(self) -> None:
        self.host, self.pid = socket.gethostname(), os.getpid()
        self.owner = f"{self.host}:{self.pid}:{uuid4().hex[:8]}"[-100:]
        self.using = router.db_for_write(Delivery)
        self.lives = 1
        """Raised when the heart has stood still for so long that others may have taken what was claimed before."""
        self.recorder = Recorder(self.using)
        self._is_registered = False
        self.desks: WeakSet[Keeper] = WeakSet()
        self._last = time.monotonic()
        self._held: dict[int, frozenset[int]] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_stopped, name="klaxon-heartbeat", daemon=True)

    def __enter__(self) -> "HeartbeatThread":
        if not self._is_registered:
            self.register()
        self._thread.start()
        self.recorder.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.recorder.stop()
        self._end.set()
        self._thread.join()

    def is_healthy(self) -> bool:
        """Whether others still know that we live. If not, they may be taking our deliveries: send nothing more.

        Monotonic, so it also notices that this process was stopped and continued.
        """
        return time.monotonic() - self._last < self._longest_silence

    @property
    def _longest_silence(self) -> float:
        return conf.current().lease_seconds / 2

    @contextmanager
    def holding(self, ids: Iterable[int]) -> Iterator[None]:
        """Renew the leases of these until the block ends.

        Only of these: what a thread has lost hold of, because the database went away before it could give it back, must
        run out, or it would be claimed for as long as this process lives.
        """
        thread = threading.get_ident()
        with self._lock:
            self._held[thread] = frozenset(ids)
        try:
            yield
        finally:
            with self._lock:
                del self._held[thread]

    def in_hand(self) -> frozenset[int]:
        """What the threads of this process work on, or have kept the outcomes of; nobody here may take that back.

        Without what a provider has had for longer than a lease: its thread may never come back.
        """
        kept = {pk for writer in list(self.desks) for pk in writer.unwritten_ids()}
        return frozenset({*self._held_now(), *kept} - self.recorder.get_unanswered_ids(conf.current().lease_seconds))

    def _held_now(self) -> list[int]:
        with self._lock:
            return sorted(pk for ids in self._held.values() for pk in ids)

    def _beat_until_stopped(self) -> None:
        with use_own_connections():
            while not self._end.wait(conf.current().beat_seconds):
                try:
                    self.beat()
                    OUTAGE_LOG.report_success()
                except Exception as error:  # noqa: BLE001 - it is logged
                    what = "The heartbeat failed; if it goes on failing, this worker stops sending."
                    OUTAGE_LOG.report_failure(logger, error, what)
                    connections.close_all()
            self._deregister()
        connections.close_all()

    def register(self) -> None:
        """Beat for the first time. It waits for locks as long as any statement does: without it no work can begin.

        :raises django.db.Error: if that cannot be written.
        """
        self._beat(nullcontext())
        self._is_registered = True

    def beat(self) -> None:
        """Say that this process lives, and renew its claims.

        :raises django.db.Error: if that cannot be written.
        """
        # No longer than until the next beat, or a stop would have to wait for it as well.
        self._beat(limit_lock_waits(self.using, conf.current().beat_seconds))

    def _beat(self, waiting: AbstractContextManager[None]) -> None:
        began = time.monotonic()
        with waiting:
            now = clock.now(self.using)
            Heartbeat.objects.using(self.using).beat(self.owner, self.host, self.pid, now)
            lease = now + timedelta(seconds=conf.current().lease_seconds)
            Delivery.objects.using(self.using).renew(self.owner, self._held_now(), lease)
        # First, so that whoever finds the heartbeat felt again also finds that it was not.
        self.lives += began - self._last >= self._longest_silence
        self._last = began

    def _deregister(self) -> None:
        try:
            with limit_lock_waits(self.using, SECONDS_TO_DEREGISTER):
                Heartbeat.objects.using(self.using).bury([self.owner])
        except Exception as error:  # noqa: BLE001 - it is logged
            OUTAGE_LOG.report_failure(logger, error, "This worker ended but could not say so; others will notice.")

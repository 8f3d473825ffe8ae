"""The heartbeat of a worker process. It has its own thread and database connection."""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Protocol
from weakref import WeakSet

from django.db import connections, router

from notifications import conf
from notifications.core import clock
from notifications.core.connections import use_own_connections
from notifications.delivering.slow_groups import SlowGroupRecorder
from notifications.delivering.workers.outage_log import OUTAGE_LOG
from notifications.delivering.workers.pulse import Pulse
from notifications.models import Delivery, Heartbeat
from notifications.models.delivery import make_owner_name
from notifications.storage.engine import get_engine

logger = logging.getLogger("notifications.worker")


SECONDS_TO_DEREGISTER = 2.0


class Writer(Protocol):
    def unwritten_ids(self) -> set[int]:
        """Return the ids of the deliveries whose outcomes are not yet in the database."""


class HeartbeatThread:
    """Writes the heartbeat until stopped, and renews the leases of deliveries that are claimed but not being sent.

    The lease of a delivery that is being sent is not renewed. It is longer than the channel's timeouts, so a provider
    that never answers costs one lease and not the worker.

    :param pulse: notes the rounds of the thread.
    """

    def __init__(self, pulse: Pulse | None = None) -> None:
        self.pulse = pulse or Pulse()
        self.host, self.pid = socket.gethostname(), os.getpid()
        self.owner = make_owner_name()
        self.using = router.db_for_write(Delivery)
        self.generation = 1
        """Increased after a pause in which other workers may have taken back earlier claims."""
        self.recorder = SlowGroupRecorder(self.using)
        self._is_registered = False
        self.writers: WeakSet[Writer] = WeakSet()
        self._last_beat = time.monotonic()
        self._renewed: dict[int, frozenset[int]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_stopped, name="klaxon-heartbeat", daemon=True)

    def __enter__(self) -> "HeartbeatThread":
        if not self._is_registered:
            self.register()
        self._thread.start()
        self.recorder.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.recorder.stop()
        self._stopped.set()
        self._thread.join()

    def is_healthy(self) -> bool:
        """Return whether the heartbeat is recent. If not, other workers may be taking the claims: send nothing more.

        The clock is monotonic, so this is also false after the process was suspended for too long.
        """
        return time.monotonic() - self._last_beat < self._max_pause

    @property
    def _max_pause(self) -> float:
        return conf.current().lease_seconds / 2

    @contextmanager
    def renewing(self, ids: Iterable[int]) -> Iterator[None]:
        """Renew the leases of these deliveries until the block ends.

        No other lease is renewed. If the database fails before a thread can give a claim back, its lease must expire,
        or the delivery would stay claimed until this process ends.
        """
        thread = threading.get_ident()
        with self._lock:
            self._renewed[thread] = frozenset(ids)
        try:
            yield
        finally:
            with self._lock:
                del self._renewed[thread]

    def stop_renewing(self, ids: Iterable[int]) -> None:
        """Renew the leases of these deliveries no more, because they are taken from the thread that has them."""
        taken = frozenset(ids)
        with self._lock:
            self._renewed = {thread: held - taken for thread, held in self._renewed.items()}

    def active_ids(self) -> frozenset[int]:
        """Return the deliveries that threads of this process work on or have unwritten outcomes of.

        This process must not rescue them. Deliveries that a provider has had for longer than a lease are not included,
        because their threads may never return.
        """
        unwritten = {pk for writer in list(self.writers) for pk in writer.unwritten_ids()}
        unanswered = self.recorder.get_unanswered_ids(conf.current().lease_seconds)
        return frozenset({*self._renewed_ids(), *unwritten} - unanswered)

    def _renewed_ids(self) -> list[int]:
        with self._lock:
            return sorted(pk for ids in self._renewed.values() for pk in ids)

    def _beat_until_stopped(self) -> None:
        self.pulse.start("heartbeat", conf.current().beat_seconds)
        with use_own_connections():
            while not self._stopped.wait(conf.current().beat_seconds):
                self.pulse.beat()
                try:
                    self.beat()
                    OUTAGE_LOG.report_success()
                except Exception as error:  # noqa: BLE001 - it is logged
                    message = "The heartbeat failed. If it continues to fail, this worker stops sending."
                    OUTAGE_LOG.report_failure(logger, error, message)
                    connections.close_all()
            self.pulse.end()
            self._deregister()
        connections.close_all()

    def register(self) -> None:
        """Write the first heartbeat. It waits for locks as long as any statement, because no work can start before it.

        :raises django.db.Error: if the heartbeat cannot be written.
        """
        self._beat(nullcontext())
        self._is_registered = True

    def beat(self) -> None:
        """Write the heartbeat and renew the leases.

        :raises django.db.Error: if they cannot be written.
        """
        # Waits for locks only until the next heartbeat, because a stop waits for this thread.
        self._beat(get_engine(self.using).limit_lock_waits(conf.current().beat_seconds))

    def _beat(self, lock_timeout: AbstractContextManager[None]) -> None:
        began = time.monotonic()
        with lock_timeout:
            now = clock.now(self.using)
            Heartbeat.objects.using(self.using).beat(self.owner, self.host, self.pid, now)
            lease = now + timedelta(seconds=conf.current().lease_seconds)
            Delivery.objects.using(self.using).renew_leases(self.owner, self._renewed_ids(), lease)
        # The generation is set first, so that a thread that finds the heartbeat healthy again also finds a new one.
        self.generation += began - self._last_beat >= self._max_pause
        self._last_beat = began

    def _deregister(self) -> None:
        try:
            with get_engine(self.using).limit_lock_waits(SECONDS_TO_DEREGISTER):
                Heartbeat.objects.using(self.using).remove([self.owner])
        except Exception as error:  # noqa: BLE001 - it is logged
            message = "This worker ended but could not delete its heartbeat. Other workers will notice that it ended."
            OUTAGE_LOG.report_failure(logger, error, message)

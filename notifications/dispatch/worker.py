"""The worker: threads that dispatch, and one that waits for commits."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from django.db import connections

from notifications import conf
from notifications.dispatch.dispatcher import Dispatcher, Tally
from notifications.dispatch.wake import Waker

logger = logging.getLogger("notifications.worker")


class Worker:
    """Runs until stopped, or until the outbox is empty.

    :param workers: threads; providers are waited for, so more than cores makes sense.
    :param on_progress: called with each tally, from the threads.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        batch_size: int | None = None,
        idle: float | None = None,
        error_pause: float | None = None,
        on_progress: Callable[[Tally], None] = lambda tally: None,
    ) -> None:
        configured = conf.current()
        self.workers = workers or configured.workers
        self.batch_size = batch_size or configured.batch_size
        self.idle = configured.idle_seconds if idle is None else idle
        self.error_pause = configured.error_pause_seconds if error_pause is None else error_pause
        self.on_progress = on_progress
        self._stop_asked = False
        self.errors = 0
        self._work = [threading.Event() for _ in range(self.workers)]
        self._lock = threading.Lock()
        self.tally: Tally = Counter()

    def stop(self) -> None:
        """Finish what is being sent, give back what is not, and return.

        May be called from a signal handler, so it takes no lock: the handler may have interrupted whoever holds it.
        """
        self._stop_asked = True

    def stopped(self) -> bool:
        return self._stop_asked

    def drain(self) -> Tally:
        """Work until nothing is ready. The calling thread is the first worker."""
        others = [threading.Thread(target=self._drain_once, daemon=True) for _ in range(self.workers - 1)]
        for thread in others:
            thread.start()
        self._drain(Dispatcher(self.batch_size, self.stopped))
        for thread in others:
            thread.join()
        return self.tally

    def watch(self) -> Tally:
        """Work until stopped, woken by commits."""
        threads = [threading.Thread(target=self._keep_draining, args=(work,)) for work in self._work]
        for thread in threads:
            thread.start()
        try:
            self._wake_until_stopped()
        finally:
            self.stop()
            for work in self._work:
                work.set()
            for thread in threads:
                thread.join()
        return self.tally

    def _drain(self, dispatcher: Dispatcher) -> None:
        try:
            while not self.stopped():
                claimed, news = dispatcher.run_batch(self.batch_size)
                if not claimed:
                    return
                with self._lock:
                    self.tally += news
                self.on_progress(news)
        finally:
            dispatcher.close()

    def _drain_once(self) -> None:
        try:
            self._drain(Dispatcher(self.batch_size, self.stopped))
        except Exception:
            self.errors += 1
            logger.exception("A worker thread failed.")
        finally:
            connections.close_all()

    def _keep_draining(self, work: threading.Event) -> None:
        dispatcher = Dispatcher(self.batch_size, self.stopped)
        while not self.stopped():
            try:
                self._drain(dispatcher)
            except Exception:
                # A database that is away, a bug in a host's code: neither may end the worker.
                logger.exception("A worker thread had an error and goes on in %s seconds.", self.error_pause)
                self._back_off()
            else:
                work.wait(self.idle)
                work.clear()
        connections.close_all()

    def _wake_until_stopped(self) -> None:
        waker = Waker()
        while not self.stopped():
            try:
                waker.wait(max(self.idle, 0.05), self.stopped)
            except Exception:
                logger.exception("Waiting for commits failed; tried again in %s seconds.", self.error_pause)
                self._back_off()
                waker.close()
                waker = Waker()
            for work in self._work:
                work.set()
        waker.close()

    def _back_off(self) -> None:
        self.errors += 1
        connections.close_all()
        until = time.monotonic() + self.error_pause
        while not self.stopped() and time.monotonic() < until:
            time.sleep(min(self.error_pause, 0.1))

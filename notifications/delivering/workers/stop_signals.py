"""Stopping a worker by SIGTERM or SIGINT.

Python runs a signal handler when the main thread is next between two of its own instructions. A main thread that
waits for SQLite's lock is not: it may be busy for as long as ``timeout`` of ``DATABASES`` says, and until then the
worker would go on. So a thread of its own is woken (``signal.set_wakeup_fd()``) and stops the worker.
"""

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

logger = logging.getLogger("notifications.worker")

SIGNALS = (signal.SIGTERM, signal.SIGINT)
SAME_STOP_WITHIN = 1.0
"""Signals so soon after the first are the same stop: systemd signals all processes, and the parent its children."""
NO_SIGNAL = b"\0"


class Stoppable(Protocol):
    forks: bool
    """Whether it starts processes: then it must have no other thread, and its main thread never waits for long."""

    def stop(self) -> None: ...

    def stop_now(self) -> None: ...


@contextmanager
def stopping_in_order(worker: Stoppable, numbers: Sequence[signal.Signals] = SIGNALS) -> Iterator[None]:
    """Stop the worker by SIGTERM or SIGINT: the first ends it in order, a later one at once.

    Python lets only the main thread set handlers; in another one this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handle = StopSignals(worker)
    if worker.forks:
        with _handlers(numbers, handle):
            yield
    else:
        with _woken_thread(numbers, handle), _handlers(numbers, _do_nothing):
            yield


class StopSignals:
    """Tells a second stop from the echo of the first."""

    def __init__(self, worker: Stoppable) -> None:
        self.worker = worker
        self.first_at: float | None = None

    def __call__(self, *signal_and_frame: Any) -> None:
        now = time.monotonic()
        if self.first_at is None:
            self.first_at = now
            self.worker.stop()
        elif now - self.first_at >= SAME_STOP_WITHIN:
            self.worker.stop_now()


def _do_nothing(*signal_and_frame: Any) -> None:
    """A handler there must be, or the signal would end the process."""


@contextmanager
def _handlers(numbers: Sequence[signal.Signals], handle: Callable[..., None]) -> Iterator[None]:
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _woken_thread(numbers: Sequence[signal.Signals], handle: Callable[..., None]) -> Iterator[None]:
    theirs, ours = socket.socketpair()
    with theirs, ours:
        # A full buffer means a thousand signals that have not been looked at; one more says nothing new.
        ours.setblocking(False)
        thread = threading.Thread(
            target=_listen, args=(theirs, set(numbers), handle), name="klaxon-signals", daemon=True
        )
        thread.start()
        before = signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            ours.setblocking(True)
            ours.sendall(NO_SIGNAL)
            thread.join()


def _listen(numbers_of: socket.socket, ours: set[signal.Signals], handle: Callable[..., None]) -> None:
    while True:
        for number in numbers_of.recv(4096):
            if number == NO_SIGNAL[0]:
                return
            if number in ours:
                handle()

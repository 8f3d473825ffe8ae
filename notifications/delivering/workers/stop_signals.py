"""Stopping a worker with SIGTERM or SIGINT.

The first signal stops the worker gracefully: it finishes and records the message or the group that it is sending, and
gives back the other deliveries. A second signal, at least :data:`SAME_STOP_SECONDS` later, stops it after the next
receipt of each provider, on any channel.

Python runs a signal handler only between two Python instructions of the main thread. A main thread that waits for a
lock of SQLite executes none, for up to ``timeout`` of ``DATABASES``, and the worker would continue until then.
Therefore the signal wakes a separate thread (``signal.set_wakeup_fd()``), which stops the worker.
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
SAME_STOP_SECONDS = 1.0
"""A signal within this time after the first is the same stop: both systemd and the parent send one to the children."""
STOP_READING = b"\0"


class Stoppable(Protocol):
    forks: bool
    """Whether it starts processes. Then it must have no other thread, and its main thread never waits for long."""

    def stop(self) -> None: ...

    def stop_now(self) -> None: ...


@contextmanager
def stop_on_signals(worker: Stoppable, numbers: Sequence[signal.Signals] = SIGNALS) -> Iterator[None]:
    """Stop the worker on SIGTERM or SIGINT: the first signal stops it gracefully, a later one immediately.

    Python lets only the main thread set handlers. In another thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handle = StopSignals(worker)
    if worker.forks:
        with _handlers(numbers, handle):
            yield
    else:
        with _signal_thread(numbers, handle), _handlers(numbers, _do_nothing):
            yield


class StopSignals:
    """The signal handler. It tells a second stop from a repeated signal of the first one."""

    def __init__(self, worker: Stoppable) -> None:
        self.worker = worker
        self.first_at: float | None = None

    def __call__(self, *signal_and_frame: Any) -> None:
        now = time.monotonic()
        if self.first_at is None:
            self.first_at = now
            self.worker.stop()
        elif now - self.first_at >= SAME_STOP_SECONDS:
            self.worker.stop_now()


def _do_nothing(*signal_and_frame: Any) -> None:
    """Prevent the signal from ending the process. The thread that the signal wakes stops the worker."""


@contextmanager
def _handlers(numbers: Sequence[signal.Signals], handle: Callable[..., None]) -> Iterator[None]:
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _signal_thread(numbers: Sequence[signal.Signals], handle: Callable[..., None]) -> Iterator[None]:
    reader, writer = socket.socketpair()
    with reader, writer:
        # A full buffer means a thousand unread signals. Another one adds nothing.
        writer.setblocking(False)
        thread = threading.Thread(
            target=_read_signals, args=(reader, set(numbers), handle), name="klaxon-signals", daemon=True
        )
        thread.start()
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            writer.setblocking(True)
            writer.sendall(STOP_READING)
            thread.join()


def _read_signals(reader: socket.socket, stop_signals: set[signal.Signals], handle: Callable[..., None]) -> None:
    while True:
        for number in reader.recv(4096):
            if number == STOP_READING[0]:
                return
            if number in stop_signals:
                handle()

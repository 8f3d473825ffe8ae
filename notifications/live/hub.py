"""The hub of a web process: its streams, and the thread that feeds all of them.

The thread starts with the first stream and ends some seconds after the last one, or when the process ends. It uses two
connections of its own, outside of the pools of the host, regardless of the number of streams; a stream has none.
"""

import atexit
import threading
import time
from collections.abc import Callable

from notifications.core.connections import use_own_connections
from notifications.core.databases import read_from_primary
from notifications.live.feeder import Feeder
from notifications.live.pool import close_connections
from notifications.live.registry import StreamRegistry
from notifications.live.sources import Source, open_source
from notifications.live.stream import END, Stream

LINGER_SECONDS = 10.0
STOP_SECONDS = 5.0
"""Seconds in which the thread of a hub must end after :meth:`Hub.stop`."""


class Hub(StreamRegistry):
    """The streams of this process and their thread.

    :param open_source: opens the source of announcements for a database.
    """

    def __init__(self, open_source: Callable[[str], Source] = open_source) -> None:
        super().__init__()
        self._open_source = open_source
        self._thread: threading.Thread | None = None
        # Each thread has its own, so a stream that is added after a stop starts another thread.
        self._should_stop = threading.Event()

    def add(self, stream: Stream) -> None:
        """Feed a stream from now on."""
        super().add(stream)
        with self._lock:
            if self._thread is None:
                self._should_stop = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=[self._should_stop], name="klaxon-live", daemon=True
                )
                self._thread.start()

    def end_session(self, session_hash: str) -> None:
        """End the streams of a session in this process."""
        self.offer_to([one for one in self.list_streams() if one.visitor.session_hash == session_hash], END)

    def stop(self) -> None:
        """Close all streams and the connections of the thread. Clients connect again, to a process that runs.

        A stream that is added later starts a new thread.
        """
        with self._lock:
            thread, self._thread = self._thread, None
            streams = [stream for streams in self._streams.values() for stream in streams]
            self._streams.clear()
            self._should_stop.set()
        for stream in streams:
            self.call(stream.loop, stream.cancel, [stream])
        if thread is not None:
            thread.join(STOP_SECONDS)

    def _run(self, should_stop: threading.Event) -> None:
        """Feed the streams until the hub stops, or until there have been none for some seconds."""
        feeder, idle_since = Feeder(self, self._open_source), None
        with use_own_connections(), read_from_primary():
            try:
                while not should_stop.is_set():
                    feeder.run_once()
                    idle_since = None if self._streams else idle_since or time.monotonic()
                    if idle_since is not None and time.monotonic() - idle_since > LINGER_SECONDS:
                        # Whoever finds no thread must not find its connections either.
                        feeder.close()
                        if self._end_if_idle(should_stop):
                            return
            finally:
                feeder.close()

    def _end_if_idle(self, should_stop: threading.Event) -> bool:
        """Forget the thread unless a stream was added; return whether the thread must end."""
        with self._lock:
            if not self._streams and not should_stop.is_set():
                self._thread = None
                return True
            return False


HUB = Hub()
"""The hub of this process."""


def stop() -> None:
    """Close all streams of this process, and the connections that they have used.

    This happens when Python exits. Call it earlier where a server has a hook for its shutdown.
    """
    HUB.stop()
    close_connections()


atexit.register(stop)

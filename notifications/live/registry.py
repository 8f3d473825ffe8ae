"""The streams of a process, and how messages reach their event loops."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial

from notifications.live.stream import Message, Stream

MAX_STREAMS_PER_USER = 20


class StreamRegistry:
    """The streams of a process. All threads can use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: dict[str, set[Stream]] = defaultdict(set)
        # Streams that may have missed live messages before they were added.
        self._new_streams: list[Stream] = []

    def add(self, stream: Stream) -> None:
        with self._lock:
            self._streams[stream.visitor.user_key].add(stream)
            self._new_streams.append(stream)

    def remove(self, stream: Stream) -> None:
        with self._lock:
            streams = self._streams.get(stream.visitor.user_key, set())
            streams.discard(stream)
            if not streams:
                self._streams.pop(stream.visitor.user_key, None)

    def has_room_for(self, user_key: str) -> bool:
        """Return whether a user may open another stream in this process."""
        return len(self._streams.get(user_key, ())) < MAX_STREAMS_PER_USER

    def list_streams(self) -> list[Stream]:
        with self._lock:
            return [stream for streams in self._streams.values() for stream in streams]

    def take_new_streams(self) -> list[Stream]:
        """Return the streams that were added since the last call."""
        with self._lock:
            taken, self._new_streams = self._new_streams, []
        return taken

    def offer_to(self, streams: Iterable[Stream], message: Message) -> None:
        """Offer one message to several streams."""
        self.offer([(stream, message) for stream in streams])

    def offer(self, offers: Iterable[tuple[Stream, Message]]) -> None:
        """Offer messages to streams, and wake them."""
        offered = []
        for stream, message in offers:
            stream.offer(message)
            offered.append(stream)
        self.wake(offered)

    def wake(self, streams: Iterable[Stream]) -> None:
        """Let the clients of these streams take what was offered. Wakes each event loop once."""
        by_loop: dict[asyncio.AbstractEventLoop, list[Stream]] = defaultdict(list)
        for stream in streams:
            by_loop[stream.loop].append(stream)
        for loop, woken in by_loop.items():
            self.call(loop, partial(_wake_all, woken), woken)

    def call(self, loop: asyncio.AbstractEventLoop, function: Callable[[], None], streams: Iterable[Stream]) -> None:
        """Call a function in the event loop of these streams. If the loop has ended, remove them."""
        try:
            loop.call_soon_threadsafe(function)
        except RuntimeError:
            for stream in streams:
                self.remove(stream)


def _wake_all(streams: Iterable[Stream]) -> None:
    for stream in streams:
        stream.wake()

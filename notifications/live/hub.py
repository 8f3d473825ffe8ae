"""The hub: the streams of a process, and the thread that feeds all of them.

The thread receives announcements, reads in a constant number of queries what has changed for its streams, and offers it
to them. It starts with the first stream and ends some seconds after the last one, or when the process ends. It uses two
connections of its own, outside of the pools of the host, regardless of the number of streams; a stream has none.

Nothing depends on an announcement: every few seconds the thread compares the revisions of its users with those that
the streams have seen, and every half minute it checks their sessions.
"""

import asyncio
import atexit
import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from django.db import connections, router

from notifications.core import clock
from notifications.core.connections import use_own_connections
from notifications.core.databases import read_from_primary
from notifications.inbox.feed import load_revisions
from notifications.live.announce import Announcement, Kind
from notifications.live.pool import close_connections
from notifications.live.reading import Position, load_changes
from notifications.live.sessions import find_ended
from notifications.live.sources import Source, open_source
from notifications.live.stream import END, RESYNC, Message, MessageKind, Stream
from notifications.models import InboxItem, LiveMessage

logger = logging.getLogger("notifications.live")

WAIT_SECONDS = 0.5
REVISIONS_EVERY = 5.0
SESSIONS_EVERY = 30.0
SESSIONS_AT_MOST_EVERY = 1.0
"""Seconds between two checks of all sessions where no announcement says which account has changed."""
LINGER_SECONDS = 10.0
STOP_SECONDS = 5.0
"""Seconds in which the thread of a hub must end after :meth:`Hub.stop`."""
ERROR_PAUSE = 1.0
STALL_SECONDS = 60.0
"""Seconds in which a client must read a message. A client that does not is asked to load the inbox again."""
STALL_END_SECONDS = 75.0
MAX_STREAMS_PER_USER = 20
FAILED = object()


class Hub:
    """The streams of this process.

    :param open_source: opens the source of announcements for a database.
    """

    def __init__(self, open_source: Callable[[str], Source] = open_source) -> None:
        self._open_source = open_source
        self._lock = threading.Lock()
        self._streams: dict[str, set[Stream]] = defaultdict(set)
        # Streams that may have missed live messages before they were added.
        self._new_streams: list[Stream] = []
        self._thread: threading.Thread | None = None
        # Each thread has its own, so a stream that is added after a stop starts another thread.
        self._should_stop = threading.Event()

    def has_room_for(self, user_key: str) -> bool:
        """Return whether a user may open another stream in this process."""
        return len(self._streams.get(user_key, ())) < MAX_STREAMS_PER_USER

    def add(self, stream: Stream) -> None:
        """Feed a stream from now on."""
        with self._lock:
            self._streams[stream.visitor.user_key].add(stream)
            self._new_streams.append(stream)
            if self._thread is None:
                self._should_stop = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=[self._should_stop], name="klaxon-live", daemon=True
                )
                self._thread.start()

    def remove(self, stream: Stream) -> None:
        with self._lock:
            streams = self._streams.get(stream.visitor.user_key, set())
            streams.discard(stream)
            if not streams:
                self._streams.pop(stream.visitor.user_key, None)

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


class Feeder:
    """One round after another: wait for announcements, then serve the streams. Belongs to the thread of a hub."""

    def __init__(self, hub: Hub, open_source: Callable[[str], Source]) -> None:
        self._hub = hub
        self._open_source = open_source
        self._using = router.db_for_write(InboxItem)
        self._source: Source | None = None
        self._revisions_at = 0.0
        self._sessions_at, self._sessions_every = time.monotonic(), SESSIONS_EVERY
        self._stalled: set[Stream] = set()
        self._is_failing = False

    def run_once(self) -> None:
        """Wait for announcements and serve them. After an error, the next round begins with new connections.

        While no announcements can be received, the streams are still served from time to time.
        """
        is_well, announcements = True, self._attempt(self._receive)
        if announcements is FAILED:
            is_well, announcements = False, ()
        is_well = self._attempt(partial(self._serve_all, announcements)) is not FAILED and is_well
        if is_well:
            self._is_failing = False
        else:
            self._is_failing = True
            self.close()
            time.sleep(ERROR_PAUSE)
        self._end_stalled()

    def _attempt(self, step: Callable[[], Any]) -> Any:
        """Return the result of a step, or FAILED after an error, which is logged once for a series of them."""
        try:
            return step()
        except Exception:
            level = logging.DEBUG if self._is_failing else logging.ERROR
            logger.log(level, "Live streams are late. They are tried again every second.", exc_info=True)
            return FAILED

    def _receive(self) -> Sequence[Announcement] | None:
        if self._source is None:
            self._source = self._open_source(self._using)
            self._revisions_at = 0.0
        return self._source.receive(WAIT_SECONDS)

    def _serve_all(self, announcements: Sequence[Announcement] | None) -> None:
        self._serve(announcements)
        self._check_by_time()

    def close(self) -> None:
        """Close the source and the connections of this thread."""
        source, self._source = self._source, None
        try:
            if source is not None:
                source.close()
        except Exception:  # noqa: BLE001 - it is broken, which is why it is closed
            logger.debug("A source of announcements could not be closed.", exc_info=True)
        connections.close_all()

    def _serve(self, announcements: Sequence[Announcement] | None) -> None:
        if announcements is None:
            self._sessions_every = SESSIONS_AT_MOST_EVERY
            streams = self._hub.list_streams()
            self._serve_changed(streams)
            self._serve_messages(streams)
            return
        keys: dict[Kind, set[str]] = defaultdict(set)
        for kind, some in announcements:
            keys[kind].update(some)
        if not keys:
            return
        streams = self._hub.list_streams()
        if ended := keys[Kind.SESSION]:
            self._hub.offer_to([stream for stream in streams if stream.visitor.session_hash in ended], END)
        if changed := keys[Kind.ACCOUNT] | keys[Kind.ROLES]:
            invalid = self._end_invalid([one for one in streams if one.visitor.user_key in changed])
            others = [one for one in streams if one.visitor.user_key in keys[Kind.ROLES] and one not in invalid]
            self._hub.offer_to(others, RESYNC)
        self._serve_changed([stream for stream in streams if stream.visitor.user_key in keys[Kind.INBOX]])
        self._serve_messages([stream for stream in streams if stream.visitor.user_key in keys[Kind.MESSAGE]])

    def _check_by_time(self) -> None:
        self._serve_messages(self._hub.take_new_streams())
        now = time.monotonic()
        if now - self._revisions_at >= REVISIONS_EVERY:
            streams = self._hub.list_streams()
            self._serve_changed(streams)
            self._serve_messages(streams)
            self._revisions_at = now
        if now - self._sessions_at >= self._sessions_every:
            self._sessions_at, self._sessions_every = now, SESSIONS_EVERY
            self._end_invalid(self._hub.list_streams())

    def _serve_changed(self, streams: Sequence[Stream]) -> None:
        """Offer to these streams what has changed after their cursors."""
        if not streams:
            return
        revisions = load_revisions({stream.visitor.user_id for stream in streams}, self._using)
        waiting = [stream for stream in streams if stream.can_take(revisions.get(stream.visitor.user_id, 0))]
        positions: dict[Position, list[Stream]] = defaultdict(list)
        for stream in waiting:
            positions[stream.visitor.user_id, stream.cursor].append(stream)
        if not positions:
            return
        offers: list[tuple[Stream, Message]] = []
        for position, changes in load_changes(positions.keys(), revisions).items():
            messages: dict[Any, Message] = {}
            for stream in positions[position]:
                visitor = stream.visitor
                look = visitor.language, visitor.script_prefix
                if look not in messages:
                    messages[look] = changes.write_message(visitor)
                offers.append((stream, messages[look]))
        self._hub.offer(offers)

    def _serve_messages(self, streams: Sequence[Stream]) -> None:
        """Offer to these streams the live messages that they have not had."""
        if not streams:
            return
        user_ids = {stream.visitor.user_id for stream in streams}
        rows = LiveMessage.objects.using(self._using).load_current(user_ids, clock.cached_now(self._using))
        by_user: dict[Any, list[tuple[int, Message]]] = defaultdict(list)
        for row in rows:
            text = json.dumps({"id": row.pk, **row.content})
            by_user[row.user_id].append((row.pk, Message(MessageKind.MESSAGE, text=text)))
        woken = set()
        for stream in streams:
            for pk, message in by_user.get(stream.visitor.user_id, ()):
                if stream.offer_live(pk, message):
                    woken.add(stream)
        self._hub.wake(woken)

    def _end_invalid(self, streams: Sequence[Stream]) -> set[Stream]:
        """End the streams whose session has ended, and return them."""
        ended = find_ended({stream.visitor for stream in streams}) if streams else set()
        found = {stream for stream in streams if stream.visitor in ended}
        self._hub.offer_to(found, END)
        return found

    def _end_stalled(self) -> None:
        """Tell clients that do not read to load the inbox again; close those that still do not."""
        now = time.monotonic()
        stalled = set()
        for stream in self._hub.list_streams():
            seconds = stream.get_stalled_seconds(now)
            if seconds >= STALL_END_SECONDS:
                self._hub.call(stream.loop, stream.cancel, [stream])
            elif seconds >= STALL_SECONDS:
                stalled.add(stream)
        self._hub.offer_to(stalled - self._stalled, RESYNC)
        self._stalled = stalled


def _wake_all(streams: Iterable[Stream]) -> None:
    for stream in streams:
        stream.wake()


HUB = Hub()
"""The hub of this process."""


def stop() -> None:
    """Close all streams of this process, and the connections that they have used.

    This happens when Python exits. Call it earlier where a server has a hook for its shutdown.
    """
    HUB.stop()
    close_connections()


atexit.register(stop)

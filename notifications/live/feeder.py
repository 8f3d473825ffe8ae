"""The work of the thread of a hub.

It receives announcements, reads in a constant number of queries what has changed for the streams, and offers it to
them. Nothing depends on an announcement: every few seconds it compares the revisions of the users with those that the
streams have seen, and every half minute it checks their sessions and the clusters of their users.
"""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.db import connections, router

from notifications.core import clock
from notifications.inbox.feed import load_revisions
from notifications.inbox.membership import load_visible_clusters
from notifications.live.announce import Announcement, Kind
from notifications.live.presence import PresenceRecorder
from notifications.live.reading import Position, load_changes
from notifications.live.registry import StreamRegistry
from notifications.live.sessions import find_ended
from notifications.live.sources import Source
from notifications.live.stream import END, RESYNC, Message, MessageKind, Stream
from notifications.models import InboxItem, LiveMessage

logger = logging.getLogger("notifications.live")

WAIT_SECONDS = 0.5
REVISIONS_EVERY = 5.0
SESSIONS_EVERY = 30.0
SESSIONS_AT_MOST_EVERY = 1.0
"""Seconds between two checks of all sessions where no announcement says which account has changed."""
ERROR_PAUSE = 1.0
STALL_SECONDS = 60.0
"""Seconds in which a client must read a message. A client that does not is asked to load the inbox again."""
STALL_END_SECONDS = 75.0
FAILED = object()


class Feeder:
    """One round after another: wait for announcements, then serve the streams. It belongs to the thread of a hub."""

    def __init__(self, hub: StreamRegistry, open_source: Callable[[str], Source]) -> None:
        self._hub = hub
        self._open_source = open_source
        self._using = router.db_for_write(InboxItem)
        self._source: Source | None = None
        self._revisions_at = 0.0
        self._sessions_at, self._sessions_every = time.monotonic(), SESSIONS_EVERY
        self._presence = PresenceRecorder(self._using)
        self._stalled: set[Stream] = set()
        # The clusters of each user whose items they saw at the last check.
        self._visible: dict[Any, set[Any]] = {}
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
            self._resync(others)
        self._serve_changed([stream for stream in streams if stream.visitor.user_key in keys[Kind.INBOX]])
        self._serve_messages([stream for stream in streams if stream.visitor.user_key in keys[Kind.MESSAGE]])

    def _check_by_time(self) -> None:
        self._presence.record({stream.visitor.user_id for stream in self._hub.list_streams()})
        self._begin(self._hub.take_new_streams())
        now = time.monotonic()
        if now - self._revisions_at >= REVISIONS_EVERY:
            streams = self._hub.list_streams()
            self._serve_changed(streams)
            self._serve_messages(streams)
            self._revisions_at = now
        if now - self._sessions_at >= self._sessions_every:
            self._sessions_at, self._sessions_every = now, SESSIONS_EVERY
            streams = self._hub.list_streams()
            ended = self._end_invalid(streams)
            self._resync_former_members([stream for stream in streams if stream not in ended])

    def _begin(self, streams: Sequence[Stream]) -> None:
        """Serve new streams what they have missed, and note the clusters of their users."""
        self._serve_messages(streams)
        new = {stream.visitor.user_id for stream in streams} - self._visible.keys()
        if new:
            self._visible |= load_visible_clusters(new, self._using)

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

    def _resync_former_members(self, streams: Sequence[Stream]) -> None:
        """Let clients begin again whose user has left a cluster, for hosts and databases that do not announce it."""
        before = self._visible
        self._visible = load_visible_clusters({stream.visitor.user_id for stream in streams}, self._using)
        former = {key for key, clusters in self._visible.items() if before.get(key, set()) - clusters}
        self._resync([stream for stream in streams if stream.visitor.user_id in former])

    def _resync(self, streams: Sequence[Stream]) -> None:
        """Let clients load the inbox again. Their next streams begin with the clusters of that time."""
        for stream in streams:
            self._visible.pop(stream.visitor.user_id, None)
        self._hub.offer_to(streams, RESYNC)

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

"""One stream: the place where the hub puts what a client has not seen yet, and where the client takes it.

A stream holds at most one message. If a client reads slowly, the hub only notes that the stream is behind, and the
stream itself reads what is missing, by its cursor, when the client takes the next message. So the memory of a stream
does not grow, and a client gets every item once, in the order of the revisions.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.db import Error

from notifications.inbox.feed import Cursor
from notifications.live.sessions import Visitor

logger = logging.getLogger("notifications.live")

START = Cursor(0)
MAX_LIVE_MESSAGES = 10
MAX_LIVE_IDS = 1000
"""The numbers of live messages that a stream holds, and remembers."""
OUTAGE_PAUSE = 1.0
"""Seconds that a stream waits before it reads again after the database could not be used."""


class MessageKind(Enum):
    """INBOX: items and counts. MESSAGE: a live message. RESYNC: the client must load the inbox again. END: the session
    has ended.
    """

    INBOX = "inbox"
    MESSAGE = "message"
    RESYNC = "resync"
    END = "end"


@dataclass(frozen=True)
class Message:
    """What a client gets.

    :param since: the cursor of the client before.
    :param cursor: the cursor of the client afterwards.
    :param text: the content as JSON.
    :param has_more: whether there are later items, for which there was no room.
    """

    kind: MessageKind
    since: Cursor = START
    cursor: Cursor = START
    text: str = "{}"
    has_more: bool = False

    @property
    def is_last(self) -> bool:
        """Whether the stream closes after this message."""
        return self.kind in (MessageKind.RESYNC, MessageKind.END)

    @property
    def has_cursor(self) -> bool:
        """Whether the client continues after this message."""
        return self.kind is MessageKind.INBOX


END, RESYNC = Message(MessageKind.END), Message(MessageKind.RESYNC)
Read = Callable[[Visitor, Cursor], Awaitable[Message]]


class Stream:
    """The stream of one client. The hub's thread offers messages; the event loop of the client takes them.

    :param cursor: the cursor up to which the client has read.
    :param read: reads what has changed after a cursor.
    :param task: the task to end if the client does not read; by default, the present one.
    """

    def __init__(self, visitor: Visitor, cursor: Cursor, read: Read, task: asyncio.Task[None] | None = None) -> None:
        self.visitor = visitor
        self.loop = asyncio.get_running_loop()
        self._task: Any = task or asyncio.current_task()
        self._read = read
        self._wake = asyncio.Event()
        self._taken_at: float | None = None
        # The lock guards these three.
        self._lock = threading.Lock()
        self._cursor = cursor
        self._message: Message | None = None
        # The newest live messages, and the ids of those that the stream has had.
        self._live: deque[Message] = deque(maxlen=MAX_LIVE_MESSAGES)
        self._had: deque[int] = deque(maxlen=MAX_LIVE_IDS)
        # The client may have missed something before it connected.
        self._is_behind = True

    @property
    def cursor(self) -> Cursor:
        return self._cursor

    def offer(self, message: Message) -> None:
        """Put a message into the stream; :meth:`wake` must follow.

        If there is no room, or the message does not continue what the client has seen, the stream is behind.
        """
        with self._lock:
            if message.is_last:
                self._message = message
            elif self._message is not None or not self._continue_with(message):
                self._is_behind = True
            else:
                self._message = message

    def offer_live(self, pk: int, message: Message) -> bool:
        """Put a live message into the stream unless it was there before; return whether :meth:`wake` must follow.

        A client that reads slowly misses the oldest ones.
        """
        with self._lock:
            if pk in self._had:
                return False
            self._had.append(pk)
            self._live.append(message)
            return True

    def can_take(self, revision: int) -> bool:
        """Return whether the stream has room for a message that ends with this revision, and needs one.

        If it needs one and has no room, it is behind.
        """
        with self._lock:
            if self._cursor.revision >= revision or self._is_behind:
                return False
            self._is_behind = self._message is not None
            return not self._is_behind

    def wake(self) -> None:
        """Let the client take what was offered. Call it in the event loop of the client."""
        self._wake.set()

    def get_stalled_seconds(self, now: float) -> float:
        """Return the seconds that the client has needed so far for the last message; 0 if it waits for the next."""
        taken_at = self._taken_at
        return 0.0 if taken_at is None else now - taken_at

    def cancel(self) -> None:
        """End the connection of the client. Call it in the event loop of the client."""
        self._task.cancel()

    async def take(self, seconds: float) -> Message | None:
        """Return the next message, or None if there is none in this time."""
        self._taken_at = None
        message = await self._find()
        # A stream that could not read because of an outage tries again at once.
        if message is None and not self._is_behind:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)
                message = await self._find()
        self._taken_at = time.monotonic()
        return message

    async def _find(self) -> Message | None:
        """Return the message in the stream, or what it has to read because it is behind."""
        self._wake.clear()
        if (message := self._pop()) is not None:
            return message
        while self._is_behind:
            self._is_behind, since = False, self._cursor
            try:
                message = await self._read(self.visitor, since)
            except Error as error:
                logger.warning("A live stream waits, because the database cannot be used: %s", error)
                self._is_behind = True
                await asyncio.sleep(OUTAGE_PAUSE)
                return None
            if message.is_last:
                return message
            # The hub may have offered the same items in the meantime.
            with self._lock:
                is_next = self._message is None and self._continue_with(message)
            if is_next and message.cursor != since:
                return message
            if (message := self._pop()) is not None:
                return message
        return None

    def _pop(self) -> Message | None:
        with self._lock:
            message, self._message = self._message, None
            return message if message is not None or not self._live else self._live.popleft()

    def _continue_with(self, message: Message) -> bool:
        """Move the cursor if the message continues what the client has seen. The caller holds the lock."""
        if message.since != self._cursor:
            return False
        self._cursor = message.cursor
        self._is_behind = self._is_behind or message.has_more
        return True

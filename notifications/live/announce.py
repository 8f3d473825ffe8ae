"""Announcements to all web processes: whose inbox or account has changed, and which session has ended.

- PostgreSQL carries them by NOTIFY. It sends a notification when the transaction commits, and none after a rollback.
- With ``LIVE_REDIS``, Redis publishes them after the commit.
- SQLite has nothing to carry them. There, a web process notices each commit of another connection.

An announcement contains only keys. A process that misses one reads the revisions of its users a few seconds later, so
a lost announcement costs time and never an item.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from functools import cache, partial
from typing import Any

from django.conf import settings
from django.db import transaction

from notifications import conf
from notifications.core.extras import import_optional
from notifications.storage.engine import get_engine

logger = logging.getLogger("notifications.live")

CHANNEL = "klaxon_inbox"
MAX_PAYLOAD_BYTES = 7900
"""PostgreSQL refuses payloads of 8,000 bytes and more."""
REDIS_TIMEOUT = 2.0
REDIS_PAUSE = 5.0
"""Seconds in which a process publishes nothing after Redis could not be reached."""


class Kind(Enum):
    """What an announcement is about.

    INBOX: users whose inbox has changed. MESSAGE: users who have a new live message. ACCOUNT: users whose account has
    changed, so that their sessions may be invalid. ROLES: users who may see other items than before. SESSION: sessions
    that have ended, by their hash.
    """

    INBOX = "inbox"
    MESSAGE = "message"
    ACCOUNT = "account"
    ROLES = "roles"
    SESSION = "session"


Announcement = tuple[Kind, Sequence[str]]


def announce(user_ids: Iterable[Any], using: str) -> None:
    """Announce, when the transaction commits, that the inboxes of these users have changed.

    :param user_ids: primary keys of users.
    """
    publish(Kind.INBOX, map(str, user_ids), using)


def receive_change(*, user_ids: Iterable[Any], using: str, **kwargs: Any) -> None:
    """Receive ``inbox_changed``."""
    announce(user_ids, using)


def receive_message(*, user_ids: Iterable[Any], using: str, **kwargs: Any) -> None:
    """Receive ``live_messages_added``."""
    publish(Kind.MESSAGE, map(str, user_ids), using)


def publish(kind: Kind, keys: Iterable[str], using: str) -> None:
    """Announce a kind of change for these keys when the transaction commits."""
    payloads = list(write_payloads(kind, keys))
    if not payloads:
        return
    url, engine = conf.current().live_redis, get_engine(using)
    if url:
        transaction.on_commit(partial(_get_publisher(url).publish, payloads), using=using)
    elif engine.has_server:
        with engine.connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS payload", [CHANNEL, payloads])


def write_payloads(kind: Kind, keys: Iterable[str]) -> Iterator[str]:
    """Yield announcements as JSON arrays that fit into a notification of PostgreSQL."""
    part: list[str] = []
    size = head = len(json.dumps([kind.value]))
    for key in dict.fromkeys(keys):
        length = len(json.dumps(key)) + 1
        if part and size + length > MAX_PAYLOAD_BYTES:
            yield _write_payload(kind, part)
            part, size = [], head
        part.append(key)
        size += length
    if part:
        yield _write_payload(kind, part)


def _write_payload(kind: Kind, keys: Sequence[str]) -> str:
    return json.dumps([kind.value, *keys], separators=(",", ":"))


def read_payload(payload: str) -> Announcement:
    """Return what :func:`write_payloads` has written.

    :raises ValueError: if it is not an announcement of this version.
    """
    parts = json.loads(payload)
    if not isinstance(parts, list) or not parts:
        raise ValueError(f"{payload!r:.80} is not an announcement.")
    kind, *keys = parts
    return Kind(kind), keys


def hash_session(session_key: str) -> str:
    """Return the hash by which announcements name a session, so that nobody who reads one can use the session."""
    return hashlib.sha256(f"klaxon.session:{session_key}".encode()).hexdigest()[:32]


def get_redis_channel() -> str:
    """Return the channel of this site: all databases and sites of a Redis server share the names of channels."""
    return f"{CHANNEL}:{hashlib.sha256(f'klaxon.redis:{settings.SECRET_KEY}'.encode()).hexdigest()[:16]}"


class RedisPublisher:
    """Publishes through Redis. While Redis cannot be reached, it skips announcements, so that no request waits."""

    def __init__(self, url: str) -> None:
        self._redis = import_optional("redis")
        # One client for all threads: it has a pool of connections.
        self._client = self._redis.Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
        )
        self._resume_at = 0.0

    def publish(self, payloads: Sequence[str]) -> None:
        if time.monotonic() < self._resume_at:
            return
        try:
            pipeline, channel = self._client.pipeline(transaction=False), get_redis_channel()
            for payload in payloads:
                pipeline.publish(channel, payload)
            pipeline.execute()
        except self._redis.RedisError as error:
            self._resume_at = time.monotonic() + REDIS_PAUSE
            logger.warning(
                "Redis cannot be reached, so live streams are up to some seconds late. It is tried again in %g"
                " seconds: %s",
                REDIS_PAUSE,
                error,
            )


@cache
def _get_publisher(url: str) -> RedisPublisher:
    return RedisPublisher(url)

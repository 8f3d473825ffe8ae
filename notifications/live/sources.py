"""The sources from which a web process receives announcements: PostgreSQL, Redis, or polling for commits."""

import logging
import time
from collections.abc import Sequence
from typing import Any, Protocol

from django.db import connections

from notifications import conf
from notifications.core.extras import import_optional
from notifications.delivering.workers.wake_up import Poller, PostgresListener, PostgresPoller, SQLitePoller
from notifications.live.announce import CHANNEL, Announcement, get_redis_channel, read_payload
from notifications.storage.engine import get_engine

logger = logging.getLogger("notifications.live")

MAX_MESSAGES = 1000
"""The number of messages of Redis that one call of ``receive()`` returns at most."""


class Source(Protocol):
    def receive(self, seconds: float) -> Sequence[Announcement] | None:
        """Wait at most this long, and return the announcements that have arrived.

        None means that any inbox, account or session may have changed.
        """

    def close(self) -> None: ...


def open_source(using: str) -> Source:
    """Return a new source on connections of its own, outside of the pools of the host."""
    url = conf.current().live_redis
    if url:
        return RedisSource(url)
    if not get_engine(using).has_server:
        return CommitSource(SQLitePoller(using))
    # psycopg2 has no way to wait for a notification.
    driver: Any = connections[using]
    if driver.Database.__name__ == "psycopg":
        return PostgresSource(using)
    return CommitSource(PostgresPoller(using))


class CommitSource:
    """Notices commits of other connections, and not of whom they are."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller

    def receive(self, seconds: float) -> Sequence[Announcement] | None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._poller.wait(left):
                return None
        return []

    def close(self) -> None:
        self._poller.close()


class PostgresSource:
    """Listens. Behind a pooler that drops notifications, it polls."""

    def __init__(self, using: str) -> None:
        self._listener = PostgresListener(using, CHANNEL)

    def receive(self, seconds: float) -> Sequence[Announcement] | None:
        payloads = self._listener.receive(seconds)
        return None if payloads is None else read_payloads(payloads)

    def close(self) -> None:
        self._listener.close()


class RedisSource:
    """Subscribes to the channel of the site. The client subscribes again after a lost connection."""

    def __init__(self, url: str) -> None:
        client = import_optional("redis").Redis.from_url(url, health_check_interval=15)
        self._subscription = client.pubsub()
        self._subscription.subscribe(get_redis_channel())

    def receive(self, seconds: float) -> Sequence[Announcement] | None:
        payloads, is_gapless = [], True
        message = self._subscription.get_message(timeout=seconds)
        while message is not None:
            if message["type"] == "message":
                payloads.append(message["data"].decode())
            elif message["type"] == "subscribe":
                # What was published before the subscription, or while the connection was lost, is not known.
                is_gapless = False
            message = self._subscription.get_message(timeout=0) if len(payloads) < MAX_MESSAGES else None
        return read_payloads(payloads) if is_gapless else None

    def close(self) -> None:
        self._subscription.close()


def read_payloads(payloads: Sequence[str]) -> Sequence[Announcement] | None:
    """Return the announcements, or None if one of them is of another version of Klaxon."""
    try:
        return list(map(read_payload, payloads))
    except ValueError as error:
        logger.warning("An announcement cannot be read, so all streams are checked: %s", error)
        return None

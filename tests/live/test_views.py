"""The server-sent events that the view writes, in this process."""

import asyncio

import pytest

from notifications.inbox.feed import Cursor
from notifications.live import views
from notifications.live.sessions import Visitor
from notifications.live.views import write_events
from tests.factories import UserFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_database]


def test_a_quiet_stream_has_heartbeats(monkeypatch):
    monkeypatch.setattr(views, "HEARTBEAT_SECONDS", 0.05)
    visitor = Visitor(UserFactory().pk, "", "en")

    async def read(count):
        events = write_events(visitor, Cursor(0))
        async with asyncio.timeout(10):
            found = [await anext(events) for _ in range(count)]
        await events.aclose()
        return found

    start, *beats = asyncio.run(read(3))
    assert start.startswith(b"retry: ")
    assert beats == [b"event: beat\ndata: {}\n\n"] * 2

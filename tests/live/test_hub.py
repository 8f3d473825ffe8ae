"""The hub: who is served, who is ended, and what happens to clients that do not read. Its source is a list here."""

import asyncio
import json
import threading
import time
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.utils import timezone

from notifications.inbox.feed import Cursor
from notifications.live import feeder as feeder_module
from notifications.live import hub as hub_module
from notifications.live.announce import Kind
from notifications.live.hub import Hub
from notifications.live.reading import read_message
from notifications.live.sessions import Visitor
from notifications.live.stream import MessageKind, Stream
from notifications.models import LiveMessage
from tests.factories import ClusterFactory, UserFactory
from tests.live.site import put, sign_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_database]


class Source:
    """Announces what a test puts into it."""

    def __init__(self):
        self.waiting = []
        self.is_closed = False
        self.error = None

    def receive(self, seconds):
        time.sleep(0.01)
        if self.error:
            error, self.error = self.error, None
            raise error
        found, self.waiting = self.waiting, []
        return None if None in found else found

    def close(self):
        self.is_closed = True


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(hub_module, "LINGER_SECONDS", 0)
    monkeypatch.setattr(feeder_module, "ERROR_PAUSE", 0.01)


@pytest.fixture
def source():
    return Source()


@asynccontextmanager
async def streaming(source, user, cursor=0, **values):
    hub = Hub(lambda using: source)
    visitor = Visitor(user.pk, values.get("session", ""), "en")
    stream = Stream(visitor, Cursor(cursor), read_message)
    hub.add(stream)
    try:
        yield hub, stream
    finally:
        hub.remove(stream)
        hub.stop()


def play(story):
    async def run():
        try:
            await story()
        finally:
            # The thread in which the test has written.
            await sync_to_async(connections.close_all)()

    asyncio.run(run())


def titles(message):
    return [item["title"] for item in json.loads(message.text)["items"]]


def test_an_announced_user_is_served(source):
    user = UserFactory()

    async def story():
        async with streaming(source, user) as (_hub, stream):
            assert await stream.take(0.1) is None
            await sync_to_async(put)(user, "Shipped")
            source.waiting.append((Kind.INBOX, [str(user.pk)]))
            assert titles(await stream.take(5)) == ["Shipped"]

    play(story)


def test_without_an_announcement_the_revisions_are_compared(source, monkeypatch):
    monkeypatch.setattr(feeder_module, "REVISIONS_EVERY", 0.05)
    user = UserFactory()

    async def story():
        async with streaming(source, user) as (_hub, stream):
            await stream.take(0.1)
            await sync_to_async(put)(user, "Shipped")
            assert titles(await stream.take(5)) == ["Shipped"]

    play(story)


def test_after_an_error_the_source_is_opened_again_and_all_streams_are_served(source, caplog):
    user = UserFactory()

    async def story():
        async with streaming(source, user) as (_hub, stream):
            await stream.take(0.1)
            await sync_to_async(put)(user, "Shipped")
            source.error = OSError("lost")
            assert titles(await stream.take(5)) == ["Shipped"]

    play(story)
    assert source.is_closed
    assert [record.levelname for record in caplog.records if record.name == "notifications.live"] == ["ERROR"]


def test_a_session_that_is_announced_ends(source):
    user = UserFactory()
    cookie = sign_in(user)

    async def story():
        async with streaming(source, user, session=cookie) as (_hub, stream):
            await stream.take(0.1)
            source.waiting.append((Kind.SESSION, [stream.visitor.session_hash]))
            assert (await stream.take(5)).kind is MessageKind.END

    play(story)


def test_a_session_that_nobody_announces_ends_too(source, monkeypatch):
    monkeypatch.setattr(feeder_module, "SESSIONS_EVERY", 0.05)
    user = UserFactory()

    async def story():
        async with streaming(source, user, session="made up") as (_hub, stream):
            found = [await stream.take(5)]
            assert found[-1].kind is MessageKind.END

    play(story)


def test_a_change_of_roles_lets_the_client_begin_again(source):
    user = UserFactory()

    async def story():
        async with streaming(source, user) as (_hub, stream):
            await stream.take(0.1)
            source.waiting.append((Kind.ROLES, [str(user.pk)]))
            assert (await stream.take(5)).kind is MessageKind.RESYNC

    play(story)


def test_a_client_whose_user_has_left_a_cluster_begins_again_without_an_announcement(source, monkeypatch):
    monkeypatch.setattr(feeder_module, "SESSIONS_EVERY", 0.05)
    user, harbour = UserFactory(), ClusterFactory()
    harbour.members.add(user)
    put(user, "Secret", cluster=harbour)

    async def story():
        async with streaming(source, user) as (_hub, stream):
            assert titles(await stream.take(5)) == ["Secret"]
            assert await stream.take(0.3) is None
            await sync_to_async(harbour.members.clear)()
            assert (await stream.take(5)).kind is MessageKind.RESYNC

    play(story)


def test_a_client_that_does_not_read_is_told_and_then_closed(source, monkeypatch):
    monkeypatch.setattr(feeder_module, "STALL_SECONDS", 0.1)
    monkeypatch.setattr(feeder_module, "STALL_END_SECONDS", 0.4)
    user = UserFactory()

    async def story():
        closed = asyncio.Event()

        async def client():
            async with streaming(source, user) as (_hub, stream):
                await stream.take(0.05)
                try:
                    await asyncio.sleep(10)  # It sends, and the client does not read.
                finally:
                    assert stream._message.kind is MessageKind.RESYNC
                    closed.set()

        task = asyncio.create_task(client())
        await asyncio.wait_for(closed.wait(), 5)
        with pytest.raises(asyncio.CancelledError):
            await task

    play(story)


def test_the_thread_ends_with_the_last_stream(source):
    user = UserFactory()

    async def story():
        async with streaming(source, user) as (hub, stream):
            assert find_thread().is_alive()
            hub.remove(stream)
            async with asyncio.timeout(5):
                while find_thread():
                    await asyncio.sleep(0.01)

    play(story)
    assert source.is_closed


def find_thread():
    """Return the thread of a hub, if there is one."""
    return next((thread for thread in threading.enumerate() if thread.name == "klaxon-live"), None)


def test_a_later_stream_gets_at_once_the_live_messages_from_before(source, monkeypatch):
    monkeypatch.setattr(feeder_module, "REVISIONS_EVERY", 60)
    user = UserFactory()
    message = LiveMessage(user=user, content={"title": "Done"}, expires_at=timezone.now() + timedelta(minutes=1))

    async def story():
        async with streaming(source, user) as (hub, stream):
            await stream.take(0.1)
            await sync_to_async(add_message)(message)
            later = Stream(stream.visitor, Cursor(0), read_message)
            hub.add(later)
            assert json.loads((await later.take(5)).text)["title"] == "Done"
            hub.remove(later)

    play(story)


def add_message(message):
    with transaction.atomic():
        LiveMessage.objects.add_messages([message])


def test_a_stop_closes_the_streams_and_the_source_and_a_later_stream_starts_again(source):
    user = UserFactory()
    hub, visitor = Hub(lambda using: source), Visitor(user.pk, "", "en")

    async def read(found):
        stream = Stream(visitor, Cursor(0), read_message)
        hub.add(stream)
        while message := await stream.take(5):
            found += titles(message)

    async def story():
        first = asyncio.create_task(read([]))
        await asyncio.sleep(0.05)
        hub.stop()
        assert (find_thread(), source.is_closed, hub.list_streams()) == (None, True, [])
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(first, 5)
        again = asyncio.create_task(read(found := []))
        await asyncio.sleep(0.05)
        await sync_to_async(put)(user, "Shipped")
        source.waiting.append((Kind.INBOX, [str(user.pk)]))
        async with asyncio.timeout(5):
            while not found:
                await asyncio.sleep(0.01)
        assert found == ["Shipped"]
        hub.stop()
        await asyncio.wait([again])

    play(story)


def test_many_streams_are_served_with_as_many_queries_as_one(source):
    users = UserFactory.create_batch(20)

    async def story():
        hub = Hub(lambda using: source)
        streams = [Stream(Visitor(user.pk, "", "en"), Cursor(0), read_message) for user in users]
        for stream in streams:
            await stream.take(0.001)
            hub.add(stream)
        for user in users:
            await sync_to_async(put)(user, "Shipped")
        source.waiting.append((Kind.INBOX, [str(user.pk) for user in users]))
        for stream in streams:
            assert titles(await stream.take(5)) == ["Shipped"]
            hub.remove(stream)
        hub.stop()

    play(story)

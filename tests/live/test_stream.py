"""One stream: no item twice, none lost, and never more than one message in memory."""

import asyncio

from django.db import OperationalError

from notifications.inbox.feed import Cursor
from notifications.live.sessions import Visitor
from notifications.live.stream import END, Message, MessageKind, Stream

ANN = Visitor(7)


def message(since, until, has_more=False):
    return Message(MessageKind.INBOX, Cursor(since), Cursor(until), f"{since}-{until}", has_more)


class Feed:
    """What a stream reads: everything from its cursor to the present revision."""

    def __init__(self, revision=0):
        self.revision = revision
        self.reads = []
        self.error = None

    async def __call__(self, visitor, since):
        self.reads.append(since.revision)
        if self.error:
            error, self.error = self.error, None
            raise error
        return message(since.revision, self.revision)


def play(story, cursor=0, revision=0):
    """Run a story with a stream and its feed in an event loop."""

    async def run():
        feed = Feed(revision)
        await story(Stream(ANN, Cursor(cursor), feed), feed)

    asyncio.run(run())


def test_a_new_stream_reads_what_its_client_has_missed():
    async def story(stream, feed):
        assert (await stream.take(1)).text == "3-5"
        assert stream.cursor == Cursor(5)
        assert await stream.take(0.01) is None

    play(story, cursor=3, revision=5)


def test_a_stream_that_has_missed_nothing_sends_nothing():
    async def story(stream, feed):
        assert await stream.take(0.01) is None
        assert feed.reads == [5]

    play(story, cursor=5, revision=5)


def test_an_offer_wakes_the_client():
    async def story(stream, feed):
        await stream.take(0.01)
        waiting = asyncio.create_task(stream.take(5))
        await asyncio.sleep(0)
        stream.offer(message(0, 1))
        stream.wake()
        assert (await waiting).text == "0-1"

    play(story)


def test_a_slow_client_gets_the_rest_in_one_message():
    async def story(stream, feed):
        await stream.take(0.01)
        for number in range(100):
            feed.revision = number + 1
            if stream.can_take(feed.revision):
                stream.offer(message(number, number + 1))
        assert (await stream.take(1)).text == "0-1"
        assert (await stream.take(1)).text == "1-100"
        assert await stream.take(0.01) is None

    play(story)


def test_an_offer_that_does_not_continue_what_the_client_has_is_read_again():
    async def story(stream, feed):
        await stream.take(0.01)
        feed.revision = 9
        stream.offer(message(4, 9))
        assert (await stream.take(1)).text == "0-9"

    play(story)


def test_the_same_items_are_not_sent_twice_if_the_hub_is_faster_than_the_read():
    async def story(stream, feed):
        await stream.take(0.01)
        feed.revision = 1

        async def read(visitor, since):
            stream.offer(message(0, 1))
            return message(0, 1)

        stream._read = read
        stream._is_behind = True
        assert (await stream.take(1)).text == "0-1"
        assert await stream.take(0.01) is None

    play(story)


def test_more_than_fits_into_a_message_is_read_by_the_stream():
    async def story(stream, feed):
        await stream.take(0.01)
        feed.revision = 8
        stream.offer(message(0, 5, has_more=True))
        assert (await stream.take(1)).text == "0-5"
        assert (await stream.take(1)).text == "5-8"

    play(story)


def test_the_end_replaces_what_waits():
    async def story(stream, feed):
        await stream.take(0.01)
        stream.offer(message(0, 1))
        stream.offer(END)
        assert (await stream.take(1)) is END

    play(story)


def test_a_stream_survives_an_outage_of_the_database(monkeypatch):
    monkeypatch.setattr("notifications.live.stream.OUTAGE_PAUSE", 0)

    async def story(stream, feed):
        feed.error = OperationalError("gone")
        found = [await stream.take(0.01) for _ in range(3)]
        assert [one.text for one in found if one] == ["3-5"]

    play(story, cursor=3, revision=5)


def test_the_time_that_a_client_needs_for_a_message_is_known():
    async def story(stream, feed):
        await stream.take(0.01)
        await asyncio.sleep(0.02)
        now = asyncio.get_running_loop().time()
        assert stream.get_stalled_seconds(now) >= 0.01
        waiting = asyncio.create_task(stream.take(0.05))
        await asyncio.sleep(0)
        assert stream.get_stalled_seconds(now + 100) == 0
        await waiting

    play(story)

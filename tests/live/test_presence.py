"""Presence: who has a page with a live stream open, as the database says it to workers."""

from datetime import UTC, datetime, timedelta
from enum import Enum

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.events import NotificationEvent, NotificationPriority, Prefer
from notifications.live.cleanup import delete_expired
from notifications.live.presence import PresenceRecorder, is_presence_needed
from notifications.models import Presence
from notifications.testing import temporary_events, travelling
from tests.factories import UserFactory
from tests.live.test_hub import play, source, streaming  # noqa: F401
from tests.processes import until

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
APP_FIRST = (Prefer("app", wait=timedelta(minutes=10)), "email")


class House(Enum):
    LEAK = "water_leak"


@pytest.fixture
def declare(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"app": {}, "email": {}}}
    with temporary_events() as registry:

        def declared(prefer=APP_FIRST):
            registry[House.LEAK] = NotificationEvent(
                "water_leak", NotificationPriority.HIGH, ["app", "email"], prefer=prefer
            )

        declared()
        yield declared


@pytest.fixture
def clock(monkeypatch):
    """Klaxon's clock, and the monotonic clock of the recorder."""
    with travelling(NOON) as clock:
        monkeypatch.setattr("time.monotonic", lambda: clock().timestamp())
        yield clock


def find_present(*users):
    return Presence.objects.find_present([user.pk for user in users], NOON)


@pytest.mark.django_db
class TestRecorder:
    def test_users_with_a_stream_are_present(self, declare, clock):
        one, other = UserFactory.create_batch(2)
        PresenceRecorder("default").record({one.pk})
        assert find_present(one, other) == {one.pk}

    def test_a_row_expires_after_a_minute_unless_it_is_renewed(self, declare, clock):
        user, recorder = UserFactory(), PresenceRecorder("default")
        recorder.record({user.pk})
        assert Presence.objects.get().expires_at == NOON + timedelta(minutes=1)
        clock.forward(seconds=20)
        recorder.record({user.pk})
        assert Presence.objects.get().expires_at == NOON + timedelta(seconds=80)

    def test_nothing_is_written_while_nothing_changes(self, declare, clock):
        user, recorder = UserFactory(), PresenceRecorder("default")
        recorder.record({user.pk})
        clock.forward(seconds=19)
        with CaptureQueriesContext(connection) as queries:
            recorder.record({user.pk})
        assert not queries

    def test_a_user_stays_present_for_a_moment_after_their_last_stream(self, declare, clock):
        user, recorder = UserFactory(), PresenceRecorder("default")
        recorder.record({user.pk})
        recorder.record(set())
        assert Presence.objects.get().expires_at == NOON + timedelta(seconds=10)

    def test_the_streams_of_another_process_keep_a_user_present(self, declare, clock):
        user, recorder = UserFactory(), PresenceRecorder("default")
        recorder.record({user.pk})
        PresenceRecorder("default").record({user.pk})
        recorder.record(set())
        late = NOON + timedelta(seconds=30)
        assert Presence.objects.find_present([user.pk], late) == {user.pk}

    def test_many_users_take_few_statements(self, declare, clock):
        users, recorder = UserFactory.create_batch(50), PresenceRecorder("default")
        with CaptureQueriesContext(connection) as queries:
            recorder.record({user.pk for user in users})
        assert len([query for query in queries if "INSERT" in query["sql"]]) == 1

    def test_expired_rows_are_deleted(self, declare, clock):
        PresenceRecorder("default").record({UserFactory().pk})
        delete_expired(NOON, lambda: False)
        assert Presence.objects.count() == 1
        delete_expired(NOON + timedelta(minutes=1), lambda: False)
        assert Presence.objects.count() == 0

    @pytest.mark.parametrize("prefer", [(), [Prefer("app", needs_presence=False), "email"]])
    def test_nothing_is_recorded_unless_an_event_needs_it(self, declare, clock, prefer):
        declare(prefer)
        assert not is_presence_needed()
        PresenceRecorder("default").record({UserFactory().pk})
        assert not Presence.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_open_stream_makes_its_user_present_and_its_end_absent(declare, source):  # noqa: F811
    user = UserFactory()

    def is_lasting():
        return [row.expires_at > row_now() + timedelta(seconds=30) for row in Presence.objects.filter(user=user.pk)]

    def row_now():
        return datetime.now(UTC)

    async def story():
        async with streaming(source, user) as (hub, stream):
            await sync_to_async(until)(lambda: is_lasting() == [True])
            hub.remove(stream)
            await sync_to_async(until)(lambda: is_lasting() == [False])

    play(story)

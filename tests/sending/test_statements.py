"""The number of SQL statements that ``send()`` takes."""

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.core import clock
from notifications.models import Cluster, Mute, SharedPreference, Suppression, UserSettings
from notifications.recipients import Members
from tests.sending.calls import send, send_newsletter


class TestStatements:
    """The number of statements of a call, without its savepoint."""

    @pytest.fixture
    def crowd(self, db):
        users = User.objects.bulk_create(
            User(username=f"crowd{number}", email=f"crowd{number}@example.com") for number in range(1000)
        )
        Cluster.objects.default()
        return users

    @property
    def writes_at_once(self):
        return connection.vendor == "postgresql"

    def statements(self, recipients, **options):
        clock.cached_now()  # The time is read at most once a second.
        with CaptureQueriesContext(connection) as queries:
            assert send_newsletter(recipients, **options).queued
        return [query["sql"] for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]

    def chunks(self, settings, size):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHUNK_SIZE": size}

    def create_rows(self, cluster, users):
        """Create rows for every gate."""
        UserSettings.objects.bulk_create(UserSettings(user=user, cluster=cluster) for user in users)
        role = Group.objects.create(name="night")
        role.user_set.set(users)
        SharedPreference.objects.create(cluster=cluster, group=role, channels={"email": True})
        Mute.objects.bulk_create(Mute(user=user, cluster=cluster, kind="topic", value="gossip") for user in users)
        Suppression.objects.suppress([("email", "gone@example.com")], Suppression.Cause.HARD_BOUNCE, timezone.now())

    def test_one_recipient_on_one_channel_takes_three_statements_or_four(self, crowd):
        assert len(self.statements(crowd[:1])) == (3 if self.writes_at_once else 4)

    def test_a_thousand_take_four(self, crowd):
        assert {len(self.statements(crowd[:size])) for size in (100, 1000)} == {4}

    def test_few_recipients_are_decided_before_anything_is_written(self, crowd):
        written = [sql.lstrip().startswith("INSERT") or "INTO klaxon" in sql for sql in self.statements(crowd[:3])]
        assert written == ([False, False, True] if self.writes_at_once else [False, False, True, True])

    def test_with_rows_for_every_gate_it_takes_five(self, crowd):
        cluster = Cluster.objects.default()
        self.create_rows(cluster, crowd)
        assert len(self.statements(crowd[:1], cluster=cluster)) == (4 if self.writes_at_once else 5)
        assert len(self.statements(crowd, cluster=cluster)) == 5
        assert len(self.statements(crowd)) == 6, "the default cluster has to be read as well"

    def send_with_window(self, event_with, recipients, context):
        """Send an event with a deduplication window. Return the numbers of statements and of duplicates."""
        event, cluster = event_with(dedup_window=900, dedup_keys=("room",)), Cluster.objects.default()
        with CaptureQueriesContext(connection) as queries:
            result = send(recipients, event, context, cluster)
        statements = [
            query["sql"] for query in queries if not query["sql"].startswith(("BEGIN", "SAVEPOINT", "RELEASE"))
        ]
        return len(statements), result.reasons["duplicate"]

    def test_with_a_deduplication_window_it_takes_six_at_most(self, crowd, event_with):
        self.create_rows(Cluster.objects.default(), crowd)
        clock.cached_now()
        statements, duplicates = self.send_with_window(event_with, crowd[:1], {"room": "hall"})
        assert statements <= 6
        assert duplicates == 0

    def test_with_a_deduplication_window_each_chunk_takes_a_fixed_number(self, crowd, event_with, settings):
        self.create_rows(Cluster.objects.default(), crowd)
        self.chunks(settings, 100)
        taken = {}
        for room, size in (("hall", 200), ("attic", 500), ("cellar", 800)):
            first, again = (self.send_with_window(event_with, crowd[:size], {"room": room}) for _ in range(2))
            assert (first[1], again[1]) == (0, size)
            taken[size] = first[0], again[0]
        (first_200, again_200), (first_500, again_500), (first_800, again_800) = taken.values()
        assert first_500 - first_200 == first_800 - first_500 == 3 * 4
        # SQLite writes any number of log rows in five statements, one of which counts them.
        each = 6 if self.writes_at_once else 10
        assert again_500 - again_200 == again_800 - again_500 == 3 * each

    def test_each_chunk_takes_three(self, crowd, settings):
        cluster = Cluster.objects.default()
        self.create_rows(cluster, crowd)
        self.chunks(settings, 100)
        two, five = (len(self.statements(crowd[:size], cluster=cluster)) for size in (200, 500))
        assert five - two == 3 * 3

    def test_members_and_querysets_take_one_more(self, crowd):
        cluster = Cluster.objects.default()
        assert len(self.statements(Members(cluster))) == len(self.statements(crowd)) + 1
        assert len(self.statements(User.objects.all())) == len(self.statements(crowd)) + 1

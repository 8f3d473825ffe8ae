"""``replay_spool`` if lines, the database or the actor are not in order, and its dry run."""

import json
from contextlib import ExitStack
from datetime import datetime

import pytest

from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import Notification, NotificationLog
from notifications.signals import notifications_queued
from notifications.testing import temporary_events
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents
from tests.spool.outage import outage
from tests.spool.replays import (
    Door,
    failed_replay,
    replay,
    spool_one,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def user():
    return UserFactory()


class TestFailures:
    def test_everything_stays_while_the_database_is_unavailable(self, spool, user):
        spool_one([user])
        with outage():
            code, words = failed_replay()
        assert code == 2
        assert "stay spooled; run the command again" in words
        assert replay() == "Spooled calls: 1 queued.\n"

    def test_calls_queued_before_an_outage_are_not_replayed_again(self, spool, user):
        for _ in range(3):
            spool_one([user])
        with ExitStack() as later:

            def go_away(**kwargs):
                later.enter_context(outage())

            notifications_queued.connect(go_away)
            later.callback(notifications_queued.disconnect, go_away)
            code, words = failed_replay()
        assert code == 2
        assert words.startswith("Spooled calls: 1 queued. The replay stopped: ")
        assert Notification.objects.count() == 1
        [taken] = spool.folder.glob("*.taken")
        assert len(taken.read_bytes().splitlines()) == 2
        assert replay() == "Spooled calls: 2 queued.\n"

    def test_an_incomplete_last_line_is_reported_and_skipped(self, spool, user):
        spool_one([user])
        with spool.current.open("ab") as file:
            file.write(b'{"send": {"event": "order')
        said = replay()
        assert "Spooled calls: 1 queued, 1 incomplete." in said
        assert "Its send() had not returned" in said
        assert replay() == "The spool is empty.\n"

    def test_a_damaged_line_is_rejected_with_the_reason_and_the_rest_is_replayed(self, spool, user):
        spool_one([user])
        spool_one([user])
        damaged = spool.current.read_bytes().replace(b'"7"', b'"8"', 1)
        spool.current.write_bytes(damaged)
        code, words = failed_replay()
        assert code == 1
        assert words.startswith("Spooled calls: 1 queued, 1 rejected. The reasons are in ")
        [rejected] = map(json.loads, spool.rejected.read_text().splitlines())
        assert rejected["rejected"] == "SpoolDamaged: The checksum is wrong."
        assert rejected["line"].encode() == damaged.splitlines()[0]
        assert datetime.fromisoformat(rejected["at"])

    def test_rejected_lines_can_be_replayed_when_the_cause_is_fixed(self, spool, user):
        with temporary_events() as events:
            events[Door.OPENED] = NotificationEvent("door_opened", NotificationPriority.LOW, ["email"])
            spool_one([user], Door.OPENED, {})
        assert failed_replay()[0] == 1
        assert "UnknownEvent" in spool.rejected.read_text()
        assert replay() == "The spool is empty.\n", "not by itself"
        assert failed_replay(rejected=True)[0] == 1
        assert len(spool.rejected.read_text().splitlines()) == 1
        with temporary_events() as events:
            events[Door.OPENED] = NotificationEvent("door_opened", NotificationPriority.LOW, ["email"])
            assert replay(rejected=True) == "Spooled calls: 1 queued.\n"
        assert not spool.rejected.exists()

    def test_a_call_for_a_deleted_cluster_is_rejected(self, spool, user):
        cluster = ClusterFactory(members=[user])
        spool_one([user], cluster=cluster)
        cluster.delete()
        assert failed_replay()[0] == 1
        assert "no longer exists" in spool.rejected.read_text()

    def test_calls_stay_spooled_while_the_outbox_is_full(self, spool, user, settings):
        spool_one([user])
        spool_one([user])
        before = settings.NOTIFICATIONS
        settings.NOTIFICATIONS = {**before, "QUEUE_LIMIT": 2}
        code, words = failed_replay()
        assert (code, Notification.objects.count()) == (2, 1)
        assert "Spooled calls: 1 queued. The replay stopped: The outbox is full." in words
        assert not NotificationLog.objects.exists()
        settings.NOTIFICATIONS = before
        assert replay() == "Spooled calls: 1 queued.\n"

    def test_a_second_replay_does_not_disturb_a_running_one(self, spool, user):
        spool_one([user])
        with spool.take_segments():
            code, words = failed_replay()
        assert code == 2
        assert "Another process is replaying" in words

    def test_a_file_in_the_place_of_the_folder_is_an_error(self, spool):
        spool.folder.touch()
        code, words = failed_replay()
        assert code == 2
        assert words.startswith("The spool cannot be replayed. ")

    def test_without_a_folder_it_is_an_error(self, settings):
        settings.NOTIFICATIONS = {}
        assert "SPOOL_DIR" in failed_replay()[1]


class TestDryRun:
    def test_a_dry_run_prints_the_lines_without_a_database_and_changes_nothing(self, spool, user):
        spool_one([user])
        spool_one([user])
        spool_one([user], ShopEvents.NEWSLETTER, {})
        with temporary_events() as events:
            events[Door.OPENED] = NotificationEvent("door_opened", NotificationPriority.LOW, ["email"])
            spool_one([user], Door.OPENED, {})
        with spool.current.open("ab") as file:
            file.write(b'nonsense\n{"send"')
        before = spool.current.read_bytes()
        with outage():
            said = replay(dry_run=True)
        assert said.splitlines() == [
            "       1  damaged, would be rejected: This is not a line of a spool.",
            "       1  door_opened, which is not registered: would be rejected",
            "       1  incomplete, would be skipped",
            "       2  order_shipped",
            "       1  shop_newsletter",
            "The spool contains 6 lines.",
        ]
        assert spool.current.read_bytes() == before
        assert not Notification.objects.exists()

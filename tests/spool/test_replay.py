"""``replay_spool``: every spooled call is queued once, whatever happens during the replay."""

import json
import signal
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from io import StringIO

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command

from notifications.attachments import Attachment
from notifications.context import Fields
from notifications.events import NotificationEvent, NotificationPriority
from notifications.exceptions import NotPermitted
from notifications.manager import NotificationManager
from notifications.models import AttachedFile, Delivery, Notification, NotificationLog, TopicSubscription
from notifications.recipients import Address, Members, To, Topic
from notifications.signals import notifications_queued
from notifications.testing import temporary_events, travelling
from tests.factories import ClusterFactory, UserFactory
from tests.processes import start, until
from tests.shop.notification_events import ShopEvents
from tests.spool.outage import outage

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
SHIPPED = {"order_number": "7", "eta": date(2026, 11, 20)}


class Door(Enum):
    OPENED = "door_opened"


class Side(Enum):
    FRONT = "front"


def register_restricted_event(events):
    """Register an event that requires a permission."""
    events[Door.OPENED] = NotificationEvent(
        "door_opened", NotificationPriority.HIGH, ["log"], permission="auth.change_group"
    )


def spool_one(recipients, event=ShopEvents.ORDER_SHIPPED, context=SHIPPED, cluster=None, **options):
    with outage():
        assert NotificationManager.send(event, recipients, cluster, context, **options).spooled


def replay(**options):
    out, err = StringIO(), StringIO()
    call_command("replay_spool", stdout=out, stderr=err, **options)
    return out.getvalue() + err.getvalue()


def failed_replay(**options):
    """Return the exit code and the message of a replay that fails."""
    with pytest.raises(CommandError) as raised:
        replay(**options)
    return raised.value.returncode, str(raised.value)


@pytest.fixture
def user():
    return UserFactory()


class TestReplayedCalls:
    def test_a_call_is_queued_with_all_its_options(self, spool, user):
        actor, cluster = UserFactory(), ClusterFactory(members=[user])
        with travelling(NOON):
            spool_one(
                [user],
                cluster=cluster,
                channels=["email"],
                level="warning",
                send_at=datetime(2100, 1, 1, tzinfo=UTC),
                actor=actor,
                topic="orders",
                campaign="spring",
                correlation_id="abc",
                cancel_key="order-7",
            )
        assert replay() == "Spooled calls: 1 queued.\n"
        row = Notification.objects.get()
        assert (row.event, row.cluster, row.values, row.priority) == ("order_shipped", cluster, SHIPPED, 2)
        assert (row.actor, row.topic, row.campaign, row.correlation_id) == (actor, "orders", "spring", "abc")
        assert row.created_at == NOON, "the time of the call, not of the replay"
        delivery = Delivery.objects.get()
        assert (delivery.recipient, delivery.channel, delivery.state, delivery.score) == (user, "email", "held", 79)
        assert NotificationManager.cancel(cluster, "order-7") == 1

    def test_attachments_are_stored_unchanged_and_once(self, spool, user):
        files = [Attachment("bill.pdf", bytes(range(256))), Attachment("Grüße.txt", "Grüße\r\n")]
        given = {"attachments": files, "idempotency_key": "order-7"}
        spool_one([user], **given)
        assert replay() == "Spooled calls: 1 queued.\n"
        row = Notification.objects.get()
        kept = AttachedFile.objects.load_attachments([row])[row.pk]
        assert list(kept) == files
        again = NotificationManager.send(ShopEvents.ORDER_SHIPPED, [user], None, SHIPPED, **given)
        assert (again.notification_id, again.duplicate) == (row.pk, True)

    def test_records_of_versions_without_attachments_are_queued(self, spool, spooled, user):
        spool_one([user])
        [record] = spooled()
        del record["attachments"]
        spool.current.unlink()
        spool.append(record)
        assert replay() == "Spooled calls: 1 queued.\n"

    def test_recipients_of_every_kind(self, spool, user):
        other, address = UserFactory(), Address(email="ann@example.com")
        spool_one([user, other, address, Members(None)], ShopEvents.NEWSLETTER, {})
        replay()
        assert set(Delivery.objects.values_list("address", flat=True)) == {user.email, other.email, "ann@example.com"}

    def test_members_and_preferences_are_read_when_a_call_is_queued(self, spool, user):
        cluster, gone = ClusterFactory(members=[user]), UserFactory()
        gone_key = f"u:{gone.pk}"
        spool_one([user, gone], cluster=cluster, event=ShopEvents.NEWSLETTER, context={})
        cluster.members.clear()
        gone.delete()
        replay()
        drops = NotificationLog.objects.values_list("recipient_key", "reason")
        assert set(drops) == {(f"u:{user.pk}", "not_member"), (gone_key, "unknown_user")}

    def test_a_context_is_not_validated_again(self, spool, user):
        """Stored enums are values and stored instances are mappings. Neither has the type that the event declares."""
        with temporary_events() as events:
            events[Door.OPENED] = NotificationEvent(
                "door_opened",
                NotificationPriority.HIGH,
                ["email"],
                context={"side": Side, "by": Fields("username"), "tags": set},
            )
            spool_one([user], Door.OPENED, {"side": Side.FRONT, "by": user, "tags": {"a"}})
            assert replay() == "Spooled calls: 1 queued.\n"
        assert Notification.objects.get().values == {"side": "front", "by": {"username": user.username}, "tags": ["a"]}

    def test_a_call_without_deduplication_keys_is_no_duplicate(self, spool, user):
        with temporary_events() as events:
            fields = {"context": {"side": Side}, "dedup_window": 900, "dedup_keys": ["side"]}
            events[Door.OPENED] = NotificationEvent("door_opened", NotificationPriority.CRITICAL, ["email"], **fields)
            for side in ("front", "front", Side.FRONT, Side.FRONT):
                spool_one([user], Door.OPENED, {"side": side})
            replay()
        assert Delivery.objects.count() == 3
        assert NotificationLog.objects.get().reason == "duplicate"

    def test_a_deleted_actor_is_stored_as_none(self, spool, user):
        actor = UserFactory()
        spool_one([user], actor=actor)
        actor.delete()
        replay()
        assert Notification.objects.get().actor is None

    def test_a_time_from_a_fast_clock_is_not_stored(self, spool, user):
        with travelling(datetime.now(UTC) + timedelta(days=3)):
            spool_one([user])
        replay()
        assert Notification.objects.get().created_at <= datetime.now(UTC)

    def test_the_signal_is_sent(self, spool, user, settings):
        spool_one([user], ShopEvents.ORDER_REFUSED, {})
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "DELIVERY": "immediate"}
        replay()
        assert Delivery.objects.get().state == "sent"

    def test_calls_are_queued_in_their_order(self, spool, user):
        for number in range(5):
            spool_one([user], context={"order_number": str(number)})
        replay()
        numbers = [row.values["order_number"] for row in Notification.objects.order_by("pk")]
        assert numbers == ["0", "1", "2", "3", "4"]


class TestOnce:
    def test_a_second_replay_does_nothing(self, spool, user):
        spool_one([user])
        replay()
        assert replay() == "The spool is empty.\n"

    def test_a_replayed_call_is_not_queued_again(self, spool, user):
        spool_one([user])
        kept = spool.current.read_bytes()
        replay()
        spool.current.write_bytes(kept * 2)
        assert replay() == "Spooled calls: 0 queued, 2 queued before.\n"
        assert Notification.objects.count() == 1

    def test_the_callers_idempotency_key_works_across_an_outage(self, spool, user):
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, [user], None, SHIPPED, idempotency_key="order-7")
        spool_one([user], idempotency_key="order-7")
        assert "1 queued before" in replay()
        assert Notification.objects.count() == 1

    def test_a_killed_replay_is_completed_by_the_next(self, spool, user):
        for _ in range(60):
            spool_one([user], ShopEvents.NEWSLETTER, {})
        for wanted in (5, 20):
            replaying = process(spool)
            until(lambda wanted=wanted: Notification.objects.count() >= wanted)
            replaying.send_signal(signal.SIGKILL)
            replaying.communicate()
            assert replaying.returncode == -signal.SIGKILL, "it had ended before: this proves nothing"
        replay()
        assert Notification.objects.count() == Delivery.objects.count() == 60
        assert not list(spool.folder.glob("*.taken"))

    def test_two_replays_at_the_same_time_queue_each_call_once(self, spool, user):
        for _ in range(40):
            spool_one([user], ShopEvents.NEWSLETTER, {})
        both = [process(spool), process(spool)]
        said = [replaying.communicate(timeout=60)[0] for replaying in both]
        codes = [replaying.returncode for replaying in both]
        assert 0 in codes, said
        assert set(codes) <= {0, 2}, said
        assert Notification.objects.count() == 40


def process(spool):
    """Start a replay in another process."""
    return start("replay_spool", KLAXON_SPOOL_DIR=str(spool.folder))


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
        assert "Somebody else" in words

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
            "       2  order_shipped",
            "       1  shop_newsletter",
            "       1  incomplete, would be skipped",
            "The spool contains 6 lines.",
        ]
        assert spool.current.read_bytes() == before
        assert not Notification.objects.exists()


def test_groups_topics_and_tos_are_replayed(spool, spooled):
    ann, bob, eve = (UserFactory(username=name) for name in ("ann", "bob", "eve"))
    group = Group.objects.create(name="night")
    group.user_set.add(ann)
    spool_one([To((user for user in [bob]), ["email"]), To([group, Members(None)], ["app"]), To([eve], ["email"])])
    spool_one([group, Topic("Pool")], channels=["app"])
    [first, second] = [record["recipients"] for record in spooled()]
    assert [one["channels"] for one in first["to"]] == [["email"], ["app"], ["email"]]
    assert (second["groups"], second["topics"]) == ([group.pk], ["pool"])
    TopicSubscription.objects.subscribe(eve, "pool")
    replay()
    found = Delivery.objects.order_by("pk").values_list("recipient__username", "channel")
    assert list(found) == [
        ("ann", "app"), ("bob", "email"), ("bob", "app"), ("eve", "email"), ("eve", "app"),
        ("ann", "app"), ("eve", "app"),
    ]  # fmt: skip


def test_the_permission_of_the_actor_is_checked_on_replay(spool, user):
    with temporary_events() as events:
        register_restricted_event(events)
        spool_one([user], Door.OPENED, {}, actor=UserFactory())
        spool_one([user], Door.OPENED, {}, actor=UserFactory(is_superuser=True))
        assert failed_replay()[0] == 1
    assert Notification.objects.count() == 1
    assert "NotPermitted: Event 'door_opened'" in spool.rejected.read_text()


def test_a_missing_actor_is_an_error_during_the_outage(spool, spooled, user):
    with temporary_events() as events, outage():
        register_restricted_event(events)
        with pytest.raises(NotPermitted):
            NotificationManager.send(Door.OPENED, [user], None, {})
    assert spooled() == []

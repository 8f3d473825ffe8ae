"""``replay_spool``: every spooled call is queued once, whatever happens during the replay."""

import signal
from datetime import UTC, datetime, timedelta
from enum import Enum

import pytest
from django.contrib.auth.models import Group

from notifications.attachments import Attachment
from notifications.context import Fields
from notifications.events import NotificationEvent, NotificationPriority
from notifications.exceptions import NotPermitted
from notifications.manager import NotificationManager
from notifications.models import AttachedFile, Delivery, Notification, NotificationLog, TopicSubscription
from notifications.recipients import Address, Members, To, Topic
from notifications.testing import temporary_events, travelling
from tests.factories import ClusterFactory, UserFactory
from tests.processes import until
from tests.shop.notification_events import ShopEvents
from tests.spool.outage import outage
from tests.spool.replays import (
    NOON,
    SHIPPED,
    Door,
    failed_replay,
    process,
    register_restricted_event,
    replay,
    spool_one,
)

pytestmark = pytest.mark.django_db(transaction=True)


class Side(Enum):
    FRONT = "front"


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
            try:
                until(lambda wanted=wanted: Notification.objects.count() >= wanted, 60)
            finally:
                # Otherwise it would go on in the next test.
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

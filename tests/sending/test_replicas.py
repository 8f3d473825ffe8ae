"""Routers that read from a replica. Reads that decide something use the primary database."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import router
from django.utils import timezone

from notifications import signals
from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.delivering.dispatcher import Dispatcher
from notifications.digests import make_due, release_overdue
from notifications.events import NotificationEvent, NotificationPriority
from notifications.exceptions import NotPermitted
from notifications.manager import NotificationManager
from notifications.models import (
    Cluster,
    Delivery,
    InboxItem,
    Mute,
    Notification,
    NotificationLog,
    SharedPreference,
    Suppression,
    TopicSubscription,
)
from notifications.recipients import Members, Topic
from notifications.testing import temporary_events, travelling
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.sending.routers import ORDER, ReadOnlyReplicaRouter, RefusingRouter, ReplicaRouter, send
from tests.shop.notification_events import ShopEvents


@pytest.fixture(autouse=True)
def channels(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {}, "app": {}, "log": {}}}


@pytest.fixture
def refusing_router(settings, db):
    """Install the router. Tests then read with ``using("default")``."""
    settings.DATABASE_ROUTERS = [RefusingRouter()]
    with pytest.raises(AssertionError, match="User was to be read from a replica"):
        User.objects.first()


@pytest.mark.usefixtures("refusing_router")
class TestNotificationLifecycle:
    """With a router that refuses reads of deciding models from any database but the primary one."""

    def test_a_notification_is_sent_explained_delivered_and_acknowledged(self):
        user = UserFactory()
        assert NotificationManager.explain(ShopEvents.ORDER_SHIPPED, user, None, ORDER).channel("email").arrives_at
        result = send(user, idempotency_key="x")
        assert {outcome.state for outcome in result.outcomes()} == {"ready"}
        again = send(user, idempotency_key="x")
        assert again.duplicate
        assert len(list(again.outcomes())) == 2
        assert dict(Dispatcher().run_until_idle()) == {"sent": 2}
        notification = Notification.objects.using("default").get()
        assert NotificationManager.acknowledge(notification, user)
        assert NotificationManager.why(notification, user).channel("email").state == "sent"
        assert NotificationManager.why(Delivery.objects.using("default").first())

    @pytest.mark.parametrize("count", [1, 60])
    def test_every_kind_of_recipient(self, count):
        users, group = UserFactory.create_batch(count), Group.objects.create(name="crew")
        cluster = ClusterFactory(members=users)
        group.user_set.add(*users)
        for user in users:
            TopicSubscription.objects.create(user=user, cluster=cluster, topic="news")
        UserSettingsFactory(user=users[0], cluster=cluster, language="de")
        SharedPreference.objects.create(cluster=cluster, group=group, channels={"app": False})
        Mute.objects.create(user=users[0], cluster=cluster, kind="topic", value="other")
        Suppression.objects.using("default").suppress([("email", users[0].email)], "hard_bounce", clock.now())
        for recipients in (users, User.objects.all(), Group.objects.all(), group, Members(cluster), Topic("news")):
            result = send(recipients, cluster)
            assert (result.queued, result.reasons["suppressed"], result.reasons["preference"]) == (count - 1, 1, count)

    def test_users_that_are_loaded_as_instances(self, settings):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "PREFERENCES": f"{__name__}.OwnPreferences"}
        assert send(UserFactory.create_batch(2)).queued == 4
        assert dict(Dispatcher().run_until_idle()) == {"sent": 4}

    def test_a_deduplication_window_limits_and_a_full_queue(self, settings):
        settings.NOTIFICATIONS = {
            **settings.NOTIFICATIONS, "QUEUE_LIMIT": 4, "QUEUE_FULL": "shed", "LIMITS": {"user": "1/h"}
        }  # fmt: skip
        with temporary_events() as registry:
            event = registry.find(ShopEvents.ORDER_SHIPPED)
            registry[ShopEvents.ORDER_SHIPPED] = replace(event, dedup_window=900, dedup_keys=("order_number",))
            user, other = UserFactory.create_batch(2)
            send(user)
            assert send([user, other]).reasons["duplicate"] == 2
            assert NotificationManager.send(ShopEvents.ORDER_REFUSED, user, None, {}).queued == 1
            Dispatcher().run_until_idle()

    def test_cancelling_and_sending_again(self):
        user = UserFactory(is_superuser=True)
        send(user, cancel_key="x")
        assert NotificationManager.cancel(None, "x") == 2
        send(user)
        Delivery.objects.using("default").filter(state="ready").update(state="dead")
        dead = Delivery.objects.using("default").filter(state="dead").first()
        assert NotificationManager.resend(dead, "it works again", user).state == "ready"
        call_command("replay_dead_letters")
        call_command(
            "explain_notification", "order_shipped", "--user", str(user.pk), "--context", '{"order_number": "7"}'
        )

    def test_a_permission_of_the_actor(self):
        with temporary_events() as registry:
            event = registry.find(ShopEvents.ORDER_SHIPPED)
            registry[ShopEvents.ORDER_SHIPPED] = replace(event, permission="klaxon.retry_delivery")
            actor = UserFactory()
            with pytest.raises(NotPermitted):
                send(actor, actor=actor)
            permission = Permission.objects.using("default").get(codename="retry_delivery")
            actor.user_permissions.add(permission)
            actor = User.objects.using("default").get(pk=actor.pk)
            assert send(actor, actor=actor).queued == 2

    def test_a_digest(self):
        with travelling(timezone.now()) as now:
            user = UserFactory()
            UserSettingsFactory(user=user, cluster=Cluster.objects.default(), digest="daily")
            with temporary_events() as registry:
                registry[ShopEvents.NEWSLETTER] = NotificationEvent(
                    "shop_newsletter", NotificationPriority.LOW, ["email"]
                )
                for _ in range(2):
                    NotificationManager.send(ShopEvents.NEWSLETTER, user)
                now.forward(seconds=timedelta(days=1).total_seconds())
                assert make_due(clock.now()).merged == 2
                release_overdue(clock.now(), lambda: False)
                assert Dispatcher().run_until_idle()["sent"] == 1

    def test_a_fallback(self):
        with temporary_events() as registry:
            registry[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
                "order_shipped", NotificationPriority.MEDIUM, ["email"], context=None, fallback={"email": "app"}
            )
            send(UserFactory())
            Delivery.objects.using("default").update(address="")
            Dispatcher().run_until_idle()
        assert NotificationLog.objects.using("default").exists()


class OwnPreferences:
    def load(self, cluster, user_ids):
        User.objects.filter(pk__in=user_ids).first()
        return {}


def test_outside_of_klaxons_calls_the_hosts_routers_decide(settings, db):
    settings.DATABASE_ROUTERS = [ReplicaRouter()]
    with read_from_primary():
        assert router.db_for_read(User) == "default"
        with read_from_primary():
            assert router.db_for_read(InboxItem) == "default"
        assert router.db_for_read(User) == "default"
    assert router.db_for_read(User) == "replica"
    settings.DATABASE_ROUTERS = []
    assert router.db_for_read(User) == "default"


def test_without_db_for_write_only_deciding_reads_leave_the_replica(settings, db):
    settings.DATABASE_ROUTERS = [ReadOnlyReplicaRouter()]
    settings.NOTIFICATIONS_CLUSTER_MODEL = "auth.Group"
    with read_from_primary():
        for model in (User, Group, Permission, User.groups.through, Group.permissions.through, Cluster, InboxItem):
            assert router.db_for_read(model) == "default", model
        assert router.db_for_read(Session) == "replica"
        assert router.db_for_read(ContentType) == "replica"
        settings.NOTIFICATIONS_CLUSTER_MODEL = "sessions.Session"
        assert router.db_for_read(Session) == "default"


def test_receivers_of_signals_read_by_the_hosts_routers(settings, transactional_db):
    """Receivers run after Klaxon's commits, so within its calls."""
    heard = {}

    def hear(signal, **fact):
        heard.setdefault(signal, router.db_for_read(Session))

    names = ("notifications_queued", "delivery_sent", "notification_acknowledged")
    receivers = {name: lambda name=name, **fact: hear(name) for name in names}
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver)
    try:
        user = UserFactory()
        settings.DATABASE_ROUTERS = [ReplicaRouter()]
        result = send(user, channels=["app"])
        assert dict(Dispatcher().run_until_idle()) == {"sent": 1}
        notification = Notification.objects.using("default").get(pk=result.notification_id)
        assert NotificationManager.acknowledge(notification, user)
    finally:
        settings.DATABASE_ROUTERS = []
        for name, receiver in receivers.items():
            getattr(signals, name).disconnect(receiver)
    assert heard == dict.fromkeys(names, "replica")


def test_rows_of_another_database_keep_their_database(settings, db):
    """A transform may read from a database that has nothing to do with Klaxon's."""
    settings.DATABASE_ROUTERS = []
    row = Cluster(pk=1)
    row._state.db = "warehouse"
    with read_from_primary():
        assert router.db_for_read(Session, instance=row) == "warehouse"
        assert router.db_for_read(User, instance=row) == "default"

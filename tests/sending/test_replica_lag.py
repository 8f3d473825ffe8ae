"""Rows that have not reached the replica yet. Reads that decide something use the primary database."""

import contextvars
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import connection, connections
from django.utils import timezone

from notifications.checks import run_checks
from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.delivering import leftovers
from notifications.delivering.attempt_outcomes import Outcomes, decide_next_state
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.providers.choice import AttemptResult
from notifications.delivering.workers.rescue import Rescuer
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import Cluster, Delivery, InboxItem, NotificationLog, Suppression
from notifications.outcomes import Receipt, Verdict
from notifications.testing import temporary_events, travelling
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.sending.routers import GuardedSessionRouter, ReadOnlyReplicaRouter, ReplicaRouter, SessionRouter, send
from tests.shop.notification_events import ShopEvents


@pytest.fixture(autouse=True)
def channels(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {}, "app": {}, "log": {}}}


@pytest.fixture(params=[ReplicaRouter, ReadOnlyReplicaRouter])
def start_lag(request, settings, transactional_db, tmp_path):
    """Return a function. Rows that are written after its call are missing in the replica."""
    names = []

    def start():
        names.append(_copy_database(tmp_path))
        connections.databases["replica"] = {**connection.settings_dict, "NAME": names[0]}
        # Connect explicitly, because Django's test cases allow connections only to databases that existed before.
        connections["replica"].connect()
        settings.DATABASE_ROUTERS = [request.param()]

    yield start
    settings.DATABASE_ROUTERS = []
    if names:
        connections["replica"].close()
        del connections["replica"], connections.databases["replica"]
        _remove_database(names[0])


def _copy_database(folder):
    """Return the name of a second database with the present contents of the first."""
    if connection.vendor == "sqlite":
        name = str(folder / "replica.sqlite3")
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [name])
        return name
    name = f"{connection.settings_dict['NAME']}_replica"
    connection.close()
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {connection.settings_dict['NAME']}")
    return name


def _remove_database(name):
    if connection.vendor == "postgresql":
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_new_account_gets_the_notification(start_lag):
    start_lag()
    user = UserFactory()
    assert not User.objects.filter(pk=user.pk).exists(), "the replica lags"
    result = send(user)
    assert (bool(result), result.queued, dict(result.reasons)) == (True, 2, {})
    assert [outcome.state for outcome in result.outcomes()] == ["ready", "ready"]
    assert dict(Dispatcher().run_until_idle()) == {"sent": 2}
    assert InboxItem.objects.using("default").filter(recipient=user).exists()


def test_an_opt_out_applies_at_once(start_lag):
    users = UserFactory.create_batch(2)
    Cluster.objects.default()
    start_lag()
    for user in users:
        UserSettingsFactory(user=user, cluster=Cluster.objects.using("default").get(), channels={"email": False})
    result = send(User.objects.all(), channels=["email"])
    assert (result.queued, dict(result.reasons)) == (0, {"preference": 2})


def test_an_opt_out_after_the_send_applies_in_the_worker(start_lag):
    user = UserFactory()
    send(user, channels=["email"])
    start_lag()
    UserSettingsFactory(user=user, cluster=Cluster.objects.using("default").get(), channels={"email": False})
    assert dict(Dispatcher().run_until_idle()) == {"dropped": 1}


def test_a_new_suppression_applies(start_lag):
    user = UserFactory()
    start_lag()
    Suppression.objects.using("default").suppress([("email", user.email)], "hard_bounce", clock.now())
    assert send(user, channels=["email"]).reasons == {"suppressed": 1}


def test_an_actor_from_the_replica_has_current_permissions(start_lag):
    with temporary_events() as registry:
        event = registry.find(ShopEvents.ORDER_SHIPPED)
        registry[ShopEvents.ORDER_SHIPPED] = replace(event, permission="klaxon.retry_delivery")
        actor = UserFactory()
        permission, _made = Permission.objects.get_or_create(
            codename="retry_delivery",
            defaults={"content_type": ContentType.objects.get_for_model(Delivery), "name": "x"},
        )
        start_lag()
        read = User.objects.get(pk=actor.pk)
        assert (read._state.db, read.has_perm("klaxon.retry_delivery")) == ("replica", False)
        User.objects.using("default").get(pk=actor.pk).user_permissions.add(permission)
        assert send(actor, actor=read).queued == 2


def test_a_cluster_from_the_replica_has_current_members(start_lag):
    cluster, user = ClusterFactory(open_to_all=True), UserFactory()
    start_lag()
    read = Cluster.objects.get(pk=cluster.pk)
    Cluster.objects.using("default").filter(pk=cluster.pk).update(open_to_all=False)
    assert (read._state.db, read.open_to_all) == ("replica", True)
    assert dict(send(user, read).reasons) == {"not_member": 2}


def test_a_queryset_keeps_the_database_that_the_host_gave_it(start_lag):
    user, group = UserFactory(), Group.objects.create(name="crew")
    group.user_set.add(user)
    start_lag()
    UserFactory()
    assert send(User.objects.all()).queued == 4
    assert send(User.objects.using("replica")).queued == 2
    assert send(Group.objects.using("replica")).queued == 2


@pytest.mark.parametrize("start_lag", [SessionRouter, GuardedSessionRouter], indirect=True)
def test_read_only_models_of_the_host_are_read_in_their_own_database(start_lag):
    Session.objects.create(session_key="old", session_data="", expire_date=timezone.now())
    start_lag()
    Session.objects.using("default").all().delete()
    with temporary_events() as registry:
        event = registry.find(ShopEvents.ORDER_SHIPPED)
        registry[ShopEvents.ORDER_SHIPPED] = replace(event, transforms={"app": _add_session_key})
        send(UserFactory(), channels=["app"])
        assert dict(Dispatcher().run_until_idle()) == {"sent": 1}
    assert InboxItem.objects.using("default").count() == 1


def _add_session_key(context):
    return {"order_number": Session.objects.get().session_key}


class TestDecisionsOutsideOfBatches:
    """A dead letter goes to the fallback channel unless its recipient has opted out of it, wherever it is recorded."""

    @pytest.fixture
    def dead(self, start_lag, settings, tmp_path):
        """Return the outcomes of a dead email delivery whose recipient has just opted out of the inbox."""
        (tmp_path / "state").mkdir(mode=0o700)
        settings.NOTIFICATIONS = {
            **settings.NOTIFICATIONS, "STATE_DIR": str(tmp_path / "state"), "LEASE_SECONDS": 60, "BEAT_SECONDS": 0.001,
        }  # fmt: skip
        with temporary_events() as registry:
            registry[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
                "order_shipped", NotificationPriority.MEDIUM, ["email"], context=None, fallback={"email": "app"},
                on_unknown="retry", retry_delays=(),
            )  # fmt: skip
            user = UserFactory()
            send(user)
            now, outbox = clock.now(), Delivery.objects.all()
            rows = outbox.with_notifications(outbox.claim("lost", now + timedelta(seconds=60), 1))
            outbox.mark_sending(rows, now + timedelta(seconds=60))
            rows[0].attempts += 1
            start_lag()
            cluster = Cluster.objects.using("default").get()
            UserSettingsFactory(user=user, cluster=cluster, channels={"app": False})
            item = AttemptResult(rows[0], Receipt(None, Verdict.PERMANENT, error="no such mailbox"), 0.1)
            yield Outcomes([(item, decide_next_state(item, now))], now)
        assert dict(Delivery.objects.using("default").values_list("channel", "state")) == {"email": "dead"}
        drop = NotificationLog.objects.using("default").get(kind=NotificationLog.Kind.DROP)
        assert drop.reason == "preference"

    def test_writing(self, dead):
        OutcomeWriter().write(dead)

    def test_recording_in_another_thread(self, dead):
        """A thread does not inherit the context of the thread that has started it."""
        writer = OutcomeWriter()
        with read_from_primary():
            contextvars.Context().run(writer.record, dead)

    def test_catching_up(self, dead):
        writer = OutcomeWriter()
        writer.keep(dead)
        writer.catch_up()

    def test_the_end_of_a_worker(self, dead):
        writer = OutcomeWriter()
        writer.keep(dead)
        assert writer.close(0) == 0

    def test_the_files_of_earlier_workers(self, dead):
        leftovers.save([dead], "default")
        OutcomeWriter().recover()

    @pytest.mark.usefixtures("dead")
    def test_deliveries_of_a_lost_worker(self):
        with travelling(timezone.now()) as now:
            now.forward(seconds=600)
            rescuer = Rescuer("default")
            rescuer.rescue(clock.now())
            time.sleep(0.005)
            assert dict(rescuer.rescue(clock.now())) == {"dead": 1}


class OtherDatabaseRouter:
    def db_for_write(self, model, **hints):
        return "replica" if model._meta.app_label == "klaxon" else "default"


def test_tables_in_another_database_than_the_users_are_an_error(start_lag, settings):
    start_lag()
    assert not [error for error in run_checks(None) if error.id == "klaxon.E030"]
    settings.DATABASE_ROUTERS = [OtherDatabaseRouter()]
    found = [error.msg for error in run_checks(None) if error.id == "klaxon.E030"]
    assert [message.partition(" ")[0] for message in found] == ["auth.Group", "auth.User"]
    assert "'replica'" in found[0]

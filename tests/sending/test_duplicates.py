"""Duplicates within the deduplication window of their event. They are dropped on all channels of a recipient."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.delivering.workers.worker import Worker
from notifications.manager import NotificationManager
from notifications.models import Delivery, Fingerprint, NotificationLog, UserSettings
from notifications.recipients import Address, Members
from notifications.storage.insert import MAX_INSERT_ROWS
from notifications.testing import travelling
from tests.factories import ClusterFactory, UserFactory
from tests.sending.alarms import CRITICAL, DROPPED, SERVED, Alarms, figures, send
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def test_a_duplicate_is_dropped_on_all_channels_and_names_the_first(declare, user):
    first, again = send(user), send(user)
    assert (figures(first), figures(again)) == (SERVED, DROPPED)
    assert again, "nobody was refused for a technical reason"
    rule = NotificationLog.objects.get(channel="app").error_message
    assert rule.startswith(f"event: the same as notification {first.notification_id} of 20")
    assert rule.endswith(" UTC, within the window of 900 seconds")
    assert {outcome.reason for outcome in again.outcomes()} == {"duplicate"}


def test_duplicates_of_a_recipient_are_counted_once_for_each_send(declare, user):
    first = send(user)
    send(user), send([user, UserFactory()])
    rows = Fingerprint.objects.order_by("pk").values_list("recipient_key", "notification_id", "folded")
    assert rows[0] == (f"u:{user.pk}", first.notification_id, 2)
    assert [row[2] for row in rows] == [2, 0]


def test_only_the_keys_that_the_event_names_are_compared(declare, user):
    NotificationManager.send(Alarms.SMOKE, user, None, {"room": "hall", "seen": 1})
    assert figures(NotificationManager.send(Alarms.SMOKE, user, None, {"room": "hall", "seen": 2})) == DROPPED
    assert figures(NotificationManager.send(Alarms.SMOKE, user, None, {"room": "attic", "seen": 1})) == SERVED


def test_an_optional_key_that_is_missing_is_like_none(declare, user):
    declare(context={"room": str | None})
    NotificationManager.send(Alarms.SMOKE, user, None, {"room": None})
    assert figures(NotificationManager.send(Alarms.SMOKE, user, None, {})) == DROPPED


def test_a_context_without_a_key_is_never_a_duplicate(declare, user):
    assert [figures(NotificationManager.send(Alarms.SMOKE, user, None, {})) for _ in range(2)] == [SERVED, SERVED]
    assert not Fingerprint.objects.exists()


@pytest.mark.parametrize("context", [{}, {"room": None}, {"room": 7}, None, "hall"])
def test_different_alarms_that_do_not_say_where_they_are_are_all_sent(declare, user, context):
    declare(priority=CRITICAL, context={"room": str})
    assert NotificationManager.explain(Alarms.SMOKE, user, None, context).reaches
    assert [figures(NotificationManager.send(Alarms.SMOKE, user, None, context)) for _ in range(2)] == [SERVED, SERVED]
    assert NotificationManager.explain(Alarms.SMOKE, user, None, context).reaches
    assert not Fingerprint.objects.exists()


def test_without_keys_the_event_alone_is_compared(declare, user):
    declare(dedup_keys=())
    send(user, "hall")
    assert figures(send(user, "attic")) == DROPPED


def test_a_context_with_a_key_like_klaxons_markers_is_compared_by_its_values(declare, user):
    for room, expected in (("hall", SERVED), ("attic", SERVED), ("hall", DROPPED)):
        assert figures(NotificationManager.send(Alarms.SMOKE, user, None, {"room": room, "$": 1})) == expected


def test_another_event_cluster_or_recipient_is_no_duplicate(declare, user):
    declare(Alarms.WATER)
    home, away = ClusterFactory(members=[user]), ClusterFactory(members=[user])
    served = [send(user), send(UserFactory()), send(user, event=Alarms.WATER)]
    served += [send(user, cluster=home), send(user, cluster=away)]
    assert [figures(result) for result in served] == [SERVED] * 5


def test_a_bare_address_is_a_recipient_too(declare):
    declare(channels=["email"])
    address = Address(email="a@example.com")
    assert figures(send([address, Address(email="b@example.com")])) == (2, {})
    assert figures(send([address])) == (0, {"duplicate": 1})


def test_the_window_ends_to_the_second_and_begins_again(declare, user):
    with travelling() as clock:
        send(user)
        clock.forward(seconds=899)
        assert figures(send(user)) == DROPPED
        clock.forward(seconds=1)
        assert figures(send(user)) == SERVED
        assert Fingerprint.objects.get().folded == 0
        clock.forward(seconds=899)
        assert figures(send(user)) == DROPPED


def test_a_first_from_the_future_is_ignored(declare, user):
    with travelling() as clock:
        send(user)
        clock.forward(minutes=-60)
        assert figures(send(user)) == DROPPED
        clock.forward(microseconds=-1)
        assert figures(send(user)) == SERVED


def statements(recipients):
    """Return the number of statements about fingerprints in a send."""
    with CaptureQueriesContext(connection) as queries:
        send(recipients)
    return about_fingerprints(queries)


def about_fingerprints(queries):
    return len([query for query in queries if "klaxon_fingerprint" in query["sql"]])


EVERYBODY = User.objects.all
WAYS_TO_SEND = {
    "a handful": (lambda: list(EVERYBODY()), dict, {}),
    "a queryset": (EVERYBODY, dict, {}),
    "members": (lambda: Members(None), dict, {}),
    "many": (lambda: [*UserFactory.create_batch(MAX_INSERT_ROWS), *EVERYBODY()], dict, {}),
    "with a key": (EVERYBODY, lambda: {"idempotency_key": str(uuid4())}, {}),
    "for later": (EVERYBODY, lambda: {"send_at": timezone.now() + timedelta(hours=1)}, {}),
    "a handful with a key": (lambda: list(EVERYBODY()), lambda: {"idempotency_key": str(uuid4())}, {}),
    "with a limit of the queue": (lambda: list(EVERYBODY()), dict, {"QUEUE_LIMIT": 1000}),
}


@pytest.mark.parametrize("way", WAYS_TO_SEND)
def test_without_a_window_nothing_is_dropped_and_there_is_no_query(declare, user, settings, way):
    recipients, options, limits = WAYS_TO_SEND[way]
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, **limits}
    declare(window=0)
    with CaptureQueriesContext(connection) as queries:
        results = [send(recipients(), **options()) for _ in range(2)]
    assert all(result.queued + result.held >= 2 and not result.reasons for result in results)
    assert about_fingerprints(queries) == 0
    assert not Fingerprint.objects.exists()


def test_a_window_takes_a_fixed_number_of_statements(declare):
    users = UserFactory.create_batch(20)
    assert statements(users) == 1
    assert statements(users) == 3
    Delivery.objects.filter(recipient__in=users[:5]).update(state="dead")
    assert statements(users) == 4


def test_critical_duplicates_are_dropped_only_if_the_event_has_a_window(declare, user):
    declare(priority=CRITICAL)
    declare(Alarms.WATER, priority=CRITICAL, window=0)
    assert [figures(send(user)) for _ in range(2)] == [SERVED, DROPPED]
    assert [figures(send(user, event=Alarms.WATER)) for _ in range(2)] == [SERVED, SERVED]


def test_a_dropped_recipient_reserves_nothing(declare, user):
    inactive, gone = UserFactory(is_active=False), UserFactory(email="")
    declare(channels=["email"])
    send([inactive, gone, Address(email="not an address")])
    assert not Fingerprint.objects.exists()
    gone.email = "back@example.com"
    gone.save()
    assert figures(send(gone)) == (1, {})


def test_a_recipient_who_opted_out_of_one_channel_reserves_for_the_others(declare, user):
    cluster = ClusterFactory(members=[user])
    UserSettings.objects.create(user=user, cluster=cluster, channels={"email": False})
    assert figures(send(user, cluster=cluster)) == (1, {"preference": 1})
    assert figures(send(user, cluster=cluster)) == (0, {"preference": 1, "duplicate": 1})


def test_a_rollback_releases_the_reservation(declare, user):
    with transaction.atomic():
        assert figures(send(user)) == SERVED
        transaction.set_rollback(True)
    assert figures(send(user)) == SERVED


def test_a_duplicate_in_the_same_transaction_is_dropped(declare, user):
    with transaction.atomic():
        assert [figures(send(user)) for _ in range(2)] == [SERVED, DROPPED]


def test_the_worker_does_not_recheck_duplicates(declare, user):
    declare(ShopEvents.NEWSLETTER, channels=["email"], dedup_keys=())
    send(user, event=ShopEvents.NEWSLETTER)
    Worker(workers=1).drain()
    assert Delivery.objects.get().state == "sent"


def test_a_worker_deletes_old_fingerprints_in_small_steps(declare):
    with travelling() as clock:
        send(UserFactory.create_batch(5))
        clock.forward(seconds=900 + 3600 - 1)
        assert Fingerprint.objects.delete_ended(clock()) == 0
        clock.forward(seconds=1)
        assert Fingerprint.objects.delete_ended(clock(), limit=2) == 2
        Worker(workers=1).drain()
        assert not Fingerprint.objects.exists()


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="about the planner of PostgreSQL")
def test_duplicates_are_found_in_few_steps_if_the_planner_expects_empty_tables(declare):
    """After an ANALYZE that has found only dead rows, PostgreSQL expects no rows, even if the table grows."""
    users = UserFactory.create_batch(400)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pg_class SET relpages = 1, reltuples = 0 WHERE relname LIKE 'klaxon_%'")
    send(users)
    before = visited_deliveries()
    assert figures(send(users)) == (0, {"duplicate": 800})
    assert visited_deliveries() - before < 400 * 800 * 2


def visited_deliveries():
    """Return how many rows of the table the statements of this transaction have read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
            " WHERE relname = 'klaxon_delivery'"
        )
        return cursor.fetchone()[0]

"""Duplicates within the deduplication window of their event. They are dropped on all channels of a recipient."""

from datetime import timedelta
from enum import Enum
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.delivering.workers.worker import Worker
from notifications.digests import make_due
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Delivery, Fingerprint, Notification, NotificationLog, UserSettings
from notifications.models.fingerprint import UNSUCCESSFUL_STATES
from notifications.outcomes import WAITING, DeliveryState
from notifications.recipients import Address, Members
from notifications.storage.insert import MAX_INSERT_ROWS
from notifications.testing import temporary_events, travelling
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
MEDIUM, CRITICAL = NotificationPriority.MEDIUM, NotificationPriority.CRITICAL


class Alarms(Enum):
    SMOKE = "smoke"
    WATER = "water"


@pytest.fixture
def declare():
    with temporary_events() as events:

        def declare(member=Alarms.SMOKE, priority=MEDIUM, channels=("email", "app"), window=900, **more):
            more = {"dedup_keys": ("room",), **more}
            events[member] = NotificationEvent(member.value, priority, channels, dedup_window=window, **more)

        declare()
        yield declare


@pytest.fixture
def user():
    return UserFactory()


def send(recipients, room="hall", event=Alarms.SMOKE, cluster=None, **options):
    return NotificationManager.send(event, recipients, cluster, {"room": room, "seen": 1}, **options)


def figures(result):
    return result.queued, dict(result.reasons)


SERVED, DROPPED = (2, {}), (0, {"duplicate": 2})


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
    with CaptureQueriesContext(connection) as asked:
        send(recipients)
    return about_fingerprints(asked)


def about_fingerprints(asked):
    return len([query for query in asked if "klaxon_fingerprint" in query["sql"]])


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
    with CaptureQueriesContext(connection) as asked:
        results = [send(recipients(), **options()) for _ in range(2)]
    assert all(result.queued + result.held >= 2 and not result.reasons for result in results)
    assert about_fingerprints(asked) == 0
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


@pytest.mark.parametrize("state", DeliveryState.values)
def test_the_key_is_released_if_the_first_was_not_sent(declare, user, state):
    first = send(user)
    Delivery.objects.filter(channel="email").update(state="dead")
    assert figures(send(user)) == DROPPED, "one channel may still reach them"
    Delivery.objects.filter(channel="app").update(state=state)
    expected = SERVED if state in UNSUCCESSFUL_STATES else DROPPED
    second = send(user)
    assert figures(second) == expected
    now_first = second if expected == SERVED else first
    assert Fingerprint.objects.get().notification_id == now_first.notification_id
    assert figures(send(user)) == DROPPED


def test_the_first_of_one_recipient_does_not_block_another(declare):
    lucky, unlucky = UserFactory(), UserFactory()
    send([lucky, unlucky])
    Delivery.objects.filter(recipient=unlucky).update(state="expired")
    second = send([lucky, unlucky])
    assert figures(second) == (2, {"duplicate": 2})
    assert set(Delivery.objects.filter(notification=second.notification_id).values_list("recipient", flat=True)) == {
        unlucky.pk
    }


def test_cancelling_the_first_releases_the_key(declare, user):
    send(user, cancel_key="false alarm")
    NotificationManager.cancel(None, "false alarm")
    assert figures(send(user)) == SERVED


def test_a_first_that_was_cancelled_while_claimed_releases_the_key_once_it_waits_again(declare, user):
    send(user, cancel_key="false alarm")
    Delivery.objects.update(state="claimed")
    NotificationManager.cancel(None, "false alarm")
    assert figures(send(user)) == DROPPED, "it may be on its way"
    Delivery.objects.update(state="retry")
    assert figures(send(user)) == SERVED


@pytest.mark.parametrize("state", WAITING)
def test_an_expired_first_releases_the_key_before_a_worker_sees_it(declare, user, state):
    with travelling() as clock:
        send(user, expires_at=clock() + timedelta(minutes=5))
        Delivery.objects.update(state=state)
        clock.forward(minutes=5, microseconds=-1)
        assert figures(send(user)) == DROPPED
        assert not NotificationManager.explain(Alarms.SMOKE, user, None, {"room": "hall", "seen": 1}).reaches
        clock.forward(microseconds=1)
        assert NotificationManager.explain(Alarms.SMOKE, user, None, {"room": "hall", "seen": 1}).reaches
        assert figures(send(user)) == SERVED


@pytest.mark.parametrize("state", ["claimed", "sending", "unknown", "sent"])
def test_a_first_that_expired_after_it_was_claimed_counts(declare, user, state):
    with travelling() as clock:
        send(user, expires_at=clock() + timedelta(minutes=5))
        Delivery.objects.update(state=state)
        clock.forward(minutes=5)
        assert figures(send(user)) == DROPPED


def test_a_first_that_is_held_past_its_expiry_releases_the_key(declare, user):
    with travelling() as clock:
        send(user, send_at=clock() + timedelta(minutes=5), expires_at=clock() + timedelta(minutes=10))
        assert figures(send(user)) == DROPPED
        Delivery.objects.update(due_at=clock() + timedelta(minutes=10), reason="quiet_hours")
        assert figures(send(user)) == SERVED


def batch_of_two(declare, user, **more):
    """Send two alarms of a batch. Yield the delivery of the batch, then whether the first alarm's key is released."""
    declare(channels=["email"], batch_window=300, **more)
    with travelling() as clock:
        send(user, "hall"), send(user, "attic")
        clock.forward(minutes=6)
        make_due()
        assert figures(send(user, "hall")) == (0, {"duplicate": 1})
        yield Delivery.objects.get(notification__gathers="batch")
        yield send(user, "hall").held == 1


@pytest.mark.parametrize("state", DeliveryState.values)
def test_a_batch_item_releases_the_key_if_the_batch_was_not_sent(declare, user, state):
    story = batch_of_two(declare, user)
    Delivery.objects.filter(pk=next(story).pk).update(state=state)
    is_free = next(story)
    assert is_free == (state in UNSUCCESSFUL_STATES)


def test_a_batch_item_counts_if_the_fallback_channel_has_the_batch(declare, user):
    story = batch_of_two(declare, user, fallback={"email": "app"})
    whole = next(story)
    Delivery.objects.filter(pk=whole.pk).update(state="dead")
    Delivery.build(whole.notification, "app", f"u:{user.pk}", "", recipient=user).save()
    is_free = next(story)
    assert not is_free


@pytest.mark.parametrize(("state", "frees"), [("retry", True), ("ready", True), ("sending", False), ("sent", False)])
@pytest.mark.parametrize("called_off", ["cancelled_at", "expires_at"])
def test_a_cancelled_item_leaves_a_waiting_batch_and_releases_the_key(declare, user, called_off, state, frees):
    story = batch_of_two(declare, user)
    Delivery.objects.filter(pk=next(story).pk).update(state=state)
    Notification.objects.filter(gathers="").update(**{called_off: timezone.now() - timedelta(days=1)})
    is_free = next(story)
    assert is_free == frees


def test_an_item_of_a_deleted_batch_counts(declare, user):
    story = batch_of_two(declare, user)
    next(story).notification.delete()
    is_free = next(story)
    assert not is_free


def test_a_delivery_to_the_log_does_not_count(declare, user):
    declare(channels=["email", "log"])
    narrowed = send(user, channels=["log"])
    assert (figures(narrowed), Fingerprint.objects.count()) == ((1, {}), 0)
    assert figures(send(user)) == (2, {})
    Delivery.objects.filter(channel="email").update(state="dead")
    assert figures(send(user)) == (2, {})
    assert figures(send(user)) == (0, {"duplicate": 2})


def test_a_delivery_to_the_log_counts_if_it_is_the_only_channel(declare, user):
    declare(channels=["log"])
    assert [figures(send(user)) for _ in range(2)] == [(1, {}), (0, {"duplicate": 1})]


def test_a_resent_dead_letter_counts_again(declare, user):
    send(user)
    Delivery.objects.update(state="dead")
    Delivery.objects.reopen()
    assert figures(send(user)) == DROPPED


def test_a_delivery_on_a_fallback_channel_counts(declare, user):
    declare(channels=["email"], fallback={"email": "app"})
    send(user)
    first = Notification.objects.get()
    Delivery.objects.update(state="dead")
    Delivery.build(first, "app", f"u:{user.pk}", "", recipient=user).save()
    assert figures(send(user)) == (0, {"duplicate": 1})


def test_a_deleted_first_does_not_count(declare, user):
    send(user)
    Notification.objects.all().delete()
    assert figures(send(user)) == SERVED


def test_a_held_delivery_counts(declare, user):
    with travelling() as clock:
        held = send(user, send_at=clock() + timedelta(hours=1))
        assert held.held == 2
        assert figures(send(user)) == DROPPED


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

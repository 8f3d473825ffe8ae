"""The statements of the outbox: claims, fences, leases."""

from datetime import timedelta

import pytest
from django.db import connection

from notifications.core import clock
from notifications.events import NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Delivery
from notifications.outcomes import DeliveryState
from notifications.storage.outbox import WAITS_ALONE_SQL, WAITS_FOR_DIGEST_SQL, LostClaim, StateChange
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def now():
    return clock.now()


def queue(count=3, **options):
    """Queue an email to each of ``count`` users and return all deliveries."""
    NotificationManager.send(
        ShopEvents.ORDER_SHIPPED,
        UserFactory.create_batch(count),
        None,
        {"order_number": "7"},
        channels=["email"],
        **options,
    )
    return list(Delivery.objects.order_by("pk"))


def claim(now, limit=10, **options):
    return Delivery.objects.claim("worker", now + MINUTE, limit, **options)


def take_back(now, died=1):
    found = Delivery.objects.find_suspects([], now)
    return Delivery.objects.take_back([LostClaim(pk, fence, died) for pk, fence, _owner in found], now)


def settle(row, now, state=DeliveryState.DROPPED, was=DeliveryState.CLAIMED):
    return Delivery.objects.settle([StateChange(row.pk, row.fence, was, state, provider_message_id="id")], now)


def test_a_claim_sets_owner_lease_and_fence(now):
    queue(1)
    [row] = claim(now)
    assert (row.state, row.owner, row.lease, row.fence) == ("claimed", "worker", now + MINUTE, 1)


def test_no_row_is_claimed_twice(now):
    rows = queue(3)
    assert {row.pk for row in claim(now, limit=2)} | {row.pk for row in claim(now)} == {row.pk for row in rows}
    assert claim(now) == []


def test_the_highest_score_is_claimed_first_then_the_oldest(now):
    low = queue(2, priority=NotificationPriority.LOW)
    high = queue(1, priority=NotificationPriority.HIGH)[-1]
    assert [row.pk for row in claim(now)] == [high.pk, low[0].pk, low[1].pk]


def test_a_claim_can_be_limited_to_some_notifications(now):
    first, second = queue(1)[0], queue(1)[-1]
    assert [row.pk for row in claim(now, notification_ids=[second.notification_id])] == [second.pk]
    assert [row.pk for row in claim(now)] == [first.pk]


def test_only_rows_with_a_matching_fence_are_marked_as_sending(now):
    queue(2)
    kept, lost = claim(now)
    Delivery.objects.filter(pk=lost.pk).update(fence=9)
    assert Delivery.objects.mark_sending([kept, lost], now + MINUTE) == {kept.pk}
    kept.refresh_from_db()
    assert (kept.state, kept.attempts) == ("sending", 1)


def test_settling_writes_every_outcome_in_one_statement(now, django_assert_num_queries):
    queue(3)
    rows = claim(now)
    Delivery.objects.mark_sending(rows[:2], now + MINUTE)
    changes = [
        StateChange(rows[0].pk, 1, "sending", "sent", provider="smtp", provider_message_id="<1@x>"),
        StateChange(rows[1].pk, 1, "sending", "retry", reason="temporary", due_at=now + MINUTE),
        StateChange(rows[2].pk, 1, "claimed", "dead", reason="permanent"),
    ]
    with django_assert_num_queries(1):
        assert len(Delivery.objects.settle(changes, now)) == 3
    sent, retry, dead = Delivery.objects.order_by("pk")
    assert (sent.state, sent.provider_message_id, sent.settled_at, sent.owner, sent.lease) == (
        "sent", "<1@x>", now, "", None,
    )  # fmt: skip
    assert (retry.state, retry.due_at, retry.settled_at) == ("retry", now + MINUTE, None)
    assert (dead.state, dead.reason, dead.settled_at) == ("dead", "permanent", now)


def test_a_stale_fence_settles_nothing(now):
    queue(1)
    [row] = claim(now)
    take_back(now + 2 * MINUTE)
    assert settle(row, now) == set()
    row.refresh_from_db()
    assert row.state == DeliveryState.READY


def test_a_late_outcome_never_changes_a_final_state(now):
    queue(1)
    [row] = claim(now)
    assert settle(row, now) == {row.pk}
    assert settle(row, now, DeliveryState.DEAD) == set()
    row.refresh_from_db()
    assert row.state == DeliveryState.DROPPED


def test_a_claimed_row_is_ready_again_when_the_lease_expires(now):
    queue(1)
    claim(now)
    assert take_back(now) == []
    [row] = take_back(now + 2 * MINUTE)
    assert (row.state, row.reason, row.strikes, row.fence) == ("ready", "worker_lost", 0, 2)


def test_a_row_that_was_being_sent_is_unknown_when_the_lease_expires(now):
    queue(1)
    Delivery.objects.mark_sending(claim(now), now + MINUTE)
    [row] = take_back(now + 2 * MINUTE)
    assert (row.state, row.reason, row.strikes) == ("unknown", "lost_contact", 0)


def try_alone(now, died=1):
    [row] = claim(now)
    assert Delivery.objects.begin_trial(row)
    [row] = take_back(now + 2 * MINUTE, died)
    return row


def test_a_row_is_dead_after_the_third_worker_died_during_its_trial(now):
    queue(1)
    assert [try_alone(now).strikes for _ in range(2)] == [1, 2]
    row = try_alone(now)
    assert (row.state, row.reason, row.settled_at) == ("dead", "strikes", now + 2 * MINUTE)


def test_a_row_that_was_only_claimed_gets_no_strike(now):
    queue(1)
    for _ in range(10):
        claim(now)
        [row] = take_back(now + 2 * MINUTE)
    assert (row.state, row.strikes, row.needs_trial) == ("ready", 0, True)


def test_a_live_worker_causes_no_strike(now):
    queue(1)
    row = try_alone(now, died=0)
    assert (row.state, row.strikes) == ("ready", 0)


def test_settling_removes_the_strike_that_was_counted_in_advance(now):
    queue(1)
    [row] = claim(now)
    assert Delivery.objects.begin_trial(row)
    Delivery.objects.mark_sending([row], now + MINUTE)
    Delivery.objects.settle([StateChange(row.pk, row.fence, "sending", "retry", "temporary", now)], now)
    row.refresh_from_db()
    assert (row.state, row.reason, row.strikes) == ("retry", "temporary", 0)


def test_a_trial_with_an_old_fence_does_not_begin(now):
    queue(1)
    [row] = claim(now)
    take_back(now + 2 * MINUTE)
    assert not Delivery.objects.begin_trial(row)


def test_rows_of_a_lost_worker_are_suspect_before_their_lease_expires(now):
    [row] = queue(1)
    claim(now)
    assert Delivery.objects.find_suspects([], now) == []
    assert Delivery.objects.find_suspects(["worker"], now) == [(row.pk, 1, "worker")]


def test_only_claimed_rows_that_are_not_being_sent_are_renewed(now):
    queue(2)
    begun, waiting = claim(now)
    Delivery.objects.mark_sending([begun], now + MINUTE)
    assert Delivery.objects.renew_leases("worker", [begun.pk, waiting.pk], now + 5 * MINUTE) == 1
    assert Delivery.objects.renew_leases("worker", [], now + 9 * MINUTE) == 0
    assert Delivery.objects.renew_leases("another", [waiting.pk], now + 9 * MINUTE) == 0
    waiting.refresh_from_db()
    assert waiting.lease == now + 5 * MINUTE


def test_the_oldest_can_be_claimed_first(now):
    low = queue(1, priority=NotificationPriority.LOW)[0]
    queue(1, priority=NotificationPriority.HIGH)
    [row] = claim(now, limit=1, oldest_first=True)
    assert row.pk == low.pk


def test_an_unknown_transition_is_an_error(now):
    queue(1)
    [row] = claim(now)
    with pytest.raises(ValueError, match="A delivery cannot change from 'claimed' to 'sent'"):
        settle(row, now, DeliveryState.SENT)


def test_due_rows_are_released_and_others_wait(now):
    queue(1, send_at=now + MINUTE)
    assert Delivery.objects.get().state == DeliveryState.HELD
    assert Delivery.objects.release_due(now) == 0
    assert Delivery.objects.release_due(now + MINUTE) == 1
    assert Delivery.objects.get().state == DeliveryState.READY


@pytest.mark.parametrize("joins", ["any", "nested loops"])
def test_a_release_is_limited(now, joins):
    queue(6, send_at=now + MINUTE)
    if joins != "any" and connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for other in ("hashjoin", "mergejoin", "hashagg", "sort", "material", "indexscan", "bitmapscan"):
                cursor.execute(f"SET LOCAL enable_{other} = off")
    assert Delivery.objects.release_due(now + MINUTE, limit=2) == 2


def test_cancelling_affects_only_rows_that_no_worker_has_claimed(now):
    queue(2)
    claim(now, limit=1)
    assert Delivery.objects.all().cancel(now) == 1
    assert sorted(Delivery.objects.values_list("state", flat=True)) == ["cancelled", "claimed"]


def test_a_reopened_row_starts_a_new_epoch_and_keeps_its_fence(now):
    queue(1)
    [row] = claim(now)
    settle(row, now, DeliveryState.DEAD)
    assert Delivery.objects.all().reopen(now) == 1
    row.refresh_from_db()
    assert (row.state, row.epoch, row.attempts, row.strikes, row.fence) == ("ready", 1, 0, 0, 1)
    assert row.idempotency_key == f"{row.pk}-1"


def test_a_sent_row_is_never_reopened(now):
    queue(1)
    [row] = claim(now)
    settle(row, now)
    assert Delivery.objects.all().reopen(now) == 0


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("state = 'ready' ORDER BY score DESC, id LIMIT 10", "klaxon_delivery_ready"),
        ("state = 'ready' ORDER BY id LIMIT 10", "klaxon_delivery_oldest"),
        (f"{WAITS_ALONE_SQL} AND due_at <= '2026-01-01' ORDER BY due_at LIMIT 10", "klaxon_delivery_due"),
        (f"{WAITS_FOR_DIGEST_SQL} AND due_at <= '2026-01-01' ORDER BY due_at LIMIT 10", "klaxon_delivery_digest_due"),
        (f"{WAITS_FOR_DIGEST_SQL} AND recipient_key IN ('u:1', 'u:2')", "klaxon_delivery_digest_key"),
        ("state IN ('claimed', 'sending') AND lease < '2026-01-01'", "klaxon_delivery_lease"),
    ],
)
def test_the_queries_of_workers_use_their_partial_index(where, index):
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # PostgreSQL reads a few rows faster with other plans; the plan for a million rows matters.
            cursor.execute(
                "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"
            )
        cursor.execute(f"{explain} SELECT id FROM klaxon_delivery WHERE {where}")
        plan = str(cursor.fetchall())
    assert index in plan

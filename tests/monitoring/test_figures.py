"""Figures agree with the log: what is written together, moved later, and read in one snapshot."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from notifications.manager import NotificationManager
from notifications.models import Delivery, Figure, FigureDelta, Notification, NotificationLog
from notifications.monitoring.figures import count_recent_outcomes, delete_expired, move_all
from notifications.outcomes import Verdict
from notifications.sending.resend import reopen
from notifications.storage import figures as statements
from notifications.storage.figures import TOTAL, read_hours, read_totals
from tests.delivering.conftest import scripted_channel  # noqa: F401 - a fixture
from tests.delivering.scripted import ScriptedChannel, dispatch, refuse_orders
from tests.factories import ClusterFactory, UserFactory
from tests.monitoring.scrapes import logged
from tests.shop.notification_events import ShopEvents

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("scripted_channel")]
NOON = datetime(2030, 1, 15, 12, 30, tzinfo=UTC)


def counted() -> dict:
    return {(key.kind, key.channel, key.provider, key.outcome): sums[0] for key, sums in read_totals("default").items()}


def row(at=NOON, **fields):
    values = {"kind": "attempt", "channel": "log", "success": True, "duration": 0.5, "sent_at": at, **fields}
    latency, band = values.pop("latency", 0.0), values.pop("band", "high")
    made = NotificationLog(event="order_refused", recipient_key="u:1", **values)
    made.latency, made.band = latency, band
    return made


def test_attempts_and_drops_are_counted_as_they_are_logged():
    ScriptedChannel.answers = [Verdict.ACCEPTED, Verdict.PERMANENT, Verdict.TEMPORARY]
    refuse_orders(3)
    NotificationManager.send(ShopEvents.ORDER_REFUSED, [UserFactory(is_active=False)], None, {})
    dispatch()
    assert counted() == dict(logged())
    assert counted()["attempt", "log", "script", "sent"] == 1
    assert counted()["drop", "log", "", "inactive"] == 1


def test_a_rollback_counts_nothing():
    with transaction.atomic():
        NotificationLog.objects.append([row()])
        transaction.set_rollback(True)
    assert (FigureDelta.objects.count(), NotificationLog.objects.count()) == (0, 0)


def test_notes_are_not_counted():
    NotificationLog.objects.append([row(kind="note"), row(kind="resent")])
    assert not FigureDelta.objects.exists()


def test_equal_rows_are_one_delta_with_sums_and_a_histogram():
    NotificationLog.objects.append([row(latency=seconds) for seconds in (0.5, 1, 4, 29, 59, 299, 3599, 4000)])
    delta = FigureDelta.objects.get()
    assert (delta.count, delta.call_seconds, delta.latency_seconds) == (8, 4.0, 7991.5)
    within = (delta.within_1, delta.within_5, delta.within_30, delta.within_60, delta.within_300, delta.within_3600)
    assert within == (2, 3, 4, 5, 6, 7)
    assert (delta.hour, delta.band, delta.outcome) == (NOON.replace(minute=0), "high", "sent")


def test_moving_changes_no_sum_and_leaves_no_delta():
    clusters = ClusterFactory.create_batch(2)
    for cluster_id in (None, *(cluster.pk for cluster in clusters)):
        for at in (NOON, NOON + timedelta(hours=1)):
            NotificationLog.objects.append(
                [row(at, cluster_id=cluster_id, latency=2.0), row(at, cluster_id=cluster_id)]
            )
            NotificationLog.objects.append([row(at, success=False, reason="temporary", cluster_id=cluster_id)])
    before = read_totals("default")
    assert move_all(NOON) == 12
    assert read_totals("default") == before
    assert not FigureDelta.objects.exists()
    assert move_all(NOON) == 0
    NotificationLog.objects.append([row()])
    move_all(NOON)
    assert Figure.objects.get(hour=TOTAL, outcome="sent").count == 13
    assert Figure.objects.get(hour=NOON.replace(minute=0), cluster=None, outcome="sent").count == 3
    assert Figure.objects.between(NOON - timedelta(hours=1), NOON).filter(cluster=clusters[0]).count() == 2
    [sums] = Figure.objects.totals().filter(outcome="sent").summed_by("channel")
    assert (sums["channel"], sums["count"], sums["within_5"]) == ("log", 13, 13)


@pytest.mark.parametrize("step", ["_add_to_table", "_build_insert"])
def test_a_move_that_breaks_off_changes_nothing(step, monkeypatch):
    NotificationLog.objects.append([row(), row(success=False, reason="temporary", cluster_id=ClusterFactory().pk)])
    before = read_totals("default")
    original, calls = getattr(statements, step), []

    def break_off(*args, **options):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return original(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(statements, step, break_off)
        with pytest.raises(KeyboardInterrupt):
            statements.move_deltas("default")
    assert read_totals("default") == before
    assert (FigureDelta.objects.count(), Figure.objects.count()) == (2, 0)


def test_more_deltas_than_one_transaction_moves_are_moved_too(monkeypatch):
    monkeypatch.setattr("notifications.monitoring.figures.keeping.MOVE_LIMIT", 2)
    for _ in range(5):
        NotificationLog.objects.append([row()])
    assert move_all(NOON) == 5
    assert Figure.objects.get(hour=TOTAL).count == 5


def test_a_call_for_several_channels_that_is_refused_has_one_label():
    NotificationLog.objects.append([row(kind="drop", success=False, reason="queue_full", channel="app, email")])
    assert list(counted()) == [("drop", "several", "", "queue_full")]


def test_outcomes_of_a_day_include_what_is_not_moved():
    for hours, number in ((0, 1), (23, 2), (24, 4)):
        NotificationLog.objects.append([row(NOON - timedelta(hours=hours)) for _ in range(number)])
        move_all(NOON)
    NotificationLog.objects.append([row(success=False, reason="permanent"), row(kind="drop", success=False)])
    assert count_recent_outcomes("default", NOON) == (3, 1)
    assert sum(sums[0] for sums in read_hours("default", NOON, NOON + timedelta(hours=1)).values()) == 0


def test_old_hours_are_deleted_and_totals_stay():
    for days in (0, 500):
        NotificationLog.objects.append([row(NOON - timedelta(days=days))])
    move_all(NOON)
    assert delete_expired(NOON) == 1
    assert Figure.objects.get(hour=TOTAL).count == 2
    assert Figure.objects.exclude(hour=TOTAL).get().hour == NOON.replace(minute=0)


class TestLatency:
    """It counts from the time at which a delivery was due."""

    def latency(self) -> float:
        return FigureDelta.objects.get(outcome="sent").latency_seconds

    def test_of_a_new_delivery_counts_from_its_send(self):
        refuse_orders(1)
        Notification.objects.update(created_at=timezone.now() - timedelta(seconds=40))
        dispatch()
        assert 40 <= self.latency() < 50

    def test_of_a_scheduled_delivery_counts_from_its_time(self):
        now = timezone.now()
        refuse_orders(1, send_at=now + timedelta(hours=2))
        Notification.objects.update(created_at=now - timedelta(hours=2), send_at=now - timedelta(seconds=20))
        Delivery.objects.update(due_at=now - timedelta(seconds=20))
        dispatch()
        assert 20 <= self.latency() < 30

    def test_of_a_held_delivery_counts_from_the_end_of_its_hold(self):
        refuse_orders(1)
        Notification.objects.update(created_at=timezone.now() - timedelta(hours=8))
        Delivery.objects.update(state="held", reason="quiet_hours", due_at=timezone.now() - timedelta(seconds=20))
        dispatch()
        assert 20 <= self.latency() < 30

    def test_of_a_retry_includes_the_wait(self):
        ScriptedChannel.answers = [Verdict.TEMPORARY]
        refuse_orders(1)
        dispatch()
        Notification.objects.update(created_at=timezone.now() - timedelta(seconds=70))
        Delivery.objects.update(due_at=timezone.now())
        dispatch()
        assert 70 <= self.latency() < 80

    def test_of_a_resent_delivery_counts_from_the_resend(self):
        ScriptedChannel.answers = [Verdict.PERMANENT]
        refuse_orders(1)
        dispatch()
        Notification.objects.update(created_at=timezone.now() - timedelta(hours=9))
        reopen(Delivery.objects.all(), "again")
        dispatch()
        assert self.latency() < 10

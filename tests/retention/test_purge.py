"""The purge: it deletes what is old and ended, and nothing that anything may still need."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models.signals import post_delete

from notifications.delivering.dispatcher import Dispatcher
from notifications.digests import make_due
from notifications.manager import NotificationManager
from notifications.models import (
    Acknowledgement,
    AttachedFile,
    CanDevice,
    Cluster,
    Delivery,
    EscalationEntry,
    EscalationRun,
    Fingerprint,
    InboxFeed,
    InboxItem,
    LogPersonal,
    Notification,
    NotificationLog,
    PreferenceChange,
    TrackingEvent,
    TrackingFigure,
    WebhookAttempt,
    WebhookEndpoint,
)
from notifications.monitoring.retention import purge
from notifications.monitoring.retention.plan import build_steps
from notifications.monitoring.retention.purge import BackgroundPurge, Purge
from notifications.testing import travelling
from tests.factories import UserFactory, UserSettingsFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
START = datetime(2026, 6, 1, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
def fresh_purge():
    purge.BACKGROUND.reset()
    yield
    purge.BACKGROUND.reset()


@pytest.fixture
def time():
    with travelling(START) as clock:
        yield clock


def send(event=ShopEvents.NEWSLETTER, to=None, **options):
    return NotificationManager.send(event, to or UserFactory(), **options).notification_id


def run(**options):
    call_command("purge_notifications", "--at-once", *options.pop("arguments", ()))


def left():
    return set(Notification.objects.values_list("pk", flat=True))


def test_an_ended_notification_goes_with_everything_that_is_about_it(time):
    user = UserFactory()
    pk = send(ShopEvents.ORDER_SHIPPED, user, context={"order_number": "7", "eta": None})
    Dispatcher().run_until_idle()
    delivery = Delivery.objects.filter(notification=pk, channel="email").get()
    TrackingEvent.objects.create(key="x", delivery=delivery, kind="open", happened_at=time.time, recorded_at=time.time)
    Acknowledgement.objects.create(notification_id=pk, user=user, at=time.time)
    item = InboxItem.objects.get()
    time.forward(days=29)
    run()
    assert left() == {pk}
    time.forward(days=2)
    run()
    assert left() == set()
    for model in (Delivery, Acknowledgement, TrackingEvent):
        assert not model.objects.exists()
    # The inbox keeps its own text, and the log is kept for longer.
    item.refresh_from_db()
    assert (item.title, NotificationLog.objects.count()) != ("", 0)
    time.forward(days=60)
    run()
    assert not NotificationLog.objects.exists()
    assert not LogPersonal.objects.exists()
    assert InboxItem.objects.count() == 1


@pytest.mark.parametrize("state", ["held", "ready", "claimed", "sending", "retry", "unknown", "dead"])
def test_nothing_that_can_still_be_sent_is_deleted(time, state):
    pk = send(ShopEvents.ORDER_SHIPPED, context={"order_number": "7", "eta": None})
    rows = Delivery.objects.filter(notification=pk)
    rows.update(state="sent", settled_at=time.time)
    rows.filter(channel="email").update(state=state, settled_at=time.time)
    time.forward(days=80)
    run()
    assert (left(), rows.count()) == ({pk}, 2)
    rows.update(state="sent", settled_at=time.time)
    # The age counts from the end of the last delivery.
    run()
    assert left() == {pk}
    time.forward(days=31)
    run()
    assert left() == set()


def test_dead_letters_are_kept_for_longer(time):
    pk = send()
    Delivery.objects.update(state="dead", settled_at=time.time)
    time.forward(days=89)
    run()
    assert left() == {pk}
    time.forward(days=2)
    run()
    assert (left(), Delivery.objects.count()) == ({pk}, 0)
    # The notification has ended with its last dead letter.
    run()
    assert left() == set()


def test_items_stay_until_their_digest_has_ended(time):
    user = UserFactory()
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), digest="daily")
    items = {send(to=user), send(to=user)}
    time.forward(days=1)
    make_due(time.time, lambda: False)
    digest = Notification.objects.exclude(digest_kind="").get()
    assert Delivery.objects.filter(state="merged").count() == 2
    Delivery.objects.filter(notification=digest).update(state="dead", settled_at=time.time)
    time.forward(days=60)
    run()
    assert left() == items | {digest.pk}
    Delivery.objects.filter(notification=digest).update(state="sent")
    run()
    assert left() == set()


def test_an_escalation_keeps_its_notification_and_its_pages(time):
    pk, page = send(), send()
    Notification.objects.filter(pk=page).update(escalates=pk)
    Delivery.objects.update(state="sent", settled_at=time.time)
    values = {"event": "x", "pages": [], "repeat_every": timedelta(1), "base_at": time.time, "started_at": time.time}
    run_row = EscalationRun.objects.create(notification_id=pk, due_at=time.time, **values)
    entry = EscalationEntry.objects.create(run=run_row, at=time.time, kind="started")
    time.forward(days=60)
    run()
    assert left() == {pk, page}
    time.forward(days=60)
    run()
    assert EscalationEntry.objects.filter(pk=entry.pk).exists()
    EscalationRun.objects.update(state="resolved", due_at=None, ended_at=time.time)
    time.forward(days=31)
    run()
    assert (left(), EscalationRun.objects.count()) == (set(), 0)
    # The history of the escalation is kept as long as the log.
    assert not EscalationEntry.objects.filter(pk=entry.pk).exists()


def test_each_age_is_a_setting_and_none_keeps_for_ever(time, settings):
    names = ("NOTIFICATIONS", "LOG", "DEAD_LETTERS", "TRACKING_FIGURES", "WEBHOOK_ATTEMPTS", "CAN_STATE")
    user, cluster = UserFactory(), Cluster.objects.default()
    send(ShopEvents.ORDER_SHIPPED, user, context={"order_number": "7", "eta": None})
    Dispatcher().run_until_idle()
    endpoint = WebhookEndpoint.objects.create(cluster=cluster, url="https://x.example", created_at=time.time)
    WebhookAttempt.objects.create(endpoint=endpoint, at=time.time)
    figure = {"cluster": cluster, "event": "x", "metric": "sent", "count": 1}
    TrackingFigure.objects.create(day=time.time.date(), **figure)
    CanDevice.objects.create(bus="can0", source_address=1, first_seen_at=time.time, last_seen_at=time.time)
    UserSettingsFactory(user=user, cluster=cluster, digest="daily")
    kept = [Notification, NotificationLog, TrackingFigure, WebhookAttempt, CanDevice, PreferenceChange, InboxItem]
    settings.NOTIFICATIONS = {"RETENTION": dict.fromkeys(names)}
    time.forward(days=5000)
    run()
    assert all(model.objects.exists() for model in kept)
    short = {**dict.fromkeys(names, 2), "INBOX": 2, "PREFERENCE_CHANGES": 2}
    settings.NOTIFICATIONS = {"RETENTION": short}
    revision = InboxFeed.objects.get(user=user).revision
    run()
    assert [model.__name__ for model in kept if model.objects.exists()] == []
    assert InboxFeed.objects.get(user=user).revision > revision


def test_a_snoozed_item_stays_until_its_time_and_keeps_no_other_one(time, settings):
    settings.NOTIFICATIONS = {"RETENTION": {"INBOX": 2}}
    for _ in range(12):
        send(ShopEvents.ORDER_SHIPPED, UserFactory(), context={"order_number": "7", "eta": None})
    Dispatcher().run_until_idle()
    kept = set(InboxItem.objects.order_by("pk").values_list("pk", flat=True)[:11])
    InboxItem.objects.filter(pk__in=kept).update(snoozed_until=time.time + timedelta(days=9))
    time.forward(days=3)
    run(arguments=["--batch", "5"])
    assert set(InboxItem.objects.values_list("pk", flat=True)) == kept
    time.forward(days=7)
    run(arguments=["--batch", "5"])
    assert not InboxItem.objects.exists()


def test_the_history_of_a_long_escalation_keeps_no_other_one(time):
    values = {"event": "x", "pages": [], "repeat_every": timedelta(1), "base_at": time.time, "started_at": time.time}
    long, over = (
        EscalationRun.objects.create(notification_id=send(), due_at=due_at, state=state, **values)
        for due_at, state in ((time.time, "active"), (None, "resolved"))
    )
    for run_row in [long] * 11 + [over]:
        EscalationEntry.objects.create(run=run_row, at=time.time, kind="started")
    time.forward(days=100)
    run(arguments=["--batch", "5"])
    assert set(EscalationEntry.objects.values_list("run", flat=True)) == {long.pk}


def test_attachments_can_go_before_their_notification(time, settings):
    settings.NOTIFICATIONS = {"RETENTION": {"ATTACHMENTS": 2}}
    pk = send(attachments=[("a.txt", b"content", "text/plain")])
    Delivery.objects.update(state="sent", settled_at=time.time)
    time.forward(days=3)
    run()
    assert (left(), AttachedFile.objects.count()) == ({pk}, 0)
    assert Notification.objects.get().attachment_bytes == 0


def test_a_dry_run_counts_and_changes_nothing(time, capsys):
    for _ in range(3):
        send()
    Dispatcher().run_until_idle()
    time.forward(days=100)
    run(arguments=["--dry-run"])
    assert "Would delete: notifications and deliveries 6, log rows 3." in capsys.readouterr().out
    assert len(left()) == 3
    run()
    assert "Deleted: notifications and deliveries 6, log rows 3." in capsys.readouterr().out


def test_a_stopped_purge_goes_on(time):
    ids = [send() for _ in range(30)]
    Delivery.objects.update(state="sent", settled_at=time.time)
    time.forward(days=31)
    first = Purge(build_steps(time.time), 4)
    calls = iter(range(5))
    assert not first.run(lambda: next(calls, None) is None, pause_ratio=0)
    assert 0 < Delivery.objects.count() < 30
    assert left() == set(ids)
    run(arguments=["--batch", "4"])
    assert left() == set()


def test_a_transaction_deletes_no_more_than_the_batch(time, django_assert_max_num_queries):
    users = UserFactory.create_batch(50)
    send(to=users)
    Delivery.objects.update(state="sent", settled_at=time.time)
    time.forward(days=31)
    steps = Purge(build_steps(time.time), 20)
    most = 0
    while not steps.is_finished:
        most = max(most, steps.run_transaction().deleted)
    assert most == 20
    assert left() == set()


def test_receivers_of_the_site_see_what_is_deleted(time):
    seen, pk = [], send()
    Delivery.objects.update(state="sent", settled_at=time.time)

    def receive(instance, **kwargs):
        seen.append(type(instance))

    post_delete.connect(receive, sender=Delivery)
    post_delete.connect(receive, sender=Notification)
    try:
        time.forward(days=31)
        run()
    finally:
        post_delete.disconnect(receive, sender=Delivery)
        post_delete.disconnect(receive, sender=Notification)
    assert (seen, left()) == ([Delivery, Notification], set())
    assert pk


def test_what_has_its_own_end_is_deleted_too(time):
    Fingerprint.objects.create(key="x", recipient_key="u:1", notification_id=1, first_at=time.time, until=time.time)
    time.forward(days=1)
    run()
    assert not Fingerprint.objects.exists()


def test_a_worker_purges_in_small_slices_and_rests_afterwards(time):
    for _ in range(3):
        send()
    Delivery.objects.update(state="sent", settled_at=time.time)
    time.forward(days=31)
    worker = BackgroundPurge()
    for _ in range(50):
        worker.run(time.time, lambda: False)
    assert left() == set()
    send()
    Delivery.objects.update(state="sent", settled_at=time.time)
    time.forward(days=31)
    worker.run(time.time, lambda: False)
    assert len(left()) == 1


def test_a_worker_stops_at_once(time):
    send()
    Delivery.objects.update(state="sent", settled_at=time.time)
    time.forward(days=31)
    BackgroundPurge().run(time.time, lambda: True)
    assert len(left()) == 1


def test_critically_full_storage_ends_the_rest(time, settings):
    worker = BackgroundPurge()
    while worker.purge is not None or not worker._rests_until:
        worker.run(time.time, lambda: False)
    send()
    Delivery.objects.update(state="sent", settled_at=time.time)
    time.forward(days=31)
    settings.NOTIFICATIONS = {"STORAGE": {"LIMIT_BYTES": 1000}}
    worker._measured_at = float("-inf")
    worker.run(time.time, lambda: False)
    assert left() == set()


@pytest.mark.parametrize("arguments", [["--batch", "0"]])
def test_wrong_options_are_errors(arguments):
    with pytest.raises(CommandError, match="at least 1"):
        run(arguments=arguments)

"""Every page of the admin renders, is read-only, and needs as many queries for one row as for fifty."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin import site
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.text import capfirst

from notifications.admin.paging import BoundedPaginator
from notifications.core import clock
from notifications.models import (
    Acknowledgement,
    Alarm,
    Bucket,
    CanAlert,
    CanDevice,
    CanFault,
    Circuit,
    Cluster,
    Delivery,
    Heartbeat,
    InboxItem,
    LogPersonal,
    Mute,
    Notification,
    NotificationLog,
    Pause,
    PreferenceChange,
    SharedPreference,
    Suppression,
    TopicSubscription,
    TrackingEvent,
    UserSettings,
    allow_log_changes,
)
from notifications.recipients import Address
from tests.admin.conftest import customers, send

CHOSEN = (UserSettings, SharedPreference, Mute, PreferenceChange, TopicSubscription)
OPERATED = (Alarm, Bucket, Circuit, Heartbeat, Pause, Suppression, TrackingEvent)
ON_A_BUS = (CanAlert, CanDevice, CanFault)
SHOWN = (Notification, Delivery, NotificationLog, InboxItem, Acknowledgement, Cluster, *OPERATED, *CHOSEN, *ON_A_BUS)
READ_ONLY = (Notification, Delivery, NotificationLog, Bucket, PreferenceChange, Suppression, TrackingEvent, *ON_A_BUS)


def list_url(model: Any, **query: Any) -> str:
    return reverse(f"admin:klaxon_{model._meta.model_name}_changelist", query=query or None)


def page_url(model: Any, pk: Any, page: str = "change") -> str:
    return reverse(f"admin:klaxon_{model._meta.model_name}_{page}", args=[pk])


def create_rows_of_every_model(count: int, cluster: Cluster, prefix: str = "ann") -> None:
    users = customers(count, prefix)
    for user in users:
        send([user], dispatch=False, actor=user)
    send([], dispatch=True)
    UserSettings.objects.bulk_create(
        UserSettings(user=user, cluster=cluster, channels={"email": False}) for user in users
    )
    for user in users:
        Mute(user=user, cluster=cluster, kind="topic", value="sale").save(by=user)
    if not SharedPreference.objects.exists():
        SharedPreference.objects.create(cluster=cluster)
    now = clock.now()
    TopicSubscription.objects.bulk_create(
        TopicSubscription(user=user, cluster=cluster, topic="news", created_at=now) for user in users
    )
    notifications = Notification.objects.filter(actor__in=users).order_by("pk")
    Acknowledgement.objects.bulk_create(
        Acknowledgement(notification=row, user=row.actor, at=now) for row in notifications
    )
    Bucket.objects.bulk_create(
        Bucket(key=f"user:{cluster.pk}:u:{user.pk}", full_at=now, seen_at=now, promised_at=now) for user in users
    )
    Suppression.objects.suppress([("email", user.email) for user in users], "hard_bounce", now)
    deliveries = Delivery.objects.filter(recipient__in=users, channel="email")
    TrackingEvent.objects.bulk_create(
        TrackingEvent(key=f"{row.pk}", delivery=row, kind="bounced", happened_at=now, recorded_at=now)
        for row in deliveries
    )
    CanFault.objects.bulk_create(can_fault(user.username, raised_at=now, acknowledged_by=user) for user in users)
    CanAlert.objects.bulk_create(can_alert(user.username, begun_at=now, acknowledged_by=user) for user in users)
    CanDevice.objects.bulk_create(
        CanDevice(bus=user.username, source_address=1, first_seen_at=now, last_seen_at=now) for user in users
    )
    Pause.objects.bulk_create(Pause(channel=user.username, since=now) for user in users)
    Circuit.objects.bulk_create(Circuit(key=f"email {user.username}") for user in users)
    Alarm.objects.bulk_create(Alarm(cause=user.username, bad_since=now, degraded_at=now) for user in users)
    Heartbeat.objects.bulk_create(
        Heartbeat(owner=user.username, host="here", pid=1, started_at=now, beat_at=now) for user in users
    )


def can_fault(bus: str, *, raised_at: Any, **values: Any) -> CanFault:
    of_device = {"source_address": 0x44, "dsa": 0x45, "spn": 131, "fmi": 1, "problem": "below the normal range"}
    others = {"raised_at": raised_at, "last_seen_at": raised_at, "correlation_id": bus}
    return CanFault(bus=bus, protocol="rvc", severity=1, **{**of_device, **others, **values})


def can_alert(bus: str, *, begun_at: Any, **values: Any) -> CanAlert:
    times = {"begun_at": begun_at, "last_sent_at": begun_at}
    return CanAlert(bus=bus, rule="low_battery", severity=2, value="11.4 V", correlation_id=bus, **{**times, **values})


@pytest.mark.parametrize("model", SHOWN)
def test_every_list_and_every_page_renders(model: Any, boss: Client, cluster: Cluster) -> None:
    create_rows_of_every_model(2, cluster)
    assert boss.get(list_url(model)).status_code == 200
    for row in model.objects.all():
        assert boss.get(page_url(model, row.pk)).status_code == 200


@pytest.mark.parametrize("model", SHOWN)
def test_a_list_needs_as_many_queries_for_fifty_rows_as_for_one(model: Any, boss: Client, cluster: Cluster) -> None:
    create_rows_of_every_model(1, cluster, "bob")
    boss.get(list_url(model))
    with CaptureQueriesContext(connection) as for_one:
        boss.get(list_url(model))
    create_rows_of_every_model(50, cluster)
    with CaptureQueriesContext(connection) as for_fifty:
        boss.get(list_url(model))
    assert len(for_fifty) == len(for_one)


@pytest.mark.parametrize("model", READ_ONLY)
def test_the_outbox_and_the_log_are_read_only(model: Any, boss: Client, cluster: Cluster) -> None:
    create_rows_of_every_model(1, cluster)
    row = model.objects.first()
    assert boss.get(reverse(f"admin:klaxon_{model._meta.model_name}_add")).status_code == 403
    assert boss.post(page_url(model, row.pk), {}).status_code == 403
    assert boss.post(page_url(model, row.pk, "delete"), {"post": "yes"}).status_code == 403
    page = boss.get(page_url(model, row.pk))
    assert not page.context["has_change_permission"]
    assert "delete_selected" not in boss.get(list_url(model)).content.decode()


def test_the_docs_name_every_page() -> None:
    text = (Path(__file__).parents[2] / "docs/admin.md").read_text()
    listed = {row.split("|")[1].strip() for row in text.splitlines() if row.startswith("| ")}
    pages = {capfirst(model._meta.verbose_name_plural) for model in site._registry if model._meta.app_label == "klaxon"}
    assert pages - listed == set()


def test_an_inbox_item_can_be_deleted_but_not_changed(boss: Client, cluster: Cluster) -> None:
    create_rows_of_every_model(1, cluster)
    item = InboxItem.objects.get()
    assert boss.post(page_url(InboxItem, item.pk), {"title": "forged"}).status_code == 403
    assert boss.post(page_url(InboxItem, item.pk, "delete"), {"post": "yes"}).status_code == 302
    assert not InboxItem.objects.exists()


@pytest.mark.parametrize("model", SHOWN)
def test_staff_without_the_view_permission_see_nothing(model: Any, staff_with: Any, cluster: Cluster) -> None:
    assert staff_with().get(list_url(model)).status_code == 403


@pytest.mark.parametrize("model", [Delivery, NotificationLog])
def test_addresses_are_masked(model: Any, boss: Client, cluster: Cluster) -> None:
    send(customers(1))
    row = model.objects.get(channel="email")
    for url in (list_url(model), page_url(model, row.pk)):
        text = boss.get(url).content.decode()
        assert "a***@example.com" in text
        assert "ann0@example.com" not in text


def test_only_loggable_values_of_the_context_are_shown(boss: Client, cluster: Cluster) -> None:
    number = send(customers(1))
    Notification.objects.filter(pk=number).update(context={"order_number": "A-77", "code": "314159"})
    text = boss.get(page_url(Notification, number)).content.decode()
    assert "A-77" in text
    assert "314159" not in text


def test_the_page_of_a_notification_names_its_attachments(boss: Client, cluster: Cluster) -> None:
    number = send(customers(1), attachments=[("<b>.pdf", b"%PDF" * 512), ("a.csv", "x")])
    text = boss.get(page_url(Notification, number)).content.decode()
    assert "&lt;b&gt;.pdf (application/pdf, 2.0\xa0KB), a.csv (text/csv, 1\xa0byte)" in text


def test_the_page_of_a_notification_links_to_its_deliveries_by_state(boss: Client, cluster: Cluster) -> None:
    number = send(customers(3))
    assert f"?notification={number}&amp;state=sent" in boss.get(page_url(Notification, number)).content.decode()
    send(customers(2, "bob"))
    found = boss.get(list_url(Delivery, notification=number, state="sent")).context["cl"].result_count
    assert found == 6


def test_the_page_of_a_delivery_links_to_its_tracking_events(boss: Client, cluster: Cluster) -> None:
    create_rows_of_every_model(3, cluster)
    event = TrackingEvent.objects.latest("pk")
    text = boss.get(page_url(Delivery, event.delivery_id)).content.decode()
    url = list_url(TrackingEvent, delivery=event.delivery_id)
    assert url in text
    assert [row.pk for row in boss.get(url).context["cl"].result_list] == [event.pk]


def test_the_page_of_a_delivery_shows_its_attempts(boss: Client, cluster: Cluster) -> None:
    send(customers(1))
    text = boss.get(page_url(Delivery, Delivery.objects.get(channel="email").pk)).content.decode()
    assert "klaxon-history" in text
    assert '<th scope="col">outcome</th>' in text
    assert "accepted" in text


@pytest.mark.parametrize(
    ("term", "found"),
    [("ann1", 2), ("ann1@example.com", 2), ("nobody", 0), ("ann", 0), ("99999999999999999999", 0), ("u:x", 0)],
)
def test_deliveries_are_found_by_whole_words(term: str, found: int, boss: Client, cluster: Cluster) -> None:
    send(customers(3))
    assert boss.get(list_url(Delivery, q=term)).context["cl"].result_count == found


def test_deliveries_are_found_by_key_and_number(boss: Client, cluster: Cluster) -> None:
    users = customers(2)
    number = send(users)
    for term, found in ((f"u:{users[0].pk}", 2), (str(number), 4), (f"u:{users[0].pk} {number}", 2)):
        rows = boss.get(list_url(Delivery, q=term)).context["cl"].queryset
        assert rows.filter(notification=number).count() == found


def test_deliveries_to_a_bare_address_are_found_by_it(boss: Client, cluster: Cluster) -> None:
    send([Address(email="carl@example.com")])
    assert boss.get(list_url(Delivery, q="carl@example.com")).context["cl"].result_count == 1


def test_notifications_and_log_are_found_by_correlation_id(boss: Client, cluster: Cluster) -> None:
    send(customers(2), correlation_id="order-7")
    send(customers(1, "bob"))
    assert boss.get(list_url(Notification, q="order-7")).context["cl"].result_count == 1
    assert boss.get(list_url(NotificationLog, q="order-7")).context["cl"].result_count == 4


@pytest.mark.parametrize(
    ("model", "query", "found"),
    [
        (Delivery, {"channel": "email"}, 2),
        (Delivery, {"state": "dead"}, 0),
        (Notification, {"event": "order_shipped"}, 1),
        (NotificationLog, {"event": "store_on_fire"}, 0),
        (InboxItem, {"read": "no"}, 2),
        (InboxItem, {"read": "yes"}, 0),
    ],
)
def test_lists_are_filtered(model: Any, query: dict[str, str], found: int, boss: Client, cluster: Cluster) -> None:
    send(customers(2))
    assert boss.get(list_url(model, **query)).context["cl"].result_count == found


@pytest.mark.parametrize("model", [Notification, NotificationLog, InboxItem, UserSettings, TopicSubscription])
def test_lists_are_filtered_by_cluster(model: Any, boss: Client, cluster: Cluster) -> None:
    create_rows_of_every_model(1, cluster)
    other = Cluster.objects.create(name="Other", slug="other")
    assert boss.get(list_url(model, cluster=cluster.pk)).context["cl"].result_count > 0
    assert boss.get(list_url(model, cluster=other.pk)).context["cl"].result_count == 0
    assert boss.get(list_url(model, cluster="nonsense")).status_code == 302


def test_a_large_table_is_counted_up_to_a_limit(boss: Client, cluster: Cluster, monkeypatch: Any) -> None:
    monkeypatch.setattr(BoundedPaginator, "max_count", 60)
    send(customers(40))
    page = boss.get(list_url(Delivery))
    assert page.context["cl"].result_count == 60
    assert "More than 60 deliveries" in page.content.decode()
    assert boss.get(list_url(Delivery, p=2)).status_code == 200


def test_no_list_counts_the_whole_table(boss: Client, cluster: Cluster) -> None:
    create_rows_of_every_model(2, cluster)
    for model in (Notification, Delivery, NotificationLog, InboxItem, UserSettings, TopicSubscription):
        with CaptureQueriesContext(connection) as queries:
            boss.get(list_url(model))
        counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
        assert counts
        assert all("LIMIT" in sql for sql in counts)


def test_a_log_row_is_shown_after_related_rows_are_deleted(boss: Client, cluster: Cluster) -> None:
    send(customers(1))
    gone = dict.fromkeys(("recipient_id", "notification_id", "delivery_id", "cluster_id"), 999)
    with allow_log_changes("test"):
        NotificationLog.objects.update(**gone, recipient_key="u:999")
        LogPersonal.objects.all().delete()
    assert "u:999 (deleted)" in boss.get(list_url(NotificationLog)).content.decode()
    text = boss.get(page_url(NotificationLog, NotificationLog.objects.first().pk)).content.decode()
    assert text.count("999 (deleted)") == 4


def test_a_bucket_is_found_by_its_key(boss: Client, cluster: Cluster) -> None:
    create_rows_of_every_model(3, cluster)
    bucket = Bucket.objects.last()
    assert [row.pk for row in boss.get(list_url(Bucket, q=bucket.key)).context["cl"].result_list] == [bucket.pk]


@pytest.mark.parametrize("model", [Pause, Circuit, Heartbeat])
def test_a_key_that_no_row_can_have_is_not_found(boss: Client, model: Any) -> None:
    for page in ("change", "history", "delete"):
        assert boss.get(page_url(model, "\0", page)).status_code in (302, 403, 404)
    assert boss.get(list_url(model, pk="\0")).status_code == 302

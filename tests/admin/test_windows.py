"""Lists read a bounded number of rows, whatever the filters, the search and the URL ask for."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.admin_rows import fill
from notifications.admin import base, window
from notifications.admin.paging import BoundedPaginator
from notifications.core import clock
from notifications.models import Cluster, Delivery, InboxItem, Notification, NotificationLog, allow_log_changes
from tests.admin.conftest import customers, put_into, send
from tests.admin.test_pages import list_url

WINDOW = 20


@pytest.fixture
def small_window(monkeypatch: Any) -> None:
    monkeypatch.setattr(window, "WINDOW", WINDOW)
    monkeypatch.setattr(BoundedPaginator, "max_count", 10)


@pytest.fixture
def deliveries(cluster: Cluster, small_window: None) -> list[int]:
    """Sixty deliveries, of which the oldest two are by SMS."""
    send(customers(30), dispatch=False)
    keys = put_into("sent")
    Delivery.objects.filter(pk__in=keys[:2]).update(channel="sms")
    return keys


def listed(client: Client, url: str) -> list[int]:
    return [row.pk for row in client.get(url).context["cl"].result_list]


def test_a_filter_without_an_index_looks_at_the_newest_rows_first(boss: Client, deliveries: list[int]) -> None:
    page = boss.get(list_url(Delivery, channel="sms"))
    assert page.context["cl"].result_count == 0
    assert "The newest 20 deliveries were looked at." in page.content.decode()
    seen, steps = [], 0
    while page.context["cl"].older_url:
        page = boss.get(f"{list_url(Delivery)}{page.context['cl'].older_url}")
        assert "Back to the newest" in page.content.decode()
        seen += [row.pk for row in page.context["cl"].result_list]
        steps += 1
    assert seen == deliveries[1::-1]
    assert steps == 2
    assert listed(boss, f"{list_url(Delivery)}{page.context['cl'].newest_url}") == []


def test_older_windows_overlap_nowhere_and_leave_nothing_out(boss: Client, deliveries: list[int]) -> None:
    url, seen = list_url(Delivery, state="sent"), []
    while url:
        page = boss.get(url)
        changelist = page.context["cl"]
        seen += changelist.queryset.values_list("pk", flat=True)
        url = changelist.older_url and f"{list_url(Delivery)}{changelist.older_url}"
    assert seen == deliveries[::-1]


def test_a_filter_with_an_index_finds_the_oldest_row(boss: Client, deliveries: list[int]) -> None:
    Delivery.objects.filter(pk=deliveries[0]).update(state="dead")
    page = boss.get(list_url(Delivery, state="dead", channel="sms"))
    assert [row.pk for row in page.context["cl"].result_list] == deliveries[:1]
    assert page.context["cl"].window is None
    number = Delivery.objects.get(pk=deliveries[0]).notification_id
    assert Notification.objects.get().pk == number


def test_a_search_that_finds_much_looks_at_the_newest_rows(boss: Client, deliveries: list[int]) -> None:
    number = Notification.objects.get().pk
    page = boss.get(list_url(Delivery, q=str(number)))
    assert page.context["cl"].window == WINDOW
    assert page.context["cl"].result_list[0].pk == deliveries[-1]
    assert listed(boss, list_url(Delivery, q="ann0")) == deliveries[1::-1]


def test_a_list_without_a_filter_has_no_window(boss: Client, deliveries: list[int]) -> None:
    page = boss.get(list_url(Delivery))
    assert page.context["cl"].window is None
    assert "More than 10 deliveries" in page.content.decode()


def test_the_log_of_a_cluster_has_a_window_of_its_own(boss: Client, cluster: Cluster, small_window: None) -> None:
    other = Cluster.objects.create(name="Other", slug="other", open_to_all=True)
    send(customers(20))
    with allow_log_changes("test"):
        NotificationLog.objects.update(cluster_id=other.pk)
    send(customers(20, "bob"))
    assert NotificationLog.objects.count() == 80
    page = boss.get(list_url(NotificationLog, cluster=other.pk))
    assert page.context["cl"].result_count == 10
    assert {row.cluster_id for row in page.context["cl"].result_list} == {other.pk}


def test_a_range_of_time_moves_the_window(boss: Client, cluster: Cluster, small_window: None) -> None:
    old = send(customers(1), dispatch=False)
    Notification.objects.filter(pk=old).update(created_at=clock.now() - timedelta(days=90), topic="rare")
    for _ in range(WINDOW + 5):
        send([], dispatch=False)
    before = (clock.now() - timedelta(days=30)).isoformat()
    assert listed(boss, list_url(Notification, topic="rare")) == []
    assert listed(boss, list_url(Notification, topic="rare", created_at__lt=before)) == [old]


@pytest.mark.parametrize("order", ["1", "-2.1", "99"])
def test_the_url_cannot_sort_a_list(order: str, boss: Client, deliveries: list[int]) -> None:
    assert listed(boss, list_url(Delivery, o=order)) == listed(boss, list_url(Delivery))


def test_no_list_reads_the_distinct_dates_or_the_choices_of_a_table() -> None:
    for model_admin in admin.site._registry.values():
        if model_admin.opts.app_label == "klaxon":
            assert model_admin.date_hierarchy is None
            assert issubclass(model_admin.paginator, BoundedPaginator)
            assert not model_admin.show_full_result_count
            chosen = {*model_admin.raw_id_fields, *model_admin.autocomplete_fields, *model_admin.readonly_fields}
            editable = model_admin.opts.model._meta.get_fields()
            # The form of a cluster shows its members in pages.
            users = {one.name for one in editable if one.concrete and one.related_model is User} - {"members"}
            if type(model_admin).has_add_permission is admin.ModelAdmin.has_add_permission:
                assert users <= chosen, model_admin


def test_at_most_a_fixed_number_of_rows_is_deleted_at_once(boss: Client, cluster: Cluster, monkeypatch: Any) -> None:
    monkeypatch.setattr(base, "MAX_DELETED", 3)
    send(customers(4))
    keys = list(InboxItem.objects.values_list("pk", flat=True))
    data = {"action": "delete_selected", "_selected_action": keys[:1], "select_across": "1"}
    page = boss.post(list_url(InboxItem), data, follow=True)
    assert "At most 3 rows can be deleted at once." in page.content.decode()
    boss.post(list_url(InboxItem), {**data, "post": "yes"})
    assert InboxItem.objects.count() == 4
    InboxItem.objects.filter(pk=keys[0]).delete()
    assert "Are you sure" in boss.post(list_url(InboxItem), data).content.decode()


class TestManyRows:
    """Every request for deliveries and log entries on a few thousand rows whose rare values are in the oldest ones."""

    DELIVERIES = 1200

    @pytest.fixture(autouse=True)
    def _filled(self, db: None, monkeypatch: Any) -> None:
        monkeypatch.setattr(window, "WINDOW", 100)
        monkeypatch.setattr(BoundedPaginator, "max_count", 60)
        fill(self.DELIVERIES)

    def test_requests_need_as_many_queries_as_with_few_rows(self, boss: Client) -> None:
        for model in (Notification, Delivery, NotificationLog, InboxItem):
            with CaptureQueriesContext(connection) as queries:
                boss.get(list_url(model, q="nobody"))
            assert len(queries) <= 8

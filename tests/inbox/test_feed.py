"""The feed: nothing that commits is missed, nothing is read twice, and the counts are those of the database."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from notifications import signals
from notifications.inbox import feed
from notifications.inbox.feed import Cursor, load_feed
from notifications.inbox.membership import load_visible_clusters
from notifications.models import Cluster, InboxFeed, InboxItem
from tests.inbox.conftest import NOON

INBOX = "/notifications/inbox/"
FEED = f"{INBOX}feed.json"


def read_all(user: User, cursor: str, limit: int = 2) -> tuple[list[int], str]:
    """Return the ids of all items after a cursor, read page by page, and the next cursor."""
    found: list[int] = []
    while True:
        page = load_feed(user.pk, Cursor.parse(cursor), limit)
        found += [item["id"] for item in page["items"]]
        cursor = page["cursor"]
        if not page["has_more"]:
            return found, cursor


def test_the_first_page_has_the_newest_items_and_the_counts(browser: Client, ann: User, put: Any) -> None:
    rows = put(ann, 3)
    answer = browser.get(FEED, {"limit": 2}).json()
    assert [item["id"] for item in answer["items"]] == [rows[2].pk, rows[1].pk]
    assert answer["counts"] == {"total": 3, "clusters": {str(rows[0].cluster_id): 3}}
    assert (answer["revision"], answer["cursor"], answer["has_more"]) == (1, "1", True)


def test_each_change_is_read_once_in_its_order(ann: User, put: Any) -> None:
    first, second = put(ann, 2)
    _found, cursor = read_all(ann, "0")
    InboxItem.objects.filter(pk=second.pk).mark_read(NOON)
    InboxItem.objects.filter(pk=first.pk).archive(NOON)
    found, cursor = read_all(ann, cursor)
    assert found == [second.pk, first.pk]
    assert read_all(ann, cursor) == ([], cursor)


def test_a_large_transaction_is_read_in_pages(ann: User, put: Any) -> None:
    rows = put(ann, 7)
    assert read_all(ann, "0", limit=3) == ([row.pk for row in rows], "1")


def test_the_csrf_token_is_there_if_asked_for(ann: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ann)
    answer = browser.get(FEED)
    assert "token" not in answer.json()
    assert "csrftoken" not in answer.cookies, "the cookie is not renewed by each request"
    token = browser.get(FEED, {"token": "1"}).json()["token"]
    change = {"do": "read", "all": "1"}
    assert browser.post(f"{INBOX}change/", change).status_code == 403
    assert browser.post(f"{INBOX}change/", {**change, "csrfmiddlewaretoken": token}).status_code == 302


@pytest.mark.parametrize("since", ["", "-", "x", "1-", "-1", "1-x", "1.5", "9" * 30, "1-2-3", "٣"])
def test_a_malformed_cursor_is_a_bad_request(since: str, browser: Client) -> None:
    assert browser.get(FEED, {"since": since}).status_code == 400


@pytest.mark.parametrize("limit", ["0", "201", "x", "", "9" * 30])
def test_a_wrong_limit_is_a_bad_request(limit: str, browser: Client) -> None:
    assert browser.get(FEED, {"limit": limit}).status_code == 400


def test_a_user_who_is_not_signed_in_gets_an_error_and_no_page(client: Client, db: None) -> None:
    assert client.get(FEED).status_code == 403


def test_changes_send_a_signal_within_the_transaction(ann: User, bob: User, put: Any) -> None:
    put(ann)
    put(bob)
    heard = []

    def receive(*, user_ids: Any, using: str, **kwargs: Any) -> None:
        heard.append((sorted(user_ids), using, transaction.get_connection(using).in_atomic_block))

    signals.inbox_changed.connect(receive)
    InboxItem.objects.all().mark_read(NOON)
    InboxItem.objects.all().mark_read(NOON)
    signals.inbox_changed.disconnect(receive)
    assert heard == [(sorted([ann.pk, bob.pk]), "default", True)]


def test_a_change_of_several_users_gives_each_item_the_revision_of_its_user(ann: User, bob: User, put: Any) -> None:
    put(ann)
    put(ann)
    put(bob)
    assert InboxItem.objects.all().mark_read(NOON) == 3
    assert set(InboxItem.objects.of(ann).values_list("revision", flat=True)) == {3}
    assert set(InboxItem.objects.of(bob).values_list("revision", flat=True)) == {2}


def test_counts_agree_with_the_items_whatever_happens_to_them(ann: User, put: Any) -> None:
    rows = put(ann, 6)
    items = InboxItem.objects.of(ann)
    items.filter(pk=rows[0].pk).mark_read(NOON)
    items.filter(pk=rows[1].pk).archive(NOON)
    items.filter(pk=rows[2].pk).snooze(NOON + timedelta(days=36500), NOON)
    items.filter(pk=rows[3].pk).mark_seen(NOON)
    items.filter(pk=rows[4].pk).delete()
    assert load_feed(ann.pk)["counts"]["total"] == 2
    items.filter(pk=rows[0].pk).mark_unread()
    items.filter(pk=rows[1].pk).unarchive()
    items.filter(pk=rows[2].pk).unsnooze()
    assert load_feed(ann.pk)["counts"]["total"] == 5


def test_a_snoozed_item_is_counted_again_from_its_time_on(ann: User, put: Any, noon: Any) -> None:
    put(ann)
    InboxItem.objects.of(ann).snooze(noon + timedelta(minutes=31), noon)
    assert load_feed(ann.pk)["counts"]["total"] == 0
    InboxItem.objects.update(snoozed_until=noon + timedelta(minutes=30))
    assert load_feed(ann.pk)["counts"]["total"] == 1
    assert InboxItem.objects.wake_snoozed(noon + timedelta(minutes=30)) == 1
    assert InboxItem.objects.get().snoozed_until is None
    assert InboxFeed.objects.get(user=ann).revision == 3


def test_a_feed_takes_a_constant_number_of_queries(ann: User, put: Any) -> None:
    counts = []
    for number in range(3):
        cluster = Cluster.objects.create(name=f"{number}", slug=f"{number}", open_to_all=True)
        put(ann, 30, cluster=cluster)
        with CaptureQueriesContext(connection) as captured:
            load_feed(ann.pk, Cursor(0), 50)
        counts.append(len([query for query in captured if "clock_timestamp" not in query["sql"]]))
    assert counts == [6, 6, 6]


@pytest.mark.django_db(transaction=True)
def test_commits_in_the_reverse_order_of_ids_are_not_skipped() -> None:
    """A transaction that has the lower id commits last. Its items must be read by those who have read the others."""
    if connection.vendor == "sqlite":
        pytest.skip("Only one transaction can write at a time.")
    ann, bob = User.objects.create_user("ann"), User.objects.create_user("bob")
    cluster = Cluster.objects.default()
    has_inserted, may_commit = threading.Event(), threading.Event()

    def make(user: User, title: str) -> InboxItem:
        return InboxItem(recipient=user, cluster=cluster, event="e", priority=3, title=title, created_at=NOON)

    def write_slowly() -> None:
        try:
            with transaction.atomic():
                InboxItem.objects.add_items([make(bob, "slow")])
                has_inserted.set()
                assert may_commit.wait(10)
                InboxItem.objects.add_items([make(ann, "slow")])
        finally:
            connection.close()

    slow = threading.Thread(target=write_slowly)
    slow.start()
    assert has_inserted.wait(10)
    InboxItem.objects.add_items([make(ann, "fast")])
    found, cursor = read_all(ann, "0")
    may_commit.set()
    slow.join()
    assert len(found) == 1
    assert len(read_all(ann, cursor)[0]) == 1


@pytest.mark.django_db(transaction=True)
def test_a_reader_misses_nothing_while_many_transactions_commit() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("Only one transaction can write at a time.")
    ann, cluster = User.objects.create_user("ann"), Cluster.objects.default()
    writers = [threading.Thread(target=_write_many, args=(ann, cluster, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    found: list[int] = []
    cursor = "0"
    while any(writer.is_alive() for writer in writers):
        new, cursor = read_all(ann, cursor, limit=5)
        found += new
    found += read_all(ann, cursor)[0]
    assert sorted(found) == sorted(InboxItem.objects.values_list("pk", flat=True))
    assert len(found) == len(set(found)) == 100


def _write_many(user: User, cluster: Cluster, number: int) -> None:
    try:
        for count in range(25):
            item = InboxItem(recipient=user, cluster=cluster, event="e", priority=3, title="t", created_at=NOON)
            with transaction.atomic():
                if (number + count) % 2:
                    # The id is taken long before the feed is locked.
                    connection.cursor().execute("SELECT nextval(pg_get_serial_sequence('klaxon_inboxitem', 'id'))")
                InboxItem.objects.add_items([item])
    finally:
        connection.close()


def test_the_first_item_of_a_cluster_that_is_committed_during_the_reading_follows(
    ann: User, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_clusters_before_the_item(user_ids: Any, using: str) -> Any:
        visible = load_visible_clusters(user_ids, using)
        put(ann, 1)
        return visible

    monkeypatch.setattr(feed, "load_visible_clusters", load_clusters_before_the_item)
    answer = load_feed(ann.pk, Cursor(0))
    assert (answer["items"], answer["cursor"]) == ([], "0")
    monkeypatch.undo()
    assert len(load_feed(ann.pk, Cursor.parse(answer["cursor"]))["items"]) == 1

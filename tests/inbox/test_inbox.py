"""The inbox: only own items, unchanged by GET, marked as read by POST."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from notifications.core import clock
from notifications.delivering.dispatcher import Dispatcher
from notifications.manager import NotificationManager
from notifications.models import Cluster, InboxItem
from tests.inbox.conftest import NOON
from tests.shop.notification_events import ShopEvents

INBOX = "/notifications/inbox/"


def url(name: str, *args: Any) -> str:
    return reverse(f"notifications:{name}", args=args)


def unread_of(user: User) -> int:
    return InboxItem.objects.of(user).unread().count()


def test_a_sent_notification_is_in_the_inbox(browser: Client, ann: User) -> None:
    NotificationManager.send(ShopEvents.STORE_ON_FIRE, [ann], None, {"place": "the stockroom"})
    Dispatcher().run_until_idle()
    page = browser.get(url("inbox")).content.decode()
    assert "Fire at the stockroom" in page
    assert "critical" in page
    item = InboxItem.objects.get()
    assert "Leave the stockroom now." in browser.get(url("inbox-item", item.pk)).content.decode()


def test_the_included_url_is_the_inbox(browser: Client) -> None:
    response = browser.get("/notifications/?show=unread")
    assert (response.status_code, response.url) == (302, f"{INBOX}?show=unread")
    assert browser.post("/notifications/").status_code == 405


def test_only_own_items_are_listed_and_counted(browser: Client, ann: User, bob: User, put: Any) -> None:
    put(ann, 2, title="For Ann")
    put(bob, 3, title="For Bob")
    page = browser.get(url("inbox")).content.decode()
    assert "For Ann" in page
    assert "For Bob" not in page
    assert browser.get(url("unread-count")).json() == {"unread": 2}


@pytest.mark.parametrize(("name", "method"), [("inbox-item", "get"), ("mark-read", "post")])
def test_an_item_of_another_user_is_not_found(name: str, method: str, browser: Client, bob: User, put: Any) -> None:
    [foreign] = put(bob)
    for pk in (foreign.pk, foreign.pk + 1000):
        assert getattr(browser, method)(url(name, pk)).status_code == 404
    assert unread_of(bob) == 1


@pytest.mark.parametrize("name", ["inbox", "inbox-item", "unread-count"])
@pytest.mark.parametrize("method", ["get", "head"])
def test_viewing_changes_nothing(name: str, method: str, browser: Client, ann: User, put: Any) -> None:
    [item] = put(ann)
    address = url(name, item.pk) if name == "inbox-item" else url(name)
    assert getattr(browser, method)(address).status_code == 200
    assert unread_of(ann) == 1


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("inbox", "post put patch delete options"),
        ("inbox-item", "post put patch delete options"),
        ("unread-count", "post put patch delete options"),
        ("mark-read", "get head put patch delete options"),
        ("mark-all-read", "get head put patch delete options"),
    ],
)
def test_other_methods_are_refused(name: str, refused: str, browser: Client, ann: User, put: Any) -> None:
    [item] = put(ann)
    address = url(name, item.pk) if name in ("inbox-item", "mark-read") else url(name)
    assert {method: getattr(browser, method)(address).status_code for method in refused.split()} == dict.fromkeys(
        refused.split(), 405
    )
    assert unread_of(ann) == 1


@pytest.mark.parametrize("name", ["inbox", "unread-count", "inbox-item"])
def test_an_anonymous_user_is_redirected_to_sign_in_and_back(name: str, client: Client, ann: User, put: Any) -> None:
    [item] = put(ann)
    address = url(name, item.pk) if name == "inbox-item" else url(name)
    assert client.get(address).url == f"/admin/login/?next={address}"


@pytest.mark.parametrize("name", ["mark-read", "mark-all-read"])
def test_an_anonymous_post_is_redirected_to_sign_in_and_then_to_the_inbox(
    name: str, client: Client, ann: User, put: Any
) -> None:
    [item] = put(ann)
    address = url(name, item.pk) if name == "mark-read" else url(name)
    assert client.post(address).url == f"/admin/login/?next={INBOX}"
    assert unread_of(ann) == 1


@pytest.mark.parametrize("name", ["mark-read", "mark-all-read"])
def test_a_post_without_the_csrf_token_is_refused(name: str, ann: User, put: Any) -> None:
    [item] = put(ann)
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    assert client.post(url(name, item.pk) if name == "mark-read" else url(name)).status_code == 403
    assert unread_of(ann) == 1


def test_one_item_is_marked_read_with_the_current_time(browser: Client, ann: User, put: Any) -> None:
    first, second = put(ann, 2)
    with clock.override(lambda: NOON):
        response = browser.post(url("mark-read", first.pk))
    assert response.url == INBOX
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.read_at, second.read_at) == (NOON, None)


def test_marking_again_keeps_the_first_time(browser: Client, ann: User, put: Any) -> None:
    [item] = put(ann, read_at=NOON)
    browser.post(url("mark-read", item.pk))
    item.refresh_from_db()
    assert item.read_at == NOON


def test_all_own_items_are_marked_read(browser: Client, ann: User, bob: User, put: Any) -> None:
    put(ann, 3)
    put(bob, 1)
    page = browser.post(url("mark-all-read"), follow=True).content.decode()
    assert "3 notifications were marked as read." in page
    assert (unread_of(ann), unread_of(bob)) == (0, 1)


@pytest.mark.parametrize("wanted", ["/notifications/inbox/?show=unread&page=2", "/elsewhere/", "?page=2"])
def test_the_user_is_redirected_to_a_local_path(wanted: str, browser: Client, ann: User, put: Any) -> None:
    [item] = put(ann)
    assert browser.post(url("mark-read", item.pk), {"next": wanted}).headers["Location"] == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        r"\\evil.example",
        r"/\evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        "https://testserver/",
        " //evil.example",
        "",
    ],
)
def test_the_user_is_not_redirected_elsewhere(wanted: str, browser: Client, ann: User, put: Any) -> None:
    [item] = put(ann)
    assert browser.post(url("mark-read", item.pk), {"next": wanted}).headers["Location"] == INBOX


def test_the_unread_filter_hides_read_items(browser: Client, ann: User, put: Any) -> None:
    put(ann, title="Old news", read_at=NOON)
    put(ann, title="Fresh news")
    unread = browser.get(url("inbox"), {"show": "unread"}).content.decode()
    assert "Fresh news" in unread
    assert "Old news" not in unread
    assert "Old news" in browser.get(url("inbox")).content.decode()


def test_an_empty_inbox_has_a_message(browser: Client, ann: User, put: Any) -> None:
    assert "You have no notifications yet." in browser.get(url("inbox")).content.decode()
    put(ann, read_at=NOON)
    assert "You have no unread notifications." in browser.get(url("inbox"), {"show": "unread"}).content.decode()


@pytest.mark.parametrize("name", ["inbox", "inbox-item"])
def test_markup_in_an_item_is_shown_as_text(name: str, browser: Client, ann: User, put: Any) -> None:
    [item] = put(ann, title="<b>Bold</b>", body="<script>alert(1)</script>\nline two")
    page = browser.get(url(name, item.pk) if name == "inbox-item" else url(name)).content.decode()
    assert "<script>alert" not in page
    assert "<b>Bold" not in page
    assert "&lt;script&gt;" in page


def test_line_breaks_are_preserved(browser: Client, ann: User, put: Any) -> None:
    [item] = put(ann, body="one\ntwo\n\nthree")
    page = browser.get(url("inbox-item", item.pk)).content.decode()
    assert "<p>one<br>two</p>\n\n<p>three</p>" in page


def test_an_item_without_a_title_is_named_by_its_event(browser: Client, ann: User, put: Any) -> None:
    put(ann, title="")
    assert "Order shipped</a>" in browser.get(url("inbox")).content.decode()


def test_clusters_are_named_only_if_there_are_several(browser: Client, ann: User, put: Any) -> None:
    [item] = put(ann)
    for address in (url("inbox"), url("inbox-item", item.pk)):
        assert "Default" not in browser.get(address).content.decode()
    put(ann, cluster=Cluster.objects.create(name="Harbour", slug="harbour", open_to_all=True))
    assert "Harbour" in browser.get(url("inbox")).content.decode()
    assert "Default" in browser.get(url("inbox-item", item.pk)).content.decode()


def count_queries(browser: Client, address: str, query: Any = None) -> int:
    """Return the number of queries of a request, without that for the time of the server."""
    with CaptureQueriesContext(connection) as captured:
        browser.get(address, query)
    return len([query for query in captured if "clock_timestamp" not in query["sql"]])


@pytest.mark.parametrize(
    "query", [{}, {"show": "unread"}, {"show": "archived"}, {"q": "shipped"}, {"event": "order_shipped", "topic": "x"}]
)
def test_a_list_needs_as_many_queries_for_a_full_page_as_for_one_item(
    query: dict[str, str], browser: Client, ann: User, put: Any
) -> None:
    put(ann)
    for_one = count_queries(browser, url("inbox"), query)
    put(ann, 50)
    put(ann, 50, cluster=Cluster.objects.create(name="Harbour", slug="harbour", open_to_all=True))
    assert count_queries(browser, url("inbox"), query) == for_one <= 10


def test_the_badge_needs_four_queries(browser: Client, ann: User, put: Any) -> None:
    put(ann, 50)
    # Two more are for the session and its user.
    assert count_queries(browser, url("unread-count")) == 6


@pytest.mark.parametrize("name", ["inbox", "unread-count"])
def test_private_pages_are_not_cached(name: str, browser: Client, ann: User) -> None:
    assert "private" in browser.get(url(name)).headers["Cache-Control"]
    assert "no-store" in browser.get(url(name)).headers["Cache-Control"]

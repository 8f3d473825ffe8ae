"""Full-text search: the same answers on both databases."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from notifications.inbox import listing, searching
from notifications.models import InboxItem
from notifications.models.inbox import InboxQuerySet
from tests.inbox.conftest import NOON


@pytest.fixture
def texts(ann: User, put: Any) -> None:
    put(ann, title="Fire at the stockroom", body="Leave now. See https://example.com/exits/north")
    put(ann, title="Order 1017 is on its way", body="Grüße aus Köln, E-Mail: info@example.com")
    put(ann, title="Brandmeldung", body="snake_case and 3.14")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fire", ["Fire at the stockroom"]),
        ("FIRE", ["Fire at the stockroom"]),
        ("stock", ["Fire at the stockroom"]),
        ("room", []),
        ("fire leave", ["Fire at the stockroom"]),
        ("fire order", []),
        ("grüße", ["Order 1017 is on its way"]),
        ("1017", ["Order 1017 is on its way"]),
        ("info@example.com", ["Order 1017 is on its way"]),
        ("example", ["Fire at the stockroom", "Order 1017 is on its way"]),
        ("north", ["Fire at the stockroom"]),
        ("case", ["Brandmeldung"]),
        ("3.14", ["Brandmeldung"]),
        ("e-mail", ["Order 1017 is on its way"]),
        ("the", ["Fire at the stockroom"]),
        ("'", []),
        ("' OR 1=1 --", ["Order 1017 is on its way"]),
        ('"*" AND', ["Brandmeldung"]),
        ("fire:* | order", []),
        ("title:fire", []),
        ("-", []),
        ("@", []),
        ("%s", ["Brandmeldung", "Fire at the stockroom"]),
        ("\\", []),
    ],
)
def test_items_are_found_by_the_beginnings_of_their_words(
    text: str, expected: list[str], ann: User, texts: None
) -> None:
    assert sorted(InboxItem.objects.search(text, ann).values_list("title", flat=True)) == expected
    assert sorted(InboxItem.objects.of(ann).scan(text).values_list("title", flat=True)) == expected


def test_a_title_in_turkish_is_found_by_its_own_words(ann: User, put: Any) -> None:
    put(ann, title="İstanbul Işık")
    assert InboxItem.objects.search("İstanbul Işık", ann).exists()
    assert InboxItem.objects.of(ann).scan("İstanbul Işık").exists()


def test_only_the_items_of_the_user_are_found(ann: User, bob: User, put: Any) -> None:
    put(ann, title="Fire here")
    put(bob, title="Fire there")
    assert [item.title for item in InboxItem.objects.search("fire", bob)] == ["Fire there"]
    assert not InboxItem.objects.search(str(ann.pk), bob).exists()


def test_a_changed_text_is_found_and_the_old_one_is_not(ann: User, put: Any) -> None:
    [item] = put(ann, title="Fire")
    InboxItem.objects.filter(pk=item.pk).update(title="Flood")
    assert not InboxItem.objects.search("fire", ann).exists()
    assert InboxItem.objects.search("flood", ann).exists()
    item.delete()
    assert not InboxItem.objects.search("flood", ann).exists()


def test_the_page_searches(browser: Client, ann: User, texts: None) -> None:
    page = browser.get("/notifications/inbox/", {"q": "köln"}).content.decode()
    assert "Order 1017" in page
    assert "Brandmeldung" not in page
    assert "No notifications match." in browser.get("/notifications/inbox/", {"q": "nowhere"}).content.decode()


@pytest.fixture
def few_scanned(monkeypatch: pytest.MonkeyPatch) -> int:
    """A search that reads only the newest ten items before it uses the index, with pages of three."""
    monkeypatch.setattr(searching, "MAX_SCANNED_ITEMS", 10)
    monkeypatch.setattr(listing, "MAX_ITEMS", 3)
    return 10


@pytest.mark.parametrize(
    "is_fire", [lambda number: True, lambda number: number % 3 == 0, lambda number: number < 5, lambda number: False]
)
def test_the_pages_of_a_search_have_each_item_once(
    is_fire: Callable[[int], bool], browser: Client, ann: User, put: Any, few_scanned: int
) -> None:
    for number in range(31):
        at = NOON + timedelta(minutes=number)
        put(ann, title=f"{'Fire' if is_fire(number) else 'Flood'} {number}", created_at=at)
    found, query = [], "?q=fire"
    while query:
        page = browser.get(f"/notifications/inbox/{query}")
        found += [row.title for row in page.context["listing"].rows]
        query = page.context["next_query"] and f"?{page.context['next_query']}"
    assert found == [f"Fire {number}" for number in reversed(range(31)) if is_fire(number)]


@pytest.mark.parametrize("text", ["fire 3", "3 fire", "fire floor 3", "fire floor"])
def test_frequent_words_are_combined_with_rare_ones(
    text: str, browser: Client, ann: User, put: Any, few_scanned: int
) -> None:
    for number in range(31):
        at = NOON + timedelta(minutes=number)
        put(ann, title=f"{'Fire' if number % 2 else 'Flood'} {number}", body="on floor 1", created_at=at)
    found, query = [], urlencode({"q": text})
    while query:
        page = browser.get(f"/notifications/inbox/?{query}")
        found += [row.title for row in page.context["listing"].rows]
        query = page.context["next_query"]
    numbers = [number for number in range(31) if number % 2 and ("3" not in text or str(number).startswith("3"))]
    assert found == [f"Fire {number}" for number in reversed(numbers)]


def test_the_words_of_a_search_are_sorted_by_their_frequency(ann: User, put: Any) -> None:
    put(ann, 3, title="Fire on floor 1")
    put(ann, title="Flood on floor 2")
    items = InboxItem.objects.of(ann)
    assert items.sort_by_frequency("floor fire flood") == ["flood", "fire", "floor"]
    assert items.sort_by_frequency("floor") == ["floor"]
    assert items.sort_by_frequency("-") == []


def test_a_frequent_word_is_found_without_the_index(
    browser: Client, ann: User, put: Any, few_scanned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(ann, 12, title="Fire")
    monkeypatch.setattr(InboxQuerySet, "search", None)
    assert browser.get("/notifications/inbox/?q=fire").context["listing"].next


def test_the_index_survives_all_migrations(db: None) -> None:
    """Django rebuilds a table of SQLite to change it, which drops the triggers."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL keeps a generated column.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'klaxon_inboxitem'")
        names = {name for (name,) in cursor.fetchall()}
    assert names == {"klaxon_inbox_search_add", "klaxon_inbox_search_change", "klaxon_inbox_search_remove"}

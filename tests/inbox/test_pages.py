"""The list: tabs, filters, days, groups and pages."""

from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.translation import ngettext_lazy

from notifications.core import clock
from notifications.events import NotificationEvent, NotificationPriority
from notifications.inbox.listing import ENTRIES_PER_PAGE, MAX_GROUPED_ITEMS
from notifications.models import Cluster, InboxItem
from notifications.testing import temporary_events
from tests.factories import UserSettingsFactory
from tests.inbox.conftest import NOON

INBOX = "/notifications/inbox/"


class Schedule(Enum):
    CHANGED = "schedule_changed"


def get(browser: Client, query: Any = None) -> Any:
    return browser.get(INBOX, query) if not isinstance(query, str) else browser.get(f"{INBOX}?{query}")


def listed(response: Any) -> list[int]:
    return [row.item.pk for row in response.context["listing"].rows]


def test_the_current_tab_is_named_for_screen_readers(browser: Client, ann: User) -> None:
    unread = get(browser, {"show": "unread"}).content.decode()
    assert f'<a href="{INBOX}?show=unread" aria-current="page">' in unread
    assert f'<a href="{INBOX}" aria-current="page">' in get(browser).content.decode()


def test_pages_list_the_newest_first(browser: Client, ann: User, put: Any) -> None:
    rows = put(ann, ENTRIES_PER_PAGE + 1)
    first = get(browser)
    assert listed(first) == [row.pk for row in reversed(rows[1:])]
    second = get(browser, first.context["next_query"])
    assert (listed(second), second.context["next_query"]) == ([rows[0].pk], "")


def test_items_of_the_same_moment_are_listed_once(browser: Client, ann: User, put: Any) -> None:
    rows = put(ann, ENTRIES_PER_PAGE * 2 + 1, created_at=NOON)
    found: list[int] = []
    query = "show=all"
    while query:
        page = get(browser, query)
        found += listed(page)
        query = page.context["next_query"]
    assert found == [row.pk for row in reversed(rows)]


def test_page_links_keep_the_filter(browser: Client, ann: User, put: Any) -> None:
    put(ann, ENTRIES_PER_PAGE + 1, topic="a&b")
    page = get(browser, {"show": "unread", "topic": "a&b"}).content.decode()
    assert 'href="?show=unread&amp;topic=a%26b&amp;after=' in page


@pytest.mark.parametrize("place", ["9", "0", "-1", "x", "1-", "9" * 18 + "-1", "9" * 40 + "-1", "-"])
def test_a_malformed_place_is_no_error(place: str, browser: Client, ann: User, put: Any) -> None:
    put(ann, 2)
    assert get(browser, {"after": place}).status_code == 200


def test_alike_items_of_a_day_are_one_entry(browser: Client, ann: User, put: Any) -> None:
    put(ann, 5, group_key="schedule", body="moved")
    put(ann, created_at=NOON - timedelta(days=1), group_key="schedule")
    page = get(browser)
    assert [[len(entry.rows) for entry in day.entries] for day in page.context["listing"].days] == [[5], [1]]
    assert "5 × Order shipped" in page.content.decode()


def test_a_group_has_the_title_that_its_event_declares(browser: Client, ann: User, put: Any) -> None:
    put(ann, 5, group_key="schedule", event="schedule_changed")
    label = ngettext_lazy("%(count)d change to your schedule", "%(count)d changes to your schedule", "count")
    with temporary_events() as events:
        events[Schedule.CHANGED] = NotificationEvent(
            priority=NotificationPriority.LOW, supported_channels=["app"], group_label=label
        )
        assert "5 changes to your schedule" in get(browser).content.decode()


def test_alike_items_do_not_fill_the_page(browser: Client, ann: User, put: Any) -> None:
    put(ann, 90, group_key="many", created_at=NOON)
    put(ann, 3, created_at=NOON - timedelta(days=1))
    assert len(listed(get(browser))) == 93


def test_a_group_is_listed_once_with_all_its_items(browser: Client, ann: User, put: Any) -> None:
    """It has more items than a page, and other items between them."""
    for number in range(30):
        put(ann, 5, group_key="many", created_at=NOON + timedelta(minutes=number))
        put(ann, created_at=NOON + timedelta(minutes=number))
    first = get(browser)
    [group] = [entry for day in first.context["listing"].days for entry in day.entries if entry.is_group]
    assert (group.count, len(group.rows), group.hidden) == (150, 150, 0)
    assert "150 × Order shipped" in first.content.decode()
    found, query = listed(first), first.context["next_query"]
    while query:
        page = get(browser, query)
        assert [entry for day in page.context["listing"].days for entry in day.entries if entry.is_group] == []
        found, query = found + listed(page), page.context["next_query"]
    assert sorted(found) == sorted(InboxItem.objects.values_list("pk", flat=True))


def test_a_very_large_group_is_counted_and_lists_its_newest_items(browser: Client, ann: User, put: Any) -> None:
    put(ann, MAX_GROUPED_ITEMS + 30, group_key="many", created_at=NOON)
    page = get(browser)
    [[group]] = [day.entries for day in page.context["listing"].days]
    assert (group.count, len(group.rows), group.hidden) == (MAX_GROUPED_ITEMS + 30, MAX_GROUPED_ITEMS, 30)
    assert "and 30 more" in page.content.decode()


def test_items_are_listed_in_the_time_zone_of_the_user(browser: Client, ann: User, put: Any, noon: Any) -> None:
    UserSettingsFactory(user=ann, cluster=Cluster.objects.default(), time_zone="Pacific/Auckland")
    put(ann, created_at=NOON - timedelta(hours=1))
    put(ann, created_at=NOON + timedelta(minutes=10))
    listing = get(browser).context["listing"]
    # 23:00 on the 4th and 0:10 on the 5th in Auckland.
    assert [day.name for day in listing.days] == ["Today", "Yesterday"]
    assert "May 4, 2030, 11 p.m." in get(browser).content.decode()


def test_the_time_zone_of_the_cluster_that_is_listed_decides(browser: Client, ann: User, put: Any, noon: Any) -> None:
    harbour = Cluster.objects.create(name="Harbour", slug="harbour", open_to_all=True)
    UserSettingsFactory(user=ann, cluster=Cluster.objects.default(), time_zone="Pacific/Auckland")
    UserSettingsFactory(user=ann, cluster=harbour, time_zone="America/New_York")
    put(ann, cluster=harbour)
    assert "May 5, 2030, midnight" in get(browser).content.decode()
    assert "May 4, 2030, 8 a.m." in get(browser, {"cluster": str(harbour.pk)}).content.decode()


def test_a_snoozed_item_says_until_when(browser: Client, ann: User, put: Any, noon: Any) -> None:
    [item] = put(ann, snoozed_until=NOON + timedelta(days=1))
    for page in (get(browser, {"show": "snoozed"}), browser.get(f"{INBOX}{item.pk}/")):
        assert "Snoozed until May 5, 2030, noon" in page.content.decode()


@pytest.mark.parametrize(("hours", "label"), [(0, "Until this evening"), (6, "Until tomorrow evening")])
def test_the_choice_of_the_evening_says_which(hours: int, label: str, browser: Client, ann: User, put: Any) -> None:
    put(ann)
    with clock.override(lambda: NOON + timedelta(hours=hours)):
        page = get(browser).content.decode()
    assert label in page
    assert page.count(" evening</button>") == page.count(f"{label}</button>")


def test_items_are_listed_by_days_with_relative_times(browser: Client, ann: User, put: Any, noon: Any) -> None:
    for hours in (0, 24, 72):
        put(ann, created_at=NOON - timedelta(hours=hours))
    page = get(browser)
    listing = page.context["listing"]
    assert [day.name for day in listing.days] == ["Today", "Yesterday", "May 1, 2030"]
    assert [row.when.replace("\xa0", " ") for row in listing.rows] == ["30 minutes ago", "noon", "noon"]
    assert 'title="May 4, 2030, noon"' in page.content.decode()


def test_unread_critical_items_come_first(browser: Client, ann: User, put: Any) -> None:
    [critical] = put(ann, priority=1, created_at=NOON - timedelta(days=30))
    others = put(ann, ENTRIES_PER_PAGE + 5)
    first = get(browser)
    assert listed(first)[0] == critical.pk
    assert listed(get(browser, first.context["next_query"])) == [row.pk for row in reversed(others[:5])]
    InboxItem.objects.filter(pk=critical.pk).mark_read(NOON)
    assert listed(get(browser))[0] == others[-1].pk


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"event": "store_on_fire"}, ["fire"]),
        ({"priority": "critical"}, ["fire"]),
        ({"topic": "sale"}, ["sale"]),
        ({"show": "unread"}, ["sale", "plain"]),
        ({"cluster": "9999"}, []),
        ({"cluster": "x"}, []),
        ({"priority": "x"}, ["sale", "fire", "plain"]),
        ({"event": "x"}, []),
        ({"show": "x"}, ["sale", "fire", "plain"]),
        ({"q": "\x00"}, ["sale", "fire", "plain"]),
        ({"q": "?"}, []),
    ],
)
def test_a_filter_chooses_items(query: Any, expected: list[str], browser: Client, ann: User, put: Any) -> None:
    put(ann, title="plain", created_at=NOON)
    put(ann, title="fire", event="store_on_fire", priority=1, read_at=NOON, created_at=NOON + timedelta(1))
    put(ann, title="sale", topic="sale", created_at=NOON + timedelta(2))
    assert [row.title for row in get(browser, query).context["listing"].rows] == expected


@pytest.mark.parametrize("show", ["all", "unread", "archived", "snoozed"])
def test_an_empty_tab_has_a_message(show: str, browser: Client, ann: User) -> None:
    assert 'class="empty"' in get(browser, {"show": show}).content.decode()


def test_a_link_in_a_text_is_a_link(browser: Client, ann: User, put: Any) -> None:
    [item] = put(ann, body="See https://example.com/a?b=1", url="/orders/7/")
    page = browser.get(f"{INBOX}{item.pk}/").content.decode()
    assert '<a href="https://example.com/a?b=1"' in page
    assert '<a class="button" href="/orders/7/">' in page


def test_the_pages_lead_back_to_the_site_and_out(browser: Client, ann: User) -> None:
    page = get(browser).content.decode()
    assert '<a href="/">Back to the site</a>' in page
    assert 'action="/admin/logout/"' in page


def test_no_page_has_a_script_or_a_style_of_its_own(browser: Client, ann: User, put: Any) -> None:
    [item] = put(ann, priority=1, icon="📦")
    for address in (INBOX, f"{INBOX}{item.pk}/"):
        page = browser.get(address).content.decode()
        assert "<style" not in page
        assert " style=" not in page
        assert page.count("<script") == page.count('<script type="module" src="/static/') == 2
        assert '<script type="module" src="/static/notifications/inbox.js"></script>' in page


SITE = """<title>{% block title %}{% endblock %}</title>
{% block top %}The shop{% endblock %}<main>{% block body %}{% endblock %}</main>"""
OWN_BASE = """{% extends "site.html" %}
{% block body %}{% block content %}{% endblock %}{% block extrahead %}{% endblock %}{% endblock %}"""


def test_a_host_puts_the_pages_into_its_own_frame(
    browser: Client, ann: User, put: Any, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "notifications").mkdir()
    (tmp_path / "site.html").write_text(SITE)
    (tmp_path / "notifications/base.html").write_text(OWN_BASE)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    [item] = put(ann, title="Lamp")
    for path in (INBOX, f"{INBOX}{item.pk}/", "/notifications/preferences/"):
        page = browser.get(path).content.decode()
        assert "The shop<main>" in page
        assert "<header" not in page
        assert "Lamp" in page or path.endswith("preferences/")

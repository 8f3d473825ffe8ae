"""What users do to their items: by forms, by scripts, one by one and many at once."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from notifications.inbox.changes import parse_snooze_end
from notifications.models import Cluster, InboxFeed, InboxItem
from tests.factories import UserSettingsFactory
from tests.inbox.conftest import NOON

CHANGE = "/notifications/inbox/change/"


def change(browser: Client, **data: Any) -> Any:
    return browser.post(CHANGE, data, headers={"Accept": "application/json"})


@pytest.mark.parametrize(("do", "field"), [("seen", "seen_at"), ("read", "read_at"), ("archive", "archived_at")])
def test_a_change_records_its_time_and_keeps_the_first(
    do: str, field: str, browser: Client, ann: User, put: Any, noon: Any
) -> None:
    [item] = put(ann)
    assert change(browser, do=do, item=item.pk).json()["changed"] == 1
    assert change(browser, do=do, item=item.pk).json()["changed"] == 0
    item.refresh_from_db()
    assert getattr(item, field) == NOON + timedelta(minutes=30)


@pytest.mark.parametrize(("do", "undo"), [("read", "unread"), ("archive", "unarchive")])
def test_a_change_can_be_undone(do: str, undo: str, browser: Client, ann: User, put: Any) -> None:
    [item] = put(ann)
    before = InboxItem.objects.values("read_at", "archived_at", "snoozed_until").get()
    change(browser, do=do, item=item.pk)
    change(browser, do=undo, item=item.pk)
    assert InboxItem.objects.values("read_at", "archived_at", "snoozed_until").get() == before
    assert InboxFeed.objects.get(user=ann).revision == 3


def test_a_snoozed_item_is_hidden_and_comes_back_unread(browser: Client, ann: User, put: Any) -> None:
    [item] = put(ann, read_at=NOON)
    assert change(browser, do="snooze", item=item.pk, until="tomorrow").json()["counts"]["total"] == 0
    assert "Shipped" not in browser.get("/notifications/inbox/").content.decode()
    assert "Shipped" in browser.get("/notifications/inbox/?show=snoozed").content.decode()
    assert change(browser, do=f"unsnooze:{item.pk}").json()["counts"]["total"] == 1


def test_an_item_that_the_user_puts_back_is_not_new(browser: Client, ann: User, put: Any, noon: Any) -> None:
    own, due = put(ann, 2)
    change(browser, do="snooze", item=[own.pk, due.pk], until="hour")
    change(browser, do="unsnooze", item=own.pk)
    InboxItem.objects.wake_snoozed(NOON + timedelta(hours=2))
    assert list(InboxItem.objects.filter(seen_at__isnull=True)) == [due]


def test_tomorrow_begins_in_the_time_zone_of_the_user(browser: Client, ann: User, put: Any, noon: Any) -> None:
    UserSettingsFactory(user=ann, cluster=Cluster.objects.default(), time_zone="Pacific/Auckland")
    [item] = put(ann)
    change(browser, do="snooze", item=item.pk, until="tomorrow")
    item.refresh_from_db()
    # It is 0:30 on the 5th in Auckland.
    assert item.snoozed_until == datetime(2030, 5, 6, 8, tzinfo=ZoneInfo("Pacific/Auckland"))


@pytest.mark.parametrize(
    "until", ["9999-12-31T23:59:59-14:00", "9999-12-31T23:59", "2041-01-01T00:00", "0001-01-01T00:00+14:00"]
)
def test_a_snooze_of_more_than_ten_years_is_refused(
    until: str, browser: Client, ann: User, put: Any, noon: Any
) -> None:
    [item] = put(ann)
    assert change(browser, do="snooze", item=item.pk, until=until).status_code == 400


def test_a_button_can_name_the_change_its_items_and_the_time(browser: Client, ann: User, put: Any) -> None:
    first, second = put(ann, 2)
    assert change(browser, do=f"read:{first.pk},{second.pk}").json()["changed"] == 2
    assert change(browser, do=f"snooze:{first.pk}:hour").json()["changed"] == 1
    assert change(browser, do="snooze::hour", item=[second.pk]).json()["changed"] == 1


def test_a_form_redirects_with_a_message(browser: Client, ann: User, put: Any) -> None:
    first, second = put(ann, 2)
    page = browser.post(CHANGE, {"do": "archive", "item": [first.pk, second.pk]}, follow=True).content.decode()
    assert "2 notifications were archived." in page


def test_all_items_of_the_list_can_be_changed_at_once(browser: Client, ann: User, bob: User, put: Any) -> None:
    put(ann, 30)
    put(bob)
    assert change(browser, do="read", all="1").json() == {
        "changed": 30,
        "revision": 2,
        "counts": {"total": 0, "clusters": {}},
    }
    assert InboxItem.objects.of(bob).unread().count() == 1


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"do": "explode", "item": "1"},
        {"do": "read", "item": "x"},
        {"do": "read:1;2"},
        {"do": "snooze", "item": "1"},
        {"do": "snooze", "item": "1", "until": "2001-01-01T00:00"},
        {"do": "snooze", "item": "1", "until": "2001-99-01T00:00"},
        {"do": "snooze:1:later"},
        {"do": "read", "item": [str(number) for number in range(1001)]},
    ],
)
def test_a_malformed_change_is_a_bad_request(data: Any, browser: Client) -> None:
    assert change(browser, **data).status_code == 400


def test_an_id_that_no_item_can_have_is_ignored(browser: Client) -> None:
    assert change(browser, do="read", item="9" * 40).json()["changed"] == 0


SATURDAY = datetime(2030, 5, 4, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("choice", "now", "end"),
    [
        ("hour", SATURDAY, "2030-05-04 13:00"),
        ("evening", SATURDAY, "2030-05-04 18:00"),
        ("evening", SATURDAY + timedelta(hours=8), "2030-05-05 18:00"),
        ("tomorrow", SATURDAY, "2030-05-05 08:00"),
        ("week", SATURDAY, "2030-05-06 08:00"),
        ("week", SATURDAY + timedelta(days=2), "2030-05-13 08:00"),
        ("2030-06-01T09:00", SATURDAY, "2030-06-01 09:00"),
        ("2030-06-01T09:00:00Z", SATURDAY, "2030-06-01 11:00"),
    ],
)
def test_the_end_of_a_snooze_is_in_the_time_zone_of_the_page(choice: str, now: datetime, end: str) -> None:
    with timezone.override("Europe/Berlin"):
        found = parse_snooze_end(choice, now)
        assert found is not None
        assert f"{timezone.localtime(found):%Y-%m-%d %H:%M}" == end


def test_a_snooze_must_end_in_the_future(ann: User, put: Any) -> None:
    put(ann)
    with pytest.raises(ValueError, match="in the future"):
        InboxItem.objects.of(ann).snooze(NOON, NOON)

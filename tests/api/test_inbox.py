"""The own notifications: only those, each change, and pages that neither skip nor repeat."""

from datetime import timedelta

import pytest

from notifications.core import clock
from notifications.events import InboxAction, NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import Acknowledgement, Cluster, InboxItem
from notifications.testing import temporary_events
from tests.api.conftest import Api, problem
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.needs("ninja")
ORDER = {"order_number": "7", "eta": None}


def read_all_pages(api, query="", between=lambda: None):
    ids, cursor = [], ""
    while cursor is not None:
        page = api.get(f"inbox?limit=3{query}{f'&cursor={cursor}' if cursor else ''}").json()
        ids += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        between()
    return ids


def test_the_list_has_the_own_items_the_newest_first(api, ann, olga, put):
    own = put(ann, 3)
    put(olga, 2)
    found = api.get("inbox").json()
    assert [item["id"] for item in found["items"]] == [row.pk for row in reversed(own)]
    assert found["next_cursor"] is None
    assert found["items"][0]["page"] == f"/notifications/inbox/{own[-1].pk}/"


def test_no_page_skips_or_repeats_an_item_while_others_come_and_change(api, ann, put):
    existing = [row.pk for row in put(ann, 10)]

    def disturb():
        put(ann, 2)
        InboxItem.objects.filter(pk=existing[0]).mark_read(clock.now())

    found = read_all_pages(api, between=disturb)
    assert len(found) == len(set(found))
    assert [pk for pk in found if pk in existing] == existing[::-1]


def test_items_of_the_same_moment_are_on_one_page_each(api, ann, put):
    rows = put(ann, 10, created_at=clock.now())
    assert read_all_pages(api) == [row.pk for row in reversed(rows)]


def test_items_are_filtered(api, ann, put):
    [loud] = put(ann, event="store_on_fire", priority=1, topic="fire")
    [read, old] = put(ann, 2)
    api.post(f"inbox/{read.pk}/read")
    api.post(f"inbox/{old.pk}/archive")
    for query, expected in (
        ("show=unread", [loud]),
        ("show=archived", [old]),
        ("event=store_on_fire", [loud]),
        ("topic=fire", [loud]),
        ("priority=critical", [loud]),
        ("cluster=999", []),
    ):
        assert [item["id"] for item in api.get(f"inbox?{query}").json()["items"]] == [row.pk for row in expected]


@pytest.mark.parametrize(("change", "column"), [("seen", "seen_at"), ("read", "read_at"), ("archive", "archived_at")])
def test_a_change_is_stored_and_can_be_repeated(api, ann, put, change, column):
    [row] = put(ann)
    first, second = (api.post(f"inbox/{row.pk}/{change}").json() for _ in range(2))
    assert first[column] is not None
    assert second == first
    row.refresh_from_db()
    assert getattr(row, column) is not None


def test_changes_can_be_undone(api, ann, put):
    [row] = put(ann)
    until = (clock.now() + timedelta(days=1)).isoformat()
    assert api.post(f"inbox/{row.pk}/snooze", {"until": until}).json()["snoozed_until"]
    assert api.get("inbox").json()["items"] == []
    assert api.post(f"inbox/{row.pk}/unsnooze").json()["snoozed_until"] is None
    api.post(f"inbox/{row.pk}/read")
    assert api.post(f"inbox/{row.pk}/unread").json()["read_at"] is None
    api.post(f"inbox/{row.pk}/archive")
    assert api.post(f"inbox/{row.pk}/unarchive").json()["archived_at"] is None


@pytest.mark.parametrize(
    "until", ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "2030-01-01T00:00:00", 4102444800, "tomorrow", None]
)
def test_a_snooze_needs_a_time_with_an_offset_within_ten_years(api, ann, put, until):
    [row] = put(ann)
    answer = api.post(f"inbox/{row.pk}/snooze", {"until": until})
    assert problem(answer) == (422, "invalid")
    assert answer.json()["errors"][0]["location"] == "body.until"


def test_counts_and_read_all(api, ann, put, cluster):
    put(ann, 3)
    assert api.get("inbox/counts").json() == {"revision": 1, "total": 3, "clusters": {str(cluster.pk): 3}}
    assert api.post("inbox/read-all").json() == {"changed": 3}
    assert api.get("inbox/counts").json()["total"] == 0


def test_a_notification_is_acknowledged_once(api, ann):
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, [ann], context=ORDER)
    from notifications.delivering.dispatcher import Dispatcher

    Dispatcher().run_until_idle()
    item = InboxItem.objects.get()
    assert [api.post(f"inbox/{item.pk}/acknowledge").status_code for _ in range(2)] == [200, 200]
    assert Acknowledgement.objects.count() == 1


def test_an_item_that_is_too_old_cannot_be_acknowledged(api, ann, put):
    [row] = put(ann)
    assert problem(api.post(f"inbox/{row.pk}/acknowledge")) == (409, "conflict")


def test_an_action_is_taken_once_and_needs_its_permission(api, ann, put):
    calls = []
    actions = [
        InboxAction("confirm", "Confirm", handler=lambda item, user: calls.append(item.pk)),
        InboxAction("delete", "Delete", permission="auth.delete_user", handler=lambda item, user: calls.append("no")),
    ]
    with temporary_events():
        from notifications.events import NOTIFICATION_EVENTS
        from tests.shop.notification_events import ShopEvents as Members

        NOTIFICATION_EVENTS[Members.ORDER_REFUSED] = NotificationEvent(
            "order_refused", NotificationPriority.HIGH, ["app"], context={}, actions=actions
        )
        [row] = put(ann, event="order_refused", actions=["confirm", "delete"])
        assert [one["name"] for one in api.get(f"inbox/{row.pk}").json()["actions"]] == ["confirm"]
        assert problem(api.post(f"inbox/{row.pk}/act", {"action": "delete"})) == (403, "not-permitted")
        assert problem(api.post(f"inbox/{row.pk}/act", {"action": "other"})) == (409, "conflict")
        assert api.post(f"inbox/{row.pk}/act", {"action": "confirm"}).json()["action_taken"] == "confirm"
        assert problem(api.post(f"inbox/{row.pk}/act", {"action": "confirm"})) == (409, "conflict")
    assert calls == [row.pk]


@pytest.mark.parametrize("call", ["", "/read", "/seen", "/archive", "/acknowledge", "/unread"])
def test_an_item_of_somebody_else_does_not_exist(api, olga, put, call):
    [row] = put(olga)
    foreign = api.call("get" if not call else "post", f"inbox/{row.pk}{call}")
    missing = api.call("get" if not call else "post", f"inbox/{row.pk + 1000}{call}")
    assert problem(foreign) == (404, "not-found")
    assert foreign.json() == missing.json()


def test_a_user_who_has_left_a_cluster_sees_none_of_its_items(api, ann, put, foreign):
    foreign.members.add(ann)
    [row] = put(ann, cluster=foreign)
    assert api.get(f"inbox/{row.pk}").status_code == 200
    foreign.members.remove(ann)
    assert problem(api.get(f"inbox/{row.pk}")) == (404, "not-found")
    assert api.get("inbox").json()["items"] == []
    assert api.post("inbox/read-all").json() == {"changed": 0}


def test_a_key_sees_only_the_items_of_its_clusters(ann, put, issue, foreign, cluster):
    foreign.members.add(ann)
    [here], [there] = put(ann), put(ann, cluster=foreign)
    limited = Api(token=issue(ann, "inbox:read", clusters=[foreign]))
    assert [item["id"] for item in limited.get("inbox").json()["items"]] == [there.pk]
    assert limited.get("inbox/counts").json()["clusters"] == {str(foreign.pk): 1}
    assert problem(limited.get(f"inbox/{here.pk}")) == (404, "not-found")
    nothing = Api(token=issue(ann, "inbox:read", clusters=[]))
    assert nothing.get("inbox").json()["items"] == []
    assert len(Api(token=issue(ann, "inbox:read")).get("inbox").json()["items"]) == 2


@pytest.mark.needs("cryptography")
def test_the_content_of_a_sensitive_item_is_shown_to_its_reader_and_to_no_key(api, ann, put, issue, settings):
    from cryptography.fernet import Fernet

    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}
    item = InboxItem(title="Result", body="The test is positive.")
    item.encrypt("Medical result")
    [row] = put(ann, title=item.title, body=item.body, encrypted=item.encrypted)
    mine = api.get(f"inbox/{row.pk}").json()
    assert (mine["is_sensitive"], mine["title"], mine["body"]) == (True, "Medical result", "The test is positive.")
    program = Api(token=issue(ann, "inbox:read"))
    for answer in (program.get(f"inbox/{row.pk}"), program.get("inbox"), api.get("inbox")):
        assert b"positive" not in answer.content
    assert program.get(f"inbox/{row.pk}").json()["body"] is None


def test_the_number_of_queries_is_constant(api, ann, put, still_clock, django_assert_num_queries):
    put(ann, 2)
    with django_assert_num_queries(6):
        api.get("inbox")
    put(ann, 40)
    with django_assert_num_queries(6):
        assert len(api.get("inbox").json()["items"]) == 42
    with django_assert_num_queries(6):
        api.get("inbox/counts")


def test_a_site_without_the_pages_has_no_links_to_them(api, ann, put, settings):
    settings.ROOT_URLCONF = "tests.api.urls_without_pages"
    put(ann)
    assert api.get("inbox").json()["items"][0]["page"] == ""


def test_a_cursor_of_another_list_is_refused(staff, olga, put):
    put(olga, 2)
    cursor = staff.get("inbox?limit=1").json()["next_cursor"]
    assert staff.get(f"inbox?limit=1&cursor={cursor}").status_code == 200
    for path in ("templates", "suppressions"):
        answer = staff.get(f"{path}?cursor={cursor}")
        assert problem(answer) == (422, "invalid")
        assert answer.json()["errors"][0]["location"] == "query.cursor"


@pytest.mark.parametrize("cursor", ["x", "W10", "WyJhIl0", "WzEsMl0x", "WzFlOTk5LDFd", "W3RydWUsMV0", "%00", "A" * 300])
def test_a_cursor_of_nothing_is_refused(api, cursor):
    assert problem(api.get(f"inbox?cursor={cursor}")) == (422, "invalid")


def test_a_default_cluster_is_open_to_inactive_users_no_longer(api, ann, put):
    put(ann)
    ann.is_active = False
    ann.save()
    assert problem(api.get("inbox")) == (401, "not-authenticated")
    assert Cluster.objects.count() == 1

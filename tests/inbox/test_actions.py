"""Action buttons: declared by the event, permitted by the server, taken once."""

from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from notifications.delivering.dispatcher import Dispatcher
from notifications.events import InboxAction, NotificationEvent, NotificationPriority
from notifications.events.inbox import describe_item
from notifications.inbox.permissions import find_permissions
from notifications.manager import NotificationManager
from notifications.models import Acknowledgement, InboxFeed, InboxItem, Notification
from notifications.testing import temporary_events


class Leave(Enum):
    REQUESTED = "leave_requested"


LATER = datetime(2030, 5, 4, tzinfo=UTC)
calls: list[Any] = []


def approve(item: InboxItem, user: User) -> None:
    calls.append((item.pk, user.pk))


def refuse(item: InboxItem, user: User) -> None:
    calls.append("refused")
    raise ValidationError("The request was withdrawn.")


def postpone(item: InboxItem, user: User) -> None:
    InboxItem.objects.filter(pk=item.pk).archive(LATER)
    InboxItem.objects.filter(pk=item.pk).update(body="Postponed")


def break_down(item: InboxItem, user: User) -> None:
    InboxItem.objects.filter(pk=item.pk).update(title="Broken")
    raise RuntimeError("broken")


@pytest.fixture
def item(ann: User, settings: Any, tmp_path: Any) -> Any:
    calls.clear()
    folder = tmp_path / "notifications/leave_requested"
    folder.mkdir(parents=True)
    (folder / "app.subject.txt").write_text("{{ name }} asks for leave")
    (folder / "app.txt").write_text("From Monday on")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path, *settings.TEMPLATES[0].get("DIRS", [])]}]
    event = NotificationEvent(
        priority=NotificationPriority.MEDIUM,
        supported_channels=["app"],
        context={"name": str, "days": int},
        url="/leave/{name}/",
        icon="📅",
        actions=[
            InboxAction("approve", "Approve", approve, permission="auth.change_user", is_primary=True),
            InboxAction("discuss", "Discuss", approve, when=lambda context: context["days"] > 10),
            InboxAction("refuse", "Refuse", refuse),
            InboxAction("postpone", "Postpone", postpone),
            InboxAction("fail", "Fail", break_down),
            "acknowledge",
            "dismiss",
        ],
    )
    with temporary_events() as events:
        events[Leave.REQUESTED] = event
        NotificationManager.send(Leave.REQUESTED, [ann], None, {"name": "Bo b/../x", "days": 3}, actor=ann)
        Dispatcher().run_until_idle()
        yield InboxItem.objects.get()


def act(browser: Client, item: InboxItem, name: str) -> Any:
    return browser.post(f"/notifications/inbox/{item.pk}/act/{name}/", headers={"Accept": "application/json"})


def permit(user: User) -> None:
    user.user_permissions.add(Permission.objects.get(codename="change_user"))


def test_an_item_has_the_link_the_icon_and_the_actor_that_its_context_gives(item: InboxItem, ann: User) -> None:
    assert (item.url, item.icon, item.actor, item.actor_name) == ("/leave/Bo%20b%2F..%2Fx/", "📅", ann, "ann")
    assert item.actions == ["approve", "refuse", "postpone", "fail", "acknowledge", "dismiss"]


def test_an_action_runs_its_handler_once(item: InboxItem, browser: Client, ann: User) -> None:
    permit(ann)
    answer = act(browser, item, "approve")
    assert (answer.status_code, answer.json()["counts"]["total"]) == (200, 0)
    again = act(browser, item, "approve")
    assert (again.status_code, again.json()["error"]) == (409, "You have already answered this notification.")
    assert calls == [(item.pk, ann.pk)]
    item.refresh_from_db()
    assert (item.action_taken, item.acted_at is not None, item.read_at is not None) == ("approve", True, True)


def test_an_action_keeps_what_its_handler_has_changed_in_the_item(item: InboxItem, browser: Client, ann: User) -> None:
    permit(ann)
    act(browser, item, "postpone")
    item.refresh_from_db()
    assert (item.action_taken, item.archived_at, item.body) == ("postpone", LATER, "Postponed")
    assert item.revision <= InboxFeed.objects.get(user=ann).revision


def test_an_action_requires_its_permission(item: InboxItem, browser: Client) -> None:
    assert act(browser, item, "approve").status_code == 403
    assert calls == []
    item.refresh_from_db()
    assert item.action_taken == ""


def test_the_feed_has_the_actions_that_the_user_may_take(item: InboxItem, browser: Client, ann: User) -> None:
    def list_actions() -> list[str]:
        [shown] = browser.get("/notifications/inbox/feed.json").json()["items"]
        return [action["name"] for action in shown["actions"]]

    assert list_actions() == ["refuse", "postpone", "fail", "acknowledge", "dismiss"]
    permit(ann)
    assert list_actions() == ["approve", "refuse", "postpone", "fail", "acknowledge", "dismiss"]


@pytest.mark.parametrize(
    ("backend", "queries"), [("backends.ModelBackend", 1), ("backends.AllowAllUsersModelBackend", 1 + 2 * 4)]
)
def test_permissions_of_many_users_are_those_that_django_finds(
    backend: str, queries: int, db: None, settings: Any
) -> None:
    settings.AUTHENTICATION_BACKENDS = [f"django.contrib.auth.{backend}"]
    group = Group.objects.create(name="managers")
    group.permissions.add(Permission.objects.get(codename="change_user"))
    nobody, holder, member, chief, former = users = [User.objects.create_user(f"user{number}") for number in range(5)]
    permit(holder)
    member.groups.add(group)
    User.objects.filter(pk=chief.pk).update(is_superuser=True)
    permit(former)
    User.objects.filter(pk=former.pk).update(is_active=False)
    required = {user.pk: {"auth.change_user"} for user in users}
    with CaptureQueriesContext(connection) as captured:
        found = find_permissions(required)
    assert dict(found) == {user.pk: {"auth.change_user"} for user in (holder, member, chief)}
    assert len(captured) <= queries
    assert not find_permissions({})


def test_a_refusal_is_shown_and_nothing_is_recorded(item: InboxItem, browser: Client) -> None:
    answer = act(browser, item, "refuse")
    assert (answer.status_code, answer.json()) == (409, {"error": "The request was withdrawn."})
    item.refresh_from_db()
    assert item.action_taken == ""
    page = browser.post(f"/notifications/inbox/{item.pk}/act/refuse/", follow=True).content.decode()
    assert "The request was withdrawn." in page


def test_an_action_that_fails_is_rolled_back(item: InboxItem, browser: Client) -> None:
    with pytest.raises(RuntimeError):
        act(browser, item, "fail")
    item.refresh_from_db()
    assert (item.title, item.action_taken) == ("Bo b/../x asks for leave", "")


@pytest.mark.parametrize("name", ["discuss", "explode"])
def test_an_action_that_the_item_does_not_offer_is_refused(name: str, item: InboxItem, browser: Client) -> None:
    assert act(browser, item, name).status_code == 409
    assert calls == []


def test_acknowledge_records_the_acknowledgement(item: InboxItem, browser: Client, ann: User) -> None:
    assert act(browser, item, "acknowledge").status_code == 200
    assert Acknowledgement.objects.get().user == ann


def test_a_notification_that_was_deleted_can_no_longer_be_acknowledged(item: InboxItem, browser: Client) -> None:
    Notification.objects.all().delete()
    answer = act(browser, item, "acknowledge")
    assert (answer.status_code, answer.json()["error"]) == (409, "This notification is too old to be acknowledged.")


def test_dismiss_archives(item: InboxItem, browser: Client) -> None:
    act(browser, item, "dismiss")
    item.refresh_from_db()
    assert item.archived_at is not None


def test_the_page_has_the_buttons_until_one_is_pressed(item: InboxItem, browser: Client, ann: User) -> None:
    permit(ann)
    assert ">Approve</button>" in browser.get("/notifications/inbox/").content.decode()
    browser.post(f"/notifications/inbox/{item.pk}/act/approve/")
    page = browser.get("/notifications/inbox/").content.decode()
    assert ">Approve</button>" not in page
    assert "✓ Approve" in page


@pytest.mark.parametrize(
    ("declared", "fault"),
    [
        ({"url": "/orders/{number}/"}, "does not declare 'number'"),
        ({"url": "/orders/{name.x}/"}, "Places must be names"),
        ({"url": "/orders/{name!r}/"}, "Places must be names"),
        ({"url": "/orders/{name/"}, "Write a brace"),
        ({"icon": 7}, "must be a text or a function"),
        ({"actions": [InboxAction("a", "A")]}, "has no handler"),
        ({"actions": [InboxAction("A b", "A", approve)]}, "is not the name of an action"),
        ({"actions": [InboxAction("a", "A", approve)] * 2}, "a name of its own"),
        ({"actions": [InboxAction("a", "A", approve, permission="x")]}, "must be written as"),
        ({"actions": ["explode"]}, "is not an InboxAction"),
        ({"sensitive": True, "url": "/x/{name}/"}, "is sensitive, so url"),
    ],
)
def test_a_wrong_declaration_raises_an_error(declared: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        NotificationEvent("leave", NotificationPriority.LOW, ["app"], context={"name": str}, **declared)


@pytest.mark.parametrize(
    ("url", "is_valid"),
    [
        ("/orders/7/?a=b#c", True),
        ("https://example.com/x", True),
        ("https://example.com:8443/", True),
        ("http://example.com/", False),
        ("//example.com/", False),
        ("/\\example.com/", False),
        ("javascript:alert(1)", False),
        ("JAVASCRIPT:alert(1)", False),
        (" /orders/", False),
        ("/orders/\n", False),
        ("https://user@example.com/", False),
        ("https://example.com\\@evil.example/", False),
        ("https:///x", False),
        ("https://[::1/", False),
        ("data:text/html,x", False),
        ("orders/7/", False),
    ],
)
def test_only_paths_and_https_are_links(url: str, is_valid: bool, ann: User) -> None:
    event = NotificationEvent(
        "shop_newsletter", NotificationPriority.LOW, ["app"], context=None, url=lambda context: context["url"]
    )
    if is_valid:
        assert describe_item(event, {"url": url}).url == url
    else:
        with pytest.raises(ValueError, match="must be a path of your site"):
            describe_item(event, {"url": url})

"""The inbox of the caller: their own notifications."""

from datetime import datetime
from typing import Annotated, Any, Literal

from django.db import router as databases
from django.http import Http404, HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, Field, StrictStr

from notifications.api.auth import Caller, Requires, get_caller
from notifications.api.operations.schemas import Body, Cursor, Id, Limit, Moment, make_config
from notifications.api.paging import paginate_by_time
from notifications.api.problems import Problem
from notifications.core import clock
from notifications.inbox.actions import BUILT_IN_HANDLERS, take_action
from notifications.inbox.changes import CHANGES, MAX_SNOOZE_YEARS
from notifications.inbox.feed import load_counts
from notifications.inbox.filtering import Filters
from notifications.inbox.membership import load_visible_clusters
from notifications.inbox.serializing import load_permissions, serialize_item, serialize_items
from notifications.inbox.views import reveal
from notifications.models import APIScope, InboxItem

router = Router(tags=["inbox"])
READ, WRITE = Requires(APIScope.INBOX_READ), Requires(APIScope.INBOX_WRITE)
ITEM: dict[str, Any] = {
    "id": 42,
    "revision": 7,
    "cluster": "1",
    "event": "order_shipped",
    "label": "Order shipped",
    "title": "Your order 1017 is on its way",
    "text": "It arrives on Monday.",
    "url": "https://shop.example.com/orders/1017",
    "page": "/notifications/inbox/42/",
    "icon": "",
    "priority": "medium",
    "topic": "",
    "actor": "",
    "group": "",
    "created_at": "2030-05-04T12:00:00Z",
    "seen_at": None,
    "read_at": None,
    "archived_at": None,
    "snoozed_until": None,
    "actions": [{"name": "acknowledge", "label": "Acknowledge", "is_primary": True}],
    "action_taken": "",
}


class Action(BaseModel):
    """A button of an item."""

    name: str
    label: str
    is_primary: bool


class Item(BaseModel):
    """A notification in the inbox. `title` and `text` of a sensitive one do not contain its content."""

    model_config = make_config(ITEM)

    id: int
    revision: int = Field(description="Each change of an item gives it a higher revision.")
    cluster: str
    event: str
    label: str
    title: str
    text: str = Field(description="The first 500 characters of the body.")
    url: str
    page: str = Field(description="The path of the page of the item; empty if the site has none.")
    icon: str
    priority: Literal["critical", "high", "medium", "low"]
    topic: str
    actor: str
    group: str
    created_at: datetime
    seen_at: datetime | None
    read_at: datetime | None
    archived_at: datetime | None
    snoozed_until: datetime | None
    actions: list[Action]
    action_taken: str


class ItemDetail(Item):
    """An item with its complete text."""

    model_config = make_config({**ITEM, "is_sensitive": False, "body": "It arrives on Monday."})

    is_sensitive: bool
    body: str | None = Field(description="Null if it is sensitive and the caller is a key, or it cannot be decrypted.")


class ItemPage(BaseModel):
    """Items, the newest first."""

    model_config = make_config({"items": [ITEM], "next_cursor": None})

    items: list[Item]
    next_cursor: str | None


class Counts(BaseModel):
    """The numbers of unread items."""

    model_config = make_config({"revision": 7, "total": 3, "clusters": {"1": 3}})

    revision: int
    total: int
    clusters: dict[str, int]


class Changed(BaseModel):
    """The number of items that were changed."""

    model_config = make_config({"changed": 3})

    changed: int


class Snooze(Body):
    """When the item comes back."""

    model_config = make_config({"until": "2030-05-05T08:00:00Z"}, extra="forbid")

    until: Moment


class Choice(Body):
    """The action to take."""

    model_config = make_config({"action": "dismiss"}, extra="forbid")

    action: StrictStr = Field(min_length=1, max_length=50)


class Visible:
    """The items that a caller may see, as the pages of the inbox show them."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.using = databases.db_for_write(InboxItem)
        self.now = clock.cached_now(self.using)
        user_id = caller.user.pk
        found = load_visible_clusters([user_id], self.using)[user_id]
        self.clusters = {key for key in found if caller.may_reach(key)}

    @property
    def items(self) -> Any:
        return InboxItem.objects.using(self.using).of(self.caller.user).filter(cluster__in=self.clusters)

    def get(self, item_id: int) -> InboxItem:
        """
        :raises Http404: if there is no such item, or it belongs to somebody else.
        """
        item: InboxItem | None = self.items.filter(pk=item_id).first()
        if item is None:
            raise Http404
        return item


@router.get("", auth=READ, response=ItemPage, operation_id="listInbox", summary="List the inbox")
def list_inbox(
    request: HttpRequest,
    show: Annotated[Literal["all", "unread", "archived", "snoozed"], Query("all", example="unread")] = "all",
    event: Annotated[str, Query("", max_length=100, example="order_shipped")] = "",
    topic: Annotated[str, Query("", max_length=200, example="orders")] = "",
    priority: Annotated[Literal["critical", "high", "medium", "low"] | None, Query(None, example="high")] = None,
    cluster: Annotated[str, Query("", max_length=64, example="1")] = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    """Return the items of the caller, the newest first. `all` are those that are neither archived nor snoozed."""
    visible = Visible(get_caller(request))
    filters = Filters(show, event, topic, priority or "", cluster)
    items = filters.narrow(visible.items, {str(key): key for key in visible.clusters}, visible.now)
    page = paginate_by_time("inbox", items.defer("encrypted"), cursor, limit)
    return {"items": serialize_items(page.rows), "next_cursor": page.next_cursor}


@router.get("/counts", auth=READ, response=Counts, operation_id="countInbox", summary="Count unread items")
def count_inbox(request: HttpRequest) -> Any:
    """Return the number of unread items in all and by cluster."""
    visible = Visible(get_caller(request))
    user_id = visible.caller.user.pk
    counts = load_counts([user_id], {user_id: visible.clusters}, visible.using)[user_id]
    return {"revision": counts.revision, **counts.as_json()}


@router.post("/read-all", auth=WRITE, response=Changed, operation_id="readAll", summary="Mark all items as read")
def read_all(request: HttpRequest) -> Any:
    """Mark all items as read that are neither archived nor snoozed."""
    visible = Visible(get_caller(request))
    return {"changed": visible.items.listed(visible.now).mark_read(visible.now)}


@router.get("/{int:id}", auth=READ, response=ItemDetail, operation_id="getItem", summary="Get an item")
def get_item(request: HttpRequest, id: Id) -> Any:
    """Return an item with its complete text. Reading it does not mark it as read."""
    caller = get_caller(request)
    item = Visible(caller).get(id)
    is_sensitive = bool(item.encrypted)
    # A key may be used by other people than its user.
    content = None if is_sensitive and caller.is_key else reveal(item)
    values = serialize_item(item, load_permissions([item]))
    return {**values, "is_sensitive": is_sensitive, "body": content[1] if content else None}


def _show(visible: Visible, item_id: int) -> Any:
    [values] = serialize_items([visible.get(item_id)])
    return values


def _change(request: HttpRequest, item_id: int, name: str, until: datetime | None = None) -> Any:
    visible = Visible(get_caller(request))
    visible.get(item_id)
    CHANGES[name].run(visible.items.filter(pk=item_id), visible.now, until)
    return _show(visible, item_id)


def _add_change(name: str, summary: str, description: str) -> None:
    @router.post(
        f"/{{int:id}}/{name}",
        auth=WRITE,
        response=Item,
        operation_id=f"{name}Item",
        summary=summary,
        description=description,
        url_name=f"item-{name}",
    )
    def change(request: HttpRequest, id: Id) -> Any:
        return _change(request, id, name)


for _name, _summary, _description in (
    ("seen", "Mark an item as seen", "Record that the user has seen the item, for example in a list."),
    ("read", "Mark an item as read", "Mark the item as read and return it."),
    ("unread", "Mark an item as unread", "Mark the item as unread again and return it."),
    ("archive", "Archive an item", "Archive the item, which also ends its snoozing."),
    ("unarchive", "Put an archived item back", "Put the item back into the list."),
    ("unsnooze", "End the snoozing of an item", "Put a snoozed item back into the list."),
):
    _add_change(_name, _summary, _description)


@router.post("/{int:id}/snooze", auth=WRITE, response=Item, operation_id="snoozeItem", summary="Snooze an item")
def snooze(request: HttpRequest, id: Id, body: Snooze) -> Any:
    """Hide an item until a time within the next ten years, when it is unread again."""
    now = clock.cached_now(databases.db_for_write(InboxItem))
    if not (body.until > now and body.until.year - now.year <= MAX_SNOOZE_YEARS):
        message = f"It must be a time in the future, at most {MAX_SNOOZE_YEARS} years ahead."
        raise Problem("invalid", errors=[{"location": "body.until", "message": message}])
    return _change(request, id, "snooze", body.until)


@router.post("/{int:id}/act", auth=WRITE, response=Item, operation_id="actOnItem", summary="Take an action")
def act(request: HttpRequest, id: Id, body: Choice) -> Any:
    """Take one of the `actions` of an item. If the item does not offer it, or no longer, the answer is 409."""
    visible = Visible(get_caller(request))
    visible.get(id)
    take_action(id, body.action, visible.caller.user, visible.now, visible.using)
    return _show(visible, id)


@router.post(
    "/{int:id}/acknowledge", auth=WRITE, response=Item, operation_id="acknowledgeItem", summary="Acknowledge an item"
)
def acknowledge(request: HttpRequest, id: Id) -> Any:
    """Record that the user has taken note of the notification. A second time changes nothing."""
    visible = Visible(get_caller(request))
    BUILT_IN_HANDLERS["acknowledge"](visible.get(id), visible.caller.user)
    return _show(visible, id)

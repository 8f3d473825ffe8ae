"""Send a notification, read what became of it, and send failed deliveries again."""

import base64
import binascii
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import router as databases
from django.db import transaction
from django.db.models import Count
from django.http import Http404, HttpRequest
from ninja import Router
from pydantic import BaseModel, Field, StrictBool, StrictStr, model_validator

from notifications.api.auth import Caller, Requires, get_caller
from notifications.api.clusters import choose_cluster, parse_key, require_reach
from notifications.api.idempotency import read_key, run_once
from notifications.api.operations.context_values import read_context
from notifications.api.operations.schemas import Body, ClusterKey, Cursor, Id, Limit, Moment, Reason, Whole, make_config
from notifications.api.paging import Page, cut_page, decode_cursor
from notifications.api.problems import Problem
from notifications.attachments import Attachment
from notifications.core.addresses import mask_address
from notifications.events import BuiltInEvents, key_of
from notifications.manager import NotificationManager
from notifications.models import APIScope, Delivery, Notification, NotificationLog, get_members
from notifications.outcomes import DeliveryState
from notifications.recipients import Address, Members, To, Topic
from notifications.sending.resend import RESEND_PERMISSION, RESENDABLE_STATES, reopen, wake_workers

router = Router(tags=["notifications"])
SEND = Requires(APIScope.SEND, "klaxon.send_notification")
STATUS = Requires(APIScope.STATUS)
RESEND = Requires(APIScope.RESEND, RESEND_PERMISSION)
VIEW_PERMISSION = "klaxon.view_notification"
MAX_RECIPIENTS = 1000
MAX_RESENT = 1000
OPTIONS = (
    *("channels", "level", "priority", "send_at", "expires_at", "idempotency_key"),
    *("topic", "campaign", "correlation_id", "cancel_key"),
)
# What Klaxon sends itself. Whoever sends these could put links of their own into messages that nobody can turn off.
OWN_EVENTS = {event.value for event in BuiltInEvents} - {
    BuiltInEvents.MESSAGE.value,
    BuiltInEvents.CRITICAL_MESSAGE.value,
}
KINDS = ("user", "group", "topic", "members", "address")
Text = Annotated[StrictStr, Field(min_length=1, max_length=200)]


class Recipient(Body):
    """One recipient: exactly one of `user`, `group`, `topic`, `members` and `address`."""

    model_config = make_config({"user": "7"}, extra="forbid")

    user: Annotated[StrictStr, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="The primary key of a member of the cluster."
    )
    group: Annotated[StrictStr, Field(min_length=1, max_length=150)] | None = Field(
        default=None, description="The name of a group."
    )
    topic: Text | None = Field(default=None, description="All subscribers of a topic.")
    members: Literal[True] | None = Field(default=None, description="All members of the cluster.")
    address: dict[StrictStr, StrictStr] | None = Field(
        default=None,
        description="Addresses of somebody without an account, by kind.",
        min_length=1,
        max_length=10,
        examples=[{"email": "contact@example.com"}],
    )
    channels: list[Text] | None = Field(
        default=None, min_length=1, max_length=50, description="Some of the channels of the call."
    )

    @model_validator(mode="after")
    def check_kind(self) -> "Recipient":
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(f"give exactly one of {', '.join(KINDS)}")
        return self


class File(Body):
    """An attachment."""

    name: Annotated[StrictStr, Field(min_length=1, max_length=255)]
    content: StrictStr = Field(description="The content in base64.")
    mimetype: Annotated[StrictStr, Field(max_length=255)] | None = None


class Message(Body):
    """A call of `NotificationManager.send()`."""

    model_config = make_config(
        {
            "event": "message",
            "recipients": [{"user": "7"}],
            "context": {"title": "Power cut", "message": "The power is off from 10 to 11."},
            "channels": ["app"],
            "level": "warning",
            "campaign": "maintenance",
        },
        extra="forbid",
    )

    event: Annotated[StrictStr, Field(min_length=1, max_length=100)] = Field(description="The name of an event.")
    recipients: list[Recipient] = Field(min_length=1, max_length=MAX_RECIPIENTS)
    cluster: ClusterKey = None
    context: dict[str, Any] | None = Field(
        default=None, description="The values that the event declares; dates, times and decimals as texts."
    )
    channels: list[Text] | None = Field(default=None, min_length=1, max_length=50)
    level: Literal["critical", "warning", "info", "debug"] | None = None
    priority: Annotated[int, Field(ge=1, le=4), Whole] | None = None
    send_at: Moment | None = None
    expires_at: Moment | None = None
    idempotency_key: Text | None = Field(
        default=None, description="As in Python: it belongs to the event and the cluster, and does not expire."
    )
    topic: Text | None = None
    campaign: Text | None = None
    correlation_id: Annotated[StrictStr, Field(min_length=1, max_length=100)] | None = None
    cancel_key: Text | None = None
    attachments: list[File] | None = Field(default=None, max_length=100)


class Sent(BaseModel):
    """What a call has queued, as `SendResult` describes it."""

    model_config = make_config(
        {
            "id": 17,
            "queued": 1,
            "held": 0,
            "dropped": 0,
            "reasons": {},
            "not_configured": [],
            "refused_channels": [],
            "is_duplicate": False,
            "is_refused": False,
            "problems": [],
        }
    )

    id: int
    queued: int
    held: int
    dropped: int
    reasons: dict[str, int] = Field(description="The number of dropped deliveries by reason.")
    not_configured: list[str]
    refused_channels: list[str]
    is_duplicate: bool = Field(description="Whether the option `idempotency_key` was used before.")
    is_refused: bool = Field(description="Whether a recipient was refused for a technical reason.")
    problems: list[str]


class Status(BaseModel):
    """A notification, and its deliveries by state."""

    model_config = make_config(
        {
            "id": 17,
            "event": "message",
            "cluster": "1",
            "priority": 2,
            "topic": "",
            "campaign": "maintenance",
            "correlation_id": "b7f1c0de",
            "created_at": "2030-05-04T12:00:00Z",
            "send_at": None,
            "expires_at": None,
            "cancelled_at": None,
            "states": {"sent": 1},
            "dropped": {"preference": 1},
        }
    )

    id: int
    event: str
    cluster: str
    priority: int
    topic: str
    campaign: str
    correlation_id: str
    created_at: datetime
    send_at: datetime | None
    expires_at: datetime | None
    cancelled_at: datetime | None
    states: dict[str, int] = Field(description="The number of deliveries by state.")
    dropped: dict[str, int] = Field(description="The number of recipients and channels that were dropped, by reason.")


DELIVERY: dict[str, Any] = {
    "id": 99,
    "recipient": "u:7",
    "address": "a…@example.com",
    "channel": "email",
    "state": "sent",
    "reason": "",
    "attempts": 1,
    "due_at": None,
    "settled_at": "2030-05-04T12:00:01Z",
}


class DeliveryStatus(BaseModel):
    """What became of one recipient on one channel."""

    model_config = make_config(DELIVERY)

    id: int | None = Field(description="The id of the delivery; null if it was dropped before there was one.")
    recipient: str = Field(description="`u:` and the primary key of a user, or `a:` and a hash of an address.")
    address: str = Field(description="The masked address.")
    channel: str
    state: str
    reason: str
    attempts: int
    due_at: datetime | None
    settled_at: datetime | None


class DeliveryPage(BaseModel):
    """Deliveries, and then what was dropped at once."""

    model_config = make_config({"items": [DELIVERY], "next_cursor": None})

    items: list[DeliveryStatus]
    next_cursor: str | None


class Resend(Body):
    """Which deliveries to send again, and why."""

    model_config = make_config({"reason": "The provider had an outage.", "deliveries": [99]}, extra="forbid")

    reason: Reason
    deliveries: list[Annotated[int, Field(ge=1, le=2**63 - 1), Whole]] | None = Field(
        default=None, min_length=1, max_length=MAX_RESENT, description="Their ids; by default all that can be sent."
    )


class Resent(BaseModel):
    """The deliveries that are sent again."""

    model_config = make_config({"deliveries": [99], "has_more": False})

    deliveries: list[int]
    has_more: StrictBool = Field(description="Whether there are more, because one request sends at most 1000.")


@router.post(
    "",
    auth=SEND,
    response={202: Sent},
    operation_id="send",
    summary="Send a notification",
    openapi_extra={"x-idempotent": True},
)
def send(request: HttpRequest, body: Message) -> Any:
    """Queue a notification, with the caller as its actor.

    Users must be members of the cluster. Requires `Idempotency-Key`. The answer says what was queued; its `id` leads to
    the status. Events that Klaxon sends itself, such as `magic_link`, give 403.
    """
    caller = get_caller(request)
    read_key(request)
    if key_of(body.event) in OWN_EVENTS:
        raise Problem("not-permitted", f"Klaxon sends the event {body.event!r} itself.")
    cluster = choose_cluster(caller, body.cluster)
    return run_once(request, 202, lambda: _send(caller, cluster, body))


def _send(caller: Caller, cluster: Any, body: Message) -> dict[str, Any]:
    options: dict[str, Any] = {name: value for name in OPTIONS if (value := getattr(body, name)) is not None}
    if body.attachments:
        options["attachments"] = [_read_file(number, one) for number, one in enumerate(body.attachments)]
    recipients = list(_build_recipients(body.recipients, cluster))
    context = read_context(body.event, body.context)
    result = NotificationManager.send(body.event, recipients, cluster, context, actor=caller.user, **options)
    if result.bad_call or result.notification_id is None:
        raise Problem("invalid", " ".join(result.problems))
    sent = Sent(
        id=result.notification_id,
        queued=result.queued,
        held=result.held,
        dropped=result.dropped,
        reasons={str(reason): count for reason, count in result.reasons.items()},
        not_configured=list(result.not_configured),
        refused_channels=list(result.refused_channels),
        is_duplicate=result.duplicate,
        is_refused=result.refused,
        problems=list(result.problems),
    )
    return sent.model_dump(mode="json")


def _read_file(number: int, file: File) -> Attachment:
    try:
        content = base64.b64decode(file.content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _make_error(f"attachments.{number}.content", "It is not base64.") from error
    return Attachment(file.name, content, file.mimetype)


def _build_recipients(given: list[Recipient], cluster: Any) -> Iterator[Any]:
    users = _load_users([one.user for one in given if one.user is not None], cluster)
    groups = {group.name: group for group in Group.objects.filter(name__in={one.group for one in given if one.group})}
    for number, one in enumerate(given):
        where = f"recipients.{number}"
        found: Any
        if one.user is not None:
            found = users.get(one.user)
            if found is None:
                raise _make_error(f"{where}.user", "The cluster has no member with this primary key.")
        elif one.group is not None:
            found = groups.get(one.group)
            if found is None:
                raise _make_error(f"{where}.group", "There is no group with this name.")
        elif one.topic is not None:
            found = Topic(one.topic)
        elif one.address is not None:
            found = Address(**one.address)
        else:
            found = Members(cluster)
        yield To(found, channels=one.channels) if one.channels else found


def _load_users(texts: Iterable[str], cluster: Any) -> dict[str, Any]:
    """Return those of the users who are members of the cluster, by the texts of their keys. Takes one query."""
    keys = {text: parse_key(get_user_model(), text) for text in texts}
    wanted = {key for key in keys.values() if key is not None}
    if not wanted:
        return {}
    found = {user.pk: user for user in get_members(cluster).order_by().filter(pk__in=wanted)}
    return {text: found[key] for text, key in keys.items() if key in found}


def _make_error(location: str, message: str) -> Problem:
    return Problem("invalid", errors=[{"location": f"body.{location}", "message": message}])


def find_notification(caller: Caller, notification_id: int, needs_permission: bool = True) -> Notification:
    """Return a notification of a cluster that the caller reaches.

    :param needs_permission: whether only its actor and those with the permission to view notifications may see it.
    :raises Http404: if there is none, or the caller may not see it.
    """
    rows = Notification.objects.using(databases.db_for_write(Notification))
    found = rows.select_related("cluster").defer("context").filter(pk=notification_id).first()
    if found is None:
        raise Http404
    require_reach(caller, found.cluster_id)
    if needs_permission and found.actor_id != caller.user.pk and not caller.user.has_perm(VIEW_PERMISSION):
        raise Http404
    return found


@router.get("/{int:id}", auth=STATUS, response=Status, operation_id="getStatus", summary="Get the status")
def get_status(request: HttpRequest, id: Id) -> Any:
    """Return a notification with the number of its deliveries in each state.

    The caller must be its actor, or have the permission `klaxon.view_notification`.
    """
    found = find_notification(get_caller(request), id)
    states = _list_deliveries(found).order_by().values_list("state").annotate(count=Count("pk"))
    dropped = _list_drops(found).order_by().values_list("reason").annotate(count=Count("pk"))
    return {
        "id": found.pk,
        "event": found.event,
        "cluster": str(found.cluster_id),
        "priority": found.priority,
        "topic": found.topic,
        "campaign": found.campaign,
        "correlation_id": str(found.correlation_id),
        "created_at": found.created_at,
        "send_at": found.send_at,
        "expires_at": found.expires_at,
        "cancelled_at": found.cancelled_at,
        "states": dict(states),
        "dropped": dict(dropped),
    }


@router.get(
    "/{int:id}/deliveries",
    auth=STATUS,
    response=DeliveryPage,
    operation_id="listDeliveries",
    summary="List what became of each recipient",
)
def list_deliveries(request: HttpRequest, id: Id, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """Return the state of each recipient on each channel."""
    found = find_notification(get_caller(request), id)
    page = _read_page(found, cursor, limit)
    return {"items": [_describe(row) for row in page.rows], "next_cursor": page.next_cursor}


def _read_page(found: Notification, cursor: str | None, limit: int) -> Page:
    """Return the deliveries first, which the cursor marks by 0, and then the drops, which it marks by 1."""
    part, last = decode_cursor("deliveries", cursor, 2) if cursor is not None else (0, 0)
    rows: list[Any] = []
    if part == 0:
        rows += _list_deliveries(found).filter(pk__gt=last).order_by("pk")[: limit + 1]
    if len(rows) <= limit:
        drops = _list_drops(found).select_related("personal").filter(pk__gt=last if part else 0)
        rows += drops.order_by("pk")[: limit + 1 - len(rows)]
    return cut_page("deliveries", rows, limit, lambda row: (int(isinstance(row, NotificationLog)), row.pk))


def _list_deliveries(found: Notification) -> Any:
    return Delivery.objects.using(found._state.db).filter(notification=found.pk)


def _list_drops(found: Notification) -> Any:
    drops = NotificationLog.objects.using(found._state.db).filter(notification=found.pk, delivery=None)
    return drops.filter(kind=NotificationLog.Kind.DROP)


def _describe(row: Delivery | NotificationLog) -> dict[str, Any]:
    is_delivery = isinstance(row, Delivery)
    return {
        "id": row.pk if is_delivery else None,
        "recipient": row.recipient_key,
        "address": mask_address(row.address) if is_delivery else row.address,
        "channel": row.channel,
        "state": row.state if isinstance(row, Delivery) else DeliveryState.DROPPED,
        "reason": row.reason,
        "attempts": row.attempts if isinstance(row, Delivery) else 0,
        "due_at": row.due_at if isinstance(row, Delivery) else None,
        "settled_at": row.settled_at if isinstance(row, Delivery) else row.sent_at,
    }


@router.post(
    "/{int:id}/resend",
    auth=RESEND,
    response={202: Resent},
    operation_id="resend",
    summary="Send failed deliveries again",
    openapi_extra={"x-idempotent": True},
)
def resend(request: HttpRequest, id: Id, body: Resend) -> Any:
    """Send the dead and unknown deliveries of a notification again. The log records the reason and the user.

    Requires `Idempotency-Key`. If none can be sent again, the answer is 409.
    """
    caller = get_caller(request)
    read_key(request)
    found = find_notification(caller, id, needs_permission=False)
    return run_once(request, 202, lambda: _resend(caller, found, body))


def _resend(caller: Caller, found: Notification, body: Resend) -> dict[str, Any]:
    rows = _list_deliveries(found).filter(state__in=RESENDABLE_STATES)
    if body.deliveries is not None:
        rows = rows.filter(pk__in=body.deliveries)
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[: MAX_RESENT + 1])
    with transaction.atomic(using=found._state.db):
        reopened = reopen(_list_deliveries(found).filter(pk__in=ids[:MAX_RESENT]), body.reason, caller.user)
        wake_workers(reopened)
    if not reopened:
        raise Problem("conflict", "None of the deliveries is dead or unknown.")
    return {"deliveries": [row.pk for row in reopened], "has_more": len(ids) > MAX_RESENT}

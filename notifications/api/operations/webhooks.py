"""Webhook endpoints of a cluster: what they get, their secrets, and the log of their attempts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from django.db import router as databases
from django.http import Http404, HttpRequest
from ninja import Path, Router
from pydantic import BaseModel, Field, StrictStr

from notifications.api.auth import Caller, Requires, get_caller
from notifications.api.clusters import choose_cluster, require_reach
from notifications.api.operations.schemas import (
    Body,
    ClusterKey,
    ClusterQuery,
    Cursor,
    Id,
    Limit,
    Moment,
    Reason,
    Whole,
    make_config,
)
from notifications.api.paging import cut_page, decode_cursor, paginate_by_id
from notifications.api.problems import Problem
from notifications.exceptions import AddressForbidden, ChannelNotConfigured, InvalidOption
from notifications.models import APIScope, WebhookAttempt, WebhookEndpoint
from notifications.models.webhook_endpoint import DESCRIPTION_LENGTH, URL_LENGTH
from notifications.webhooks import (
    CreatedEndpoint,
    create_endpoint,
    delete_endpoint,
    list_attempts,
    replay_failed,
    rotate_secret,
    send_again,
    send_test_message,
    set_enabled,
    update_endpoint,
)
from notifications.webhooks.endpoints import MAX_OVERLAP, OVERLAP, get_channel
from notifications.webhooks.resending import is_resendable

router = Router(tags=["webhooks"])
PERMISSION = "klaxon.manage_webhooks"
READ = Requires(APIScope.WEBHOOKS_READ, PERMISSION)
WRITE = Requires(APIScope.WEBHOOKS_WRITE, PERMISSION)
HOUR = timedelta(hours=1)
EndpointId = Annotated[str, Path(..., min_length=1, max_length=40, example="ep_5f3a9c0d1e2b4a6f8c7d9e0b")]
Url = Annotated[StrictStr, Field(min_length=1, max_length=URL_LENGTH, json_schema_extra={"format": "uri"})]
Description = Annotated[StrictStr, Field(max_length=DESCRIPTION_LENGTH)]
Events = Annotated[
    list[Annotated[StrictStr, Field(min_length=1, max_length=100)]],
    Field(max_length=500, description="The names of the events that it gets; empty for all."),
]
ENDPOINT: dict[str, Any] = {
    "id": "ep_5f3a9c0d1e2b4a6f8c7d9e0b",
    "cluster": "1",
    "owner": "7",
    "url": "https://hooks.example.com/klaxon",
    "description": "The warehouse",
    "events": ["order_packed"],
    "kind": "v1",
    "is_enabled": True,
    "disabled_at": None,
    "disabled_reason": "",
    "failing_since": None,
    "succeeded_at": "2030-05-04T12:00:00Z",
    "slowed_until": None,
    "previous_until": None,
    "created_at": "2030-05-01T12:00:00Z",
}
ATTEMPT: dict[str, Any] = {
    "id": 42,
    "message_id": "msg_2f1c",
    "event": "order_packed",
    "at": "2030-05-04T12:00:00Z",
    "status": 500,
    "error": "The endpoint answered 500.",
    "duration": 0.25,
    "is_accepted": False,
    "can_be_resent": True,
}


class Endpoint(BaseModel):
    """An endpoint, without its secret."""

    model_config = make_config(ENDPOINT)

    id: str
    cluster: str
    owner: str | None = Field(description="The primary key of the user who is informed if it is disabled.")
    url: str
    description: str
    events: list[str] = Field(description="Empty for all events.")
    kind: str = Field(description="The signature: `v1` or `v1a`.")
    is_enabled: bool
    disabled_at: datetime | None
    disabled_reason: str = Field(description="`person`, `gone`, `failing`, or empty if it is enabled.")
    failing_since: datetime | None
    succeeded_at: datetime | None
    slowed_until: datetime | None = Field(description="Until when nothing is sent to it.")
    previous_until: datetime | None = Field(description="Until when the secret before the last rotation signs too.")
    created_at: datetime


class EndpointPage(BaseModel):
    """Endpoints, the newest first."""

    model_config = make_config({"items": [ENDPOINT], "next_cursor": None})

    items: list[Endpoint]
    next_cursor: str | None


class EndpointWithSecret(Endpoint):
    """An endpoint with a new secret, which no other answer contains."""

    model_config = make_config({**ENDPOINT, "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"})

    secret: str = Field(description="What verifies signatures: the secret of `v1`, or the public key of `v1a`.")


class NewEndpoint(Body):
    """An endpoint to add."""

    model_config = make_config(
        {"url": "https://hooks.example.com/klaxon", "description": "The warehouse", "events": ["order_packed"]},
        extra="forbid",
    )

    url: Url
    description: Description = ""
    events: Events = []
    kind: Literal["v1", "v1a"] = Field(default="v1", description="The signature.")
    cluster: ClusterKey = None


class EndpointChange(Body):
    """What to change. What is missing or null stays."""

    model_config = make_config({"description": "The new warehouse", "events": []}, extra="forbid")

    url: Url | None = None
    description: Description | None = None
    events: Events | None = None


class Rotation(Body):
    """How long the old secret signs too."""

    model_config = make_config({"overlap_hours": 24}, extra="forbid")

    overlap_hours: Annotated[int, Field(ge=0, le=MAX_OVERLAP // HOUR), Whole] = Field(
        default=OVERLAP // HOUR, description="With 0, the old secret is worthless at once, as after a leak."
    )


class Attempt(BaseModel):
    """A request to an endpoint."""

    model_config = make_config(ATTEMPT)

    id: int
    message_id: str = Field(description="The header `webhook-id`.")
    event: str
    at: datetime
    status: int | None = Field(description="The HTTP status; null if there was no answer.")
    error: str
    duration: float = Field(description="Seconds.")
    is_accepted: bool
    can_be_resent: bool = Field(description="Whether the message has failed for good.")


class AttemptPage(BaseModel):
    """Attempts, the newest first."""

    model_config = make_config({"items": [ATTEMPT], "next_cursor": None})

    items: list[Attempt]
    next_cursor: str | None


class AttemptResend(Body):
    """Why a message is sent again."""

    model_config = make_config({"reason": "The receiver was down."}, extra="forbid")

    reason: Reason


class Replay(Body):
    """What is sent again, and why."""

    model_config = make_config({"since": "2030-05-04T12:00:00Z", "reason": "The receiver was down."}, extra="forbid")

    since: Moment = Field(description="Messages that failed for good at or after this time are sent again.")
    reason: Reason


class Replayed(BaseModel):
    """The number of messages that are sent again."""

    model_config = make_config({"count": 12})

    count: int


class SentMessage(BaseModel):
    """A message that is on its way."""

    model_config = make_config({"notification": 17})

    notification: int = Field(description="The id of the notification, whose status `getStatus` returns.")


def _get_rows() -> Any:
    return WebhookEndpoint.objects.using(databases.db_for_write(WebhookEndpoint))


def _describe(row: WebhookEndpoint) -> dict[str, Any]:
    names = ("url", "description", "events", "kind", "disabled_at", "disabled_reason", "failing_since", "succeeded_at")
    return {
        "id": row.uid,
        "cluster": str(row.cluster_id),
        "owner": None if row.owner_id is None else str(row.owner_id),
        "is_enabled": row.enabled,
        **{name: getattr(row, name) for name in (*names, "slowed_until", "previous_until", "created_at")},
    }


def _describe_with_secret(created: CreatedEndpoint) -> dict[str, Any]:
    return {**_describe(created.endpoint), "secret": created.secret}


def _describe_attempt(row: WebhookAttempt) -> dict[str, Any]:
    names = ("message_id", "event", "at", "status", "error", "duration")
    return {
        "id": row.pk,
        **{name: getattr(row, name) for name in names},
        "is_accepted": row.accepted,
        "can_be_resent": is_resendable(row.delivery),
    }


def _require_channel() -> None:
    try:
        get_channel()
    except ChannelNotConfigured as error:
        raise Problem("not-found", "The site has no webhooks.") from error


def _find(caller: Caller, uid: str) -> WebhookEndpoint:
    """Return an endpoint of a cluster that the caller reaches.

    :raises Http404: if there is none.
    """
    _require_channel()
    found: WebhookEndpoint | None = _get_rows().select_related("cluster").filter(uid=uid).first()
    if found is None:
        raise Http404
    require_reach(caller, found.cluster_id)
    return found


def _save(save: Callable[[], Any]) -> Any:
    try:
        return save()
    except AddressForbidden as error:
        raise Problem("invalid", errors=[{"location": "body.url", "message": str(error)}]) from error


@contextmanager
def _refuse_state() -> Iterator[None]:
    """Answer 409 if the state of the endpoint or the message does not allow something."""
    try:
        yield
    except InvalidOption as error:
        raise Problem("conflict", str(error)) from error


@router.get("", auth=READ, response=EndpointPage, operation_id="listEndpoints", summary="List webhook endpoints")
def list_endpoints(request: HttpRequest, cluster: ClusterQuery = None, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """Return the endpoints of a cluster."""
    _require_channel()
    chosen = choose_cluster(get_caller(request), cluster)
    page = paginate_by_id("webhooks", _get_rows().filter(cluster=chosen), cursor, limit)
    return {"items": [_describe(row) for row in page.rows], "next_cursor": page.next_cursor}


@router.post(
    "",
    auth=WRITE,
    response={201: EndpointWithSecret},
    operation_id="createEndpoint",
    summary="Add a webhook endpoint",
)
def create(request: HttpRequest, body: NewEndpoint) -> Any:
    """Add an endpoint, owned by the caller. Only this answer contains its secret.

    If the answer is lost, rotate the secret with an overlap of 0. The cluster can have each URL once.
    """
    _require_channel()
    caller = get_caller(request)
    cluster = choose_cluster(caller, body.cluster)
    values = body.model_dump(exclude={"cluster"})
    return _describe_with_secret(_save(lambda: create_endpoint(cluster, owner=caller.user, **values)))


@router.get("/{id}", auth=READ, response=Endpoint, operation_id="getEndpoint", summary="Get a webhook endpoint")
def get_endpoint(request: HttpRequest, id: EndpointId) -> Any:
    """Return an endpoint, without its secret."""
    return _describe(_find(get_caller(request), id))


@router.patch(
    "/{id}", auth=WRITE, response=Endpoint, operation_id="updateEndpoint", summary="Change a webhook endpoint"
)
def update(request: HttpRequest, id: EndpointId, body: EndpointChange) -> Any:
    """Change the URL, the description or the events."""
    endpoint = _find(get_caller(request), id)
    return _describe(_save(lambda: update_endpoint(endpoint, **body.model_dump())))


@router.delete(
    "/{id}", auth=WRITE, response={204: None}, operation_id="deleteEndpoint", summary="Delete a webhook endpoint"
)
def delete(request: HttpRequest, id: EndpointId) -> None:
    """Delete an endpoint with the log of its attempts. Messages that wait for it become dead letters."""
    delete_endpoint(_find(get_caller(request), id))


@router.post(
    "/{id}/enable", auth=WRITE, response=Endpoint, operation_id="enableEndpoint", summary="Enable a webhook endpoint"
)
def enable(request: HttpRequest, id: EndpointId) -> Any:
    """Let an endpoint get messages again. `replay` sends those that have failed meanwhile."""
    endpoint = _find(get_caller(request), id)
    with _refuse_state():
        return _describe(set_enabled(endpoint, True))


@router.post(
    "/{id}/disable", auth=WRITE, response=Endpoint, operation_id="disableEndpoint", summary="Disable a webhook endpoint"
)
def disable(request: HttpRequest, id: EndpointId) -> Any:
    """Let an endpoint get nothing. Messages that wait for it become dead letters."""
    endpoint = _find(get_caller(request), id)
    with _refuse_state():
        return _describe(set_enabled(endpoint, False))


@router.post(
    "/{id}/rotate",
    auth=WRITE,
    response=EndpointWithSecret,
    operation_id="rotateSecret",
    summary="Give a webhook endpoint a new secret",
)
def rotate(request: HttpRequest, id: EndpointId, body: Rotation) -> Any:
    """Give an endpoint a new secret. Only this answer contains it. The old one signs too until the overlap ends.

    A second rotation within the overlap gives 409, unless its own overlap is 0: the receiver would be cut off.
    """
    endpoint = _find(get_caller(request), id)
    with _refuse_state():
        return _describe_with_secret(rotate_secret(endpoint, overlap=body.overlap_hours * HOUR))


@router.post(
    "/{id}/test",
    auth=WRITE,
    response={202: SentMessage},
    operation_id="testEndpoint",
    summary="Send a test message to a webhook endpoint",
)
def send_test(request: HttpRequest, id: EndpointId) -> Any:
    """Queue the event `test_message` for an enabled endpoint, at most 20 times in an hour."""
    caller = get_caller(request)
    endpoint = _find(caller, id)
    with _refuse_state():
        result = send_test_message(endpoint, caller.user)
    if result.reasons or result.notification_id is None:
        reasons = ", ".join(str(reason) for reason in result.reasons) or " ".join(result.problems)
        raise Problem("conflict", f"The message cannot be sent: {reasons}.")
    return {"notification": result.notification_id}


@router.post(
    "/{id}/replay",
    auth=WRITE,
    response={202: Replayed},
    operation_id="replayFailed",
    summary="Send everything again that has failed",
)
def replay(request: HttpRequest, id: EndpointId, body: Replay) -> Any:
    """Send the messages of an enabled endpoint again that have failed for good since a time.

    Each keeps its `webhook-id`. A repeated request sends nothing twice that has not failed again.
    """
    caller = get_caller(request)
    endpoint = _find(caller, id)
    with _refuse_state():
        return {"count": replay_failed(endpoint, body.since, body.reason, caller.user)}


@router.get(
    "/{id}/attempts",
    auth=READ,
    response=AttemptPage,
    operation_id="listAttempts",
    summary="List the requests to a webhook endpoint",
)
def list_all_attempts(request: HttpRequest, id: EndpointId, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """Return the requests to an endpoint that are kept, without bodies and headers."""
    endpoint = _find(get_caller(request), id)
    before = decode_cursor("attempts", cursor, 1)[0] if cursor is not None else None
    page = cut_page("attempts", list_attempts(endpoint, before, limit + 1), limit, lambda row: (row.pk,))
    return {"items": [_describe_attempt(row) for row in page.rows], "next_cursor": page.next_cursor}


@router.post(
    "/{id}/attempts/{int:attempt}/resend",
    auth=WRITE,
    response={202: SentMessage},
    operation_id="resendAttempt",
    summary="Send the message of an attempt again",
)
def resend_attempt(request: HttpRequest, id: EndpointId, attempt: Id, body: AttemptResend) -> Any:
    """Send a message of an enabled endpoint again that is dead or unknown. It keeps its `webhook-id`.

    If the endpoint or the message has another state, the answer is 409.
    """
    caller = get_caller(request)
    endpoint = _find(caller, id)
    attempts = WebhookAttempt.objects.using(databases.db_for_write(WebhookAttempt))
    found = attempts.filter(endpoint=endpoint, pk=attempt).only("delivery_id").first()
    if found is None:
        raise Http404
    if found.delivery_id is None:
        raise Problem("conflict", "This message does not exist any more.")
    with _refuse_state():
        delivery = send_again(endpoint, found.delivery_id, body.reason, caller.user)
    return {"notification": delivery.notification_id}

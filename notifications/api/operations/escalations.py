"""Escalations: which ones run, what has happened in them, and what people do with them."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from django.contrib.auth import get_user_model
from django.db import router as databases
from django.http import Http404, HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, Field, StrictStr

from notifications import escalation
from notifications.api.auth import Caller, Requires, get_caller
from notifications.api.clusters import choose_cluster, parse_key, require_reach
from notifications.api.idempotency import read_key, run_once
from notifications.api.operations.schemas import Body, ClusterQuery, Cursor, Id, Limit, Moment, Whole, make_config
from notifications.api.paging import paginate_by_id
from notifications.api.problems import Problem
from notifications.core.addresses import mask_addresses
from notifications.escalation.actions import PERMISSION, check_may_act
from notifications.exceptions import NotPermitted
from notifications.models import APIScope, EscalationEntry, EscalationRun, Notification, get_members

router = Router(tags=["escalations"])
READ = Requires(APIScope.ESCALATIONS_READ, "klaxon.view_escalationrun")
# Recipients may act too, so the actions check the permission of the user.
ACT = Requires(APIScope.ESCALATIONS_WRITE)
MAX_ENTRIES = 500
MAX_ID = 2**63 - 1
RUN: dict[str, Any] = {
    "id": 42,
    "notification": 42,
    "event": "pump_failed",
    "cluster": "1",
    "state": "active",
    "next_step": 2,
    "due_at": "2030-05-04T12:30:00Z",
    "started_at": "2030-05-04T12:00:00Z",
    "acknowledged_at": None,
    "acknowledged_by": None,
    "ended_at": None,
}
STEP = {
    "step": 2,
    "at": "2030-05-04T12:30:00Z",
    "is_sent": False,
    "targets": ["role:Directors"],
    "channels": [],
}
ENTRY = {
    "at": "2030-05-04T12:15:00Z",
    "kind": "sent",
    "step": 1,
    "targets": ["user:ada"],
    "notification": 43,
    "by": None,
    "note": "",
}


class Run(BaseModel):
    """The escalation of a notification."""

    model_config = make_config(RUN)

    id: int
    notification: int
    event: str
    cluster: str
    state: Literal["active", "acknowledged", "resolved", "exhausted", "cancelled"]
    next_step: int | None = Field(description="The number of the step that is sent next; null after the last one.")
    due_at: datetime | None = Field(description="When something happens next; null if nothing does.")
    started_at: datetime
    acknowledged_at: datetime | None = Field(description="The time of the latest acknowledgement.")
    acknowledged_by: str | None = Field(description="The primary key of the user.")
    ended_at: datetime | None


class RunPage(BaseModel):
    """Escalations, the newest first."""

    model_config = make_config({"items": [RUN], "next_cursor": None})

    items: list[Run]
    next_cursor: str | None


class StepTime(BaseModel):
    """One time at which the notification is sent again; a step that is repeated has several."""

    model_config = make_config(STEP)

    step: int
    at: datetime | None = Field(description="Null if it is sent already, or nothing happens at present.")
    is_sent: bool
    targets: list[str] = Field(description="As the escalation names them; addresses are masked.")
    channels: list[str] = Field(description="Empty for those of the event.")


class Entry(BaseModel):
    """Something that has happened."""

    model_config = make_config(ENTRY)

    at: datetime
    kind: str
    step: int | None
    targets: list[str]
    notification: int | None = Field(description="The notification that was sent.")
    by: str | None = Field(description="The primary key of the user.")
    note: str = Field(description="A reason, or what went wrong. Addresses are masked.")


class RunDetail(Run):
    """An escalation with its steps and its history."""

    model_config = make_config({**RUN, "steps": [STEP], "entries": [ENTRY]})

    steps: list[StepTime]
    entries: list[Entry] = Field(description=f"The latest {MAX_ENTRIES}, the oldest first.")


NotificationId = Annotated[int, Whole, Field(ge=1, le=MAX_ID)]
Note = Annotated[StrictStr, Field(default="", max_length=500, description="Kept in the history.")]


class Start(Body):
    """What to escalate."""

    model_config = make_config({"notification": 42, "reason": "It smells of smoke."}, extra="forbid")

    notification: NotificationId
    reason: Note = ""


class Remark(Body):
    """Why somebody acts."""

    model_config = make_config({"reason": "I cannot get there."}, extra="forbid")

    reason: Note = ""


class Pause(Body):
    """Until when nothing happens."""

    model_config = make_config({"until": "2030-05-04T14:00:00Z"}, extra="forbid")

    until: Moment = Field(description="A time in the next 30 days.")


class HandOver(Body):
    """Who gets the escalation."""

    model_config = make_config({"to": "7", "reason": "I am at the other site."}, extra="forbid")

    to: Annotated[StrictStr, Field(min_length=1, max_length=64, description="The primary key of a member.")]
    reason: Note = ""


def _get_rows() -> Any:
    rows = EscalationRun.objects.using(databases.db_for_write(EscalationRun))
    return rows.select_related("notification")


def _find(caller: Caller, run_id: int) -> EscalationRun:
    """
    :raises Http404: if there is no such escalation, or the caller does not reach its cluster.
    """
    run: EscalationRun | None = _get_rows().filter(pk=run_id).first()
    if run is None:
        raise Http404
    require_reach(caller, run.notification.cluster_id)
    return run


def _find_to_act(caller: Caller, run_id: int) -> EscalationRun:
    run = _find(caller, run_id)
    _require_right(run.notification, caller)
    return run


def _require_right(notification: Notification, caller: Caller) -> None:
    """
    :raises Problem: if the user may not act. It does not say what the notification is about.
    """
    try:
        check_may_act(notification, caller.user)
    except NotPermitted as error:
        message = f"The user is not one of its recipients, and does not have the permission {PERMISSION!r}."
        raise Problem("not-permitted", message) from error


def _describe(run: EscalationRun) -> dict[str, Any]:
    page = run.next_page
    return {
        "id": run.pk,
        "notification": run.notification_id,
        "event": run.event,
        "cluster": str(run.notification.cluster_id),
        "state": str(run.state),
        "next_step": page.step if page and not run.is_over else None,
        "due_at": run.due_at,
        "started_at": run.started_at,
        "acknowledged_at": run.acknowledged_at,
        "acknowledged_by": None if run.acknowledged_by_id is None else str(run.acknowledged_by_id),
        "ended_at": run.ended_at,
    }


def _describe_steps(run: EscalationRun) -> list[dict[str, Any]]:
    pages = [page for index in range(len(run.pages)) if (page := run.get_page(index))]
    return [
        {
            "step": page.step,
            "at": run.get_time(index) if index >= run.position and run.due_at is not None else None,
            "is_sent": index < run.position,
            "targets": [mask_addresses(target) for target in page.targets],
            "channels": list(page.channels),
        }
        for index, page in enumerate(pages)
    ]


def _describe_entry(entry: EscalationEntry) -> dict[str, Any]:
    return {
        "at": entry.at,
        "kind": str(entry.kind),
        "step": entry.step,
        "targets": [mask_addresses(target) for target in entry.targets],
        "notification": entry.notification_id,
        "by": None if entry.by_id is None else str(entry.by_id),
        "note": mask_addresses(entry.note),
    }


@router.get("", auth=READ, response=RunPage, operation_id="listEscalations", summary="List escalations")
def list_escalations(
    request: HttpRequest,
    cluster: ClusterQuery = None,
    state: Annotated[
        Literal["running", "active", "acknowledged", "resolved", "exhausted", "cancelled", "all"],
        Query("running", description="`running` are those in which something happens next.", example="running"),
    ] = "running",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    """Return the escalations of a cluster, the newest first."""
    rows = _get_rows().filter(notification__cluster=choose_cluster(get_caller(request), cluster))
    if state == "running":
        rows = rows.exclude(due_at=None)
    elif state != "all":
        rows = rows.filter(state=state)
    page = paginate_by_id("escalations", rows, cursor, limit)
    return {"items": [_describe(run) for run in page.rows], "next_cursor": page.next_cursor}


@router.post(
    "",
    auth=ACT,
    response={201: Run},
    operation_id="startEscalation",
    summary="Escalate a notification by hand",
    openapi_extra={"x-idempotent": True},
)
def start_escalation(request: HttpRequest, body: Start) -> Any:
    """Escalate a notification now, whatever its event says: its first step is sent at once.

    If it has an escalation already, the next step of that is sent. Requires `Idempotency-Key`.
    """
    caller = get_caller(request)
    read_key(request)
    using = databases.db_for_write(Notification)
    found = Notification.objects.using(using).select_related("cluster").filter(pk=body.notification).first()
    if found is None:
        raise Http404
    require_reach(caller, found.cluster_id)
    _require_right(found, caller)
    return run_once(request, 201, lambda: _describe(escalation.start_by_hand(found, caller.user, body.reason)))


@router.get("/{int:id}", auth=READ, response=RunDetail, operation_id="getEscalation", summary="Get an escalation")
def get_escalation(request: HttpRequest, id: Id) -> Any:
    """Return an escalation with its steps and its history."""
    run = _find(get_caller(request), id)
    entries = EscalationEntry.objects.using(run._state.db).filter(run=run.pk).order_by("-pk")[:MAX_ENTRIES]
    history = [_describe_entry(entry) for entry in reversed(entries)]
    return {**_describe(run), "steps": _describe_steps(run), "entries": history}


def _act(request: HttpRequest, run_id: int, action: Callable[[EscalationRun, Any], bool]) -> Any:
    caller = get_caller(request)
    run = _find_to_act(caller, run_id)
    action(run, caller.user)
    return _describe(run)


@router.post(
    "/{int:id}/acknowledge",
    auth=ACT,
    response=Run,
    operation_id="acknowledgeEscalation",
    summary="Acknowledge an escalation",
)
def acknowledge(request: HttpRequest, id: Id) -> Any:
    """Stop the escalation, for its time if it has one. A second time changes nothing."""
    return _act(request, id, escalation.acknowledge_run)


@router.post(
    "/{int:id}/resolve", auth=ACT, response=Run, operation_id="resolveEscalation", summary="Resolve an escalation"
)
def resolve(request: HttpRequest, id: Id, body: Remark) -> Any:
    """End the escalation, because the matter is settled. A second time changes nothing."""
    return _act(request, id, lambda run, user: escalation.resolve(run, user, body.reason))


@router.post(
    "/{int:id}/snooze", auth=ACT, response=Run, operation_id="snoozeEscalation", summary="Snooze an escalation"
)
def snooze(request: HttpRequest, id: Id, body: Pause) -> Any:
    """Let nothing happen before a time; then the next step is sent. It changes nothing if the escalation is over."""
    return _act(request, id, lambda run, user: escalation.snooze(run, user, body.until))


@router.post(
    "/{int:id}/hand-over", auth=ACT, response=Run, operation_id="handOverEscalation", summary="Hand an escalation over"
)
def hand_over(request: HttpRequest, id: Id, body: HandOver) -> Any:
    """Send the notification to another member of the cluster, who has 15 minutes. A second time changes nothing."""

    def change(run: EscalationRun, user: Any) -> bool:
        key = parse_key(get_user_model(), body.to)
        member = None if key is None else get_members(run.notification.cluster).filter(pk=key).first()
        if member is None:
            raise Problem("invalid", errors=[{"location": "body.to", "message": "The cluster has no such member."}])
        return escalation.hand_over(run, user, member, body.reason)

    return _act(request, id, change)


@router.post(
    "/{int:id}/escalate",
    auth=ACT,
    response=Run,
    operation_id="escalateNow",
    summary="Send the next step at once",
    openapi_extra={"x-idempotent": True},
)
def escalate(request: HttpRequest, id: Id, body: Remark) -> Any:
    """Send the next step now. It changes nothing if there is none. Requires `Idempotency-Key`."""
    caller = get_caller(request)
    read_key(request)
    run = _find_to_act(caller, id)

    def change() -> dict[str, Any]:
        escalation.escalate(run, caller.user, body.reason)
        return _describe(run)

    return run_once(request, 200, change)

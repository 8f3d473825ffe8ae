"""Rotas: who is on call now and next, and when nobody is."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from django.db import router as databases
from django.http import Http404, HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, Field

from notifications.api.auth import Requires, get_caller
from notifications.api.clusters import choose_cluster, require_reach
from notifications.api.operations.schemas import ClusterQuery, Cursor, Id, Limit, make_config
from notifications.api.paging import paginate_by_id
from notifications.core import clock
from notifications.escalation.pages.rotas import LOOK_AHEAD, name_members
from notifications.escalation.rota import Shift as FoundShift
from notifications.escalation.schedules import load_schedule
from notifications.models import APIScope, Rota

router = Router(tags=["escalations"])
READ = Requires(APIScope.ESCALATIONS_READ)
MAX_DAYS = 180
SHIFT: dict[str, Any] = {
    "start": "2030-05-04T06:00:00Z",
    "end": "2030-05-11T06:00:00Z",
    "user": "7",
    "name": "Ada Lovelace",
    "source": "layer",
}
ROTA: dict[str, Any] = {
    "id": 42,
    "cluster": "1",
    "key": "surgery",
    "name": "Surgery",
    "time_zone": "Europe/Berlin",
    "now": SHIFT,
    "next": {**SHIFT, "start": "2030-05-11T06:00:00Z", "end": "2030-05-18T06:00:00Z", "user": "8", "name": "Ben"},
}


class Shift(BaseModel):
    """A time in which one user is on call, or nobody."""

    model_config = make_config(SHIFT)

    start: datetime = Field(description="Not before the time of the request.")
    end: datetime = Field(description="At most 60 days later for the present shift of a rota.")
    user: str | None = Field(description="The primary key of the user; null if nobody is on call.")
    name: str | None
    source: Literal["layer", "override", "gap"]


class RotaState(BaseModel):
    """A rota with who is on call."""

    model_config = make_config(ROTA)

    id: int
    cluster: str
    key: str
    name: str
    time_zone: str
    now: Shift
    next: Shift | None = Field(description="The next shift of another user in the next 60 days.")


class RotaPage(BaseModel):
    """Rotas of a cluster."""

    model_config = make_config({"items": [ROTA], "next_cursor": None})

    items: list[RotaState]
    next_cursor: str | None


class Gaps(BaseModel):
    """The times in which nobody is on call."""

    model_config = make_config({"items": [{**SHIFT, "user": None, "name": None, "source": "gap"}]})

    items: list[Shift]


def _describe_shift(shift: FoundShift, names: dict[Any, str]) -> dict[str, Any]:
    is_gap = shift.member is None
    return {
        "start": shift.start,
        "end": shift.end,
        "user": None if is_gap else str(shift.member),
        "name": None if is_gap else names.get(shift.member),
        "source": shift.source,
    }


def _describe(rota: Rota, now: datetime) -> dict[str, Any]:
    schedule = load_schedule(rota)
    names, following = name_members(schedule), schedule.find_next(now, LOOK_AHEAD)
    return {
        "id": rota.pk,
        "cluster": str(rota.cluster_id),
        "key": rota.key,
        "name": rota.name,
        "time_zone": rota.zone.key,
        "now": _describe_shift(schedule.list_shifts(now, now + LOOK_AHEAD)[0], names),
        "next": None if following is None else _describe_shift(following, names),
    }


@router.get("", auth=READ, response=RotaPage, operation_id="listRotas", summary="List who is on call")
def list_rotas(request: HttpRequest, cluster: ClusterQuery = None, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """Return the rotas of a cluster, each with who is on call now and next. Members of the cluster may see them."""
    using = databases.db_for_write(Rota)
    rows = Rota.objects.using(using).with_plan().filter(cluster=choose_cluster(get_caller(request), cluster))
    page, now = paginate_by_id("rotas", rows, cursor, limit), clock.cached_now(using)
    return {"items": [_describe(rota, now) for rota in page.rows], "next_cursor": page.next_cursor}


@router.get("/{int:id}/gaps", auth=READ, response=Gaps, operation_id="listGaps", summary="List when nobody is on call")
def list_gaps(
    request: HttpRequest,
    id: Id,
    days: Annotated[int, Query(30, ge=1, le=MAX_DAYS, description="The days from now on.", example=30)] = 30,
) -> Any:
    """Return the times in the next days in which nobody is on call."""
    using = databases.db_for_write(Rota)
    rota = Rota.objects.using(using).with_plan().filter(pk=id).first()
    if rota is None:
        raise Http404
    require_reach(get_caller(request), rota.cluster_id)
    now = clock.cached_now(using)
    gaps = load_schedule(rota).list_gaps(now, now + timedelta(days=days))
    return {"items": [_describe_shift(gap, {}) for gap in gaps]}

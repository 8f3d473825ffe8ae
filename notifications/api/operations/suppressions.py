"""Suppressions: the addresses that nothing is sent to."""

from datetime import datetime
from typing import Annotated, Any

from django.db import router as databases
from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, Field, StrictBool, StrictStr

from notifications.api.auth import Caller, Requires, get_caller
from notifications.api.clusters import choose_cluster, require_everything, require_reach
from notifications.api.operations.schemas import Body, ClusterKey, ClusterQuery, Cursor, Id, Limit, Reason, make_config
from notifications.api.paging import paginate_by_id
from notifications.api.problems import Problem
from notifications.conf import get_site_address_kinds
from notifications.core import clock
from notifications.core.addresses import is_well_formed, mask_addresses
from notifications.models import APIScope, Suppression
from notifications.models.suppression import hash_normalized

router = Router(tags=["suppressions"])
READ = Requires(APIScope.SUPPRESSIONS_READ, "klaxon.view_suppression")
ADD = Requires(APIScope.SUPPRESSIONS_WRITE, "klaxon.add_suppression")
LIFT = Requires(APIScope.SUPPRESSIONS_WRITE, "klaxon.lift_suppression")
SUPPRESSION: dict[str, Any] = {
    "id": 8,
    "kind": "email",
    "address": "g…@example.com",
    "cluster": "1",
    "reason": "manual",
    "detail": "Asked by phone.",
    "is_active": True,
    "refusals": 1,
    "created_at": "2030-05-04T12:00:00Z",
    "lifted_at": None,
    "lift_note": "",
}


class SuppressionRow(BaseModel):
    """A suppressed address. The address itself is not stored, only a hash and the masked form."""

    model_config = make_config(SUPPRESSION)

    id: int
    kind: str
    address: str = Field(description="The masked address.")
    cluster: str | None = Field(description="Null for all clusters.")
    reason: str
    detail: str
    is_active: bool
    refusals: int
    created_at: datetime
    lifted_at: datetime | None
    lift_note: str


class SuppressionPage(BaseModel):
    """Suppressions, the newest first."""

    model_config = make_config({"items": [SUPPRESSION], "next_cursor": None})

    items: list[SuppressionRow]
    next_cursor: str | None


class NewSuppression(Body):
    """An address to suppress."""

    model_config = make_config(
        {"kind": "email", "address": "gone@example.com", "reason": "Asked by phone."}, extra="forbid"
    )

    kind: Annotated[StrictStr, Field(min_length=1, max_length=50)]
    address: Annotated[StrictStr, Field(min_length=1, max_length=500)]
    reason: Reason
    cluster: ClusterKey = None
    all_clusters: StrictBool = False


class Lifting(Body):
    """Why a suppression is lifted."""

    model_config = make_config({"reason": "The mailbox exists again."}, extra="forbid")

    reason: Reason


def _get_rows() -> Any:
    return Suppression.objects.using(databases.db_for_write(Suppression))


def _describe(row: Suppression) -> dict[str, Any]:
    return {
        "id": row.pk,
        "kind": row.kind,
        "address": row.address,
        "cluster": None if row.cluster_id is None else str(row.cluster_id),
        "reason": row.reason,
        "detail": row.detail,
        "is_active": row.is_active,
        "refusals": row.refusals,
        "created_at": row.created_at,
        "lifted_at": row.lifted_at,
        "lift_note": row.lift_note,
    }


@router.get("", auth=READ, response=SuppressionPage, operation_id="listSuppressions", summary="List suppressions")
def list_suppressions(
    request: HttpRequest,
    cluster: ClusterQuery = None,
    address: Annotated[
        str | None,
        Query(None, min_length=1, max_length=500, description="A complete address.", example="gone@example.com"),
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    """Return the suppressions of a cluster, and those in all clusters."""
    chosen = choose_cluster(get_caller(request), cluster)
    rows = _get_rows().filter(Q(cluster=chosen) | Q(cluster=None))
    if address is not None:
        rows = rows.filter(address_hash=hash_normalized(address))
    page = paginate_by_id("suppressions", rows, cursor, limit)
    return {"items": [_describe(row) for row in page.rows], "next_cursor": page.next_cursor}


@router.post("", auth=ADD, response={201: SuppressionRow}, operation_id="addSuppression", summary="Suppress an address")
def add_suppression(request: HttpRequest, body: NewSuppression) -> Any:
    """Let nothing be sent to an address. An address that is suppressed already stays as it is."""
    caller = get_caller(request)
    cluster_id = None
    if body.all_clusters:
        require_everything(caller)
    else:
        cluster_id = choose_cluster(caller, body.cluster).pk
    _check_address(body)
    using = databases.db_for_write(Suppression)
    address = body.address.strip()
    pair, now = (body.kind, address), clock.now(using)
    with transaction.atomic(using=using):
        detail = mask_addresses(body.reason.strip())
        _get_rows().suppress([pair], Suppression.Cause.MANUAL, now, cluster_id, detail)
        hashed = hash_normalized(address)
        row = _get_rows().get(kind=body.kind, address_hash=hashed, cluster=cluster_id)
    return _describe(row)


def _check_address(body: NewSuppression) -> None:
    kinds = get_site_address_kinds()
    if body.kind not in kinds:
        message = f"The channels of the site send to addresses of the kinds: {', '.join(sorted(kinds))}."
        raise Problem("invalid", errors=[{"location": "body.kind", "message": message}])
    if not is_well_formed(body.kind, body.address.strip()):
        message = f"This is not an address of the kind {body.kind}."
        raise Problem("invalid", errors=[{"location": "body.address", "message": message}])


@router.post(
    "/{int:id}/lift", auth=LIFT, response=SuppressionRow, operation_id="liftSuppression", summary="Lift a suppression"
)
def lift_suppression(request: HttpRequest, id: Id, body: Lifting) -> Any:
    """Let the address get notifications again, and forget its refusals. If it is not suppressed, the answer is 409."""
    caller = get_caller(request)
    using = databases.db_for_write(Suppression)
    _require_access(caller, id)
    chosen = _get_rows().filter(pk=id)
    if not chosen.lift(caller.user, body.reason, clock.now(using)):
        raise Problem("conflict", "The address is not suppressed.")
    return _describe(chosen.get())


def _require_access(caller: Caller, suppression_id: int) -> None:
    row = _get_rows().filter(pk=suppression_id).first()
    if row is None:
        raise Http404
    if row.cluster_id is None:
        require_everything(caller)
    else:
        require_reach(caller, row.cluster_id)

"""The state of the queue and of its workers, for operators."""

from datetime import datetime
from typing import Any, Literal

from django.db import router as databases
from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel, Field

from notifications import conf
from notifications.api.auth import Requires, get_caller
from notifications.api.clusters import require_everything
from notifications.api.operations.schemas import make_config
from notifications.core import clock
from notifications.models import APIScope, Circuit, Delivery, Heartbeat, Pause
from notifications.monitoring.health import build_health
from notifications.monitoring.probes.workers import is_alive
from notifications.storage.queue_depth import MAX_COUNTED, measure_queue

router = Router(tags=["operations"])
OPERATE = Requires(APIScope.OPERATIONS, "klaxon.view_delivery")
OVERVIEW: dict[str, Any] = {
    "at": "2030-05-04T12:00:00Z",
    "is_enabled": True,
    "depth": {
        "ready": {"critical": 0, "high": 1, "medium": 12, "low": 0},
        "waiting": {"critical": 0, "high": 0, "medium": 2, "low": 40},
    },
    "dead": 3,
    "is_bounded": False,
    "oldest_ready_at": "2030-05-04T11:59:58Z",
    "oldest_due_at": None,
    "circuits": [],
    "pauses": [{"channel": "sms", "since": "2030-05-04T10:00:00Z", "note": "Invoice"}],
    "workers": [
        {
            "owner": "web1:4711:0a1b2c3d",
            "host": "web1",
            "pid": 4711,
            "started_at": "2030-05-04T08:00:00Z",
            "beat_at": "2030-05-04T11:59:59Z",
            "is_alive": True,
        }
    ],
}


class Bands(BaseModel):
    """The number of deliveries in each band of the score."""

    critical: int
    high: int
    medium: int
    low: int


class CircuitState(BaseModel):
    """A provider that is not used at present."""

    provider: str
    failures: int
    opened_at: datetime | None
    open_until: datetime | None
    error: str


class PausedChannel(BaseModel):
    """A paused channel; `*` is all of them."""

    channel: str
    since: datetime
    note: str


class Worker(BaseModel):
    """A worker process."""

    owner: str
    host: str
    pid: int
    started_at: datetime
    beat_at: datetime
    is_alive: bool


class Overview(BaseModel):
    """The state of the queue."""

    model_config = make_config(OVERVIEW)

    at: datetime
    is_enabled: bool
    depth: dict[str, Bands] = Field(
        description="By state: `ready`, `waiting` for a time or a retry, `digest`, and `working`."
    )
    dead: int
    is_bounded: bool = Field(description=f"Whether a state has more than {MAX_COUNTED} deliveries. Only these count.")
    oldest_ready_at: datetime | None = Field(description="Since when the ready delivery is due that is due longest.")
    oldest_due_at: datetime | None = Field(description="The oldest time at which a waiting delivery was due.")
    circuits: list[CircuitState]
    pauses: list[PausedChannel]
    workers: list[Worker]


class Component(BaseModel):
    """A part of the system."""

    name: str
    is_healthy: bool
    detail: str
    remedy: str = Field(description="What an operator can do; empty for a healthy part.")


class Success(BaseModel):
    """What became of the attempts of the last 24 hours, among the newest 50,000 log rows."""

    succeeded: int
    failed: int
    rate: float | None = Field(description="The share that succeeded, from 0 to 1; null without attempts.")


class Health(BaseModel):
    """Whether the parts of the system work."""

    model_config = make_config(
        {
            "status": "healthy",
            "at": "2030-05-04T12:00:00Z",
            "uptime_seconds": 86400,
            "last_success_at": "2030-05-04T11:59:58Z",
            "success_24h": {"succeeded": 998, "failed": 2, "rate": 0.998},
            "components": [{"name": "queue", "is_healthy": True, "detail": "12 deliveries are ready.", "remedy": ""}],
        }
    )

    status: Literal["healthy", "degraded"]
    at: datetime
    uptime_seconds: int | None = Field(description="How long the oldest worker that is alive has run.")
    last_success_at: datetime | None = Field(description="When a provider last accepted something within 24 hours.")
    success_24h: Success
    components: list[Component]


@router.get(
    "/admin/overview", auth=OPERATE, response=Overview, operation_id="getOverview", summary="Get the state of the queue"
)
def get_overview(request: HttpRequest) -> Any:
    """Return the depth of the queue, and the circuits, pauses and workers. The caller must reach all clusters."""
    require_everything(get_caller(request))
    using = databases.db_for_write(Delivery)
    now, queue = clock.now(using), measure_queue(using)
    return {
        "at": now,
        "is_enabled": conf.current().enabled,
        "depth": queue.depth,
        "dead": queue.dead,
        "is_bounded": queue.is_bounded,
        "oldest_ready_at": queue.oldest_ready_at,
        "oldest_due_at": queue.oldest_due_at,
        "circuits": [
            {
                "provider": row.key,
                "failures": row.failures,
                "opened_at": row.opened_at,
                "open_until": row.open_until,
                "error": row.error,
            }
            for row in Circuit.objects.exclude(open_until=None).order_by("key")
        ],
        "pauses": list(Pause.objects.order_by("channel").values("channel", "since", "note")),
        "workers": [_describe(row, now) for row in Heartbeat.objects.order_by("started_at", "pk")],
    }


def _describe(row: Heartbeat, now: datetime) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in ("owner", "host", "pid", "started_at", "beat_at")}
    return {**values, "is_alive": is_alive(row, now)}


@router.get(
    "/health/status", auth=OPERATE, response=Health, operation_id="getHealth", summary="Get the health of the parts"
)
def get_health(request: HttpRequest) -> Any:
    """Return whether each part works. An idle system is healthy. The caller must reach all clusters."""
    require_everything(get_caller(request))
    using = databases.db_for_write(Delivery)
    return build_health(using, clock.now(using))

"""The state of the queue and of its workers, for operators."""

from datetime import datetime, timedelta
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
from notifications.storage.queue_depth import MAX_COUNTED, QueueDepth, measure_queue

router = Router(tags=["operations"])
OPERATE = Requires(APIScope.OPERATIONS, "klaxon.view_delivery")
# The limits of a healthy queue.
MAX_PENDING, MAX_DEAD, MAX_DELAY = 1000, 100, timedelta(seconds=60)
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
    oldest_ready_at: datetime | None = Field(description="When the oldest ready delivery was queued.")
    oldest_due_at: datetime | None = Field(description="The oldest time at which a waiting delivery was due.")
    circuits: list[CircuitState]
    pauses: list[PausedChannel]
    workers: list[Worker]


class Component(BaseModel):
    """A part of the system."""

    name: str
    is_healthy: bool
    detail: str


class Health(BaseModel):
    """Whether the parts of the system work."""

    model_config = make_config(
        {
            "status": "healthy",
            "at": "2030-05-04T12:00:00Z",
            "components": [{"name": "queue", "is_healthy": True, "detail": "12 deliveries wait."}],
        }
    )

    status: Literal["healthy", "degraded"]
    at: datetime
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
    return {**values, "is_alive": _is_alive(row, now)}


def _is_alive(row: Heartbeat, now: datetime) -> bool:
    return now - row.beat_at <= timedelta(seconds=conf.current().lease_seconds)


@router.get(
    "/health/status", auth=OPERATE, response=Health, operation_id="getHealth", summary="Get the health of the parts"
)
def get_health(request: HttpRequest) -> Any:
    """Return whether each part works. An idle system is healthy. The caller must reach all clusters."""
    require_everything(get_caller(request))
    using = databases.db_for_write(Delivery)
    now = clock.now(using)
    components = [*_examine_queue(measure_queue(using), now), _examine_workers(now), *_examine_channels()]
    is_healthy = all(one["is_healthy"] for one in components)
    return {"status": "healthy" if is_healthy else "degraded", "at": now, "components": components}


def _examine_queue(queue: QueueDepth, now: datetime) -> list[dict[str, Any]]:
    pending = sum(queue.depth["ready"].values())
    delay = now - queue.oldest_ready_at if queue.oldest_ready_at else timedelta()
    return [
        _build("queue", pending < MAX_PENDING, f"{pending} deliveries are ready."),
        _build("delay", delay < MAX_DELAY, f"The oldest ready delivery was queued {delay.total_seconds():.0f} s ago."),
        _build("dead letters", queue.dead < MAX_DEAD, f"{queue.dead} deliveries are dead."),
    ]


def _examine_workers(now: datetime) -> dict[str, Any]:
    alive = sum(_is_alive(row, now) for row in Heartbeat.objects.all())
    is_needed = conf.current().enabled and conf.current().delivery == "queued" and not conf.current().celery
    return _build("workers", alive > 0 or not is_needed, f"{alive} workers are alive.")


def _examine_channels() -> list[dict[str, Any]]:
    paused = sorted(Pause.objects.channel_names())
    broken = sorted(Circuit.objects.exclude(open_until=None).values_list("key", flat=True))
    return [
        _build("pauses", not paused, f"Paused: {', '.join(paused)}." if paused else "Nothing is paused."),
        _build("providers", not broken, f"Not used: {', '.join(broken)}." if broken else "All are used."),
    ]


def _build(name: str, is_healthy: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "is_healthy": bool(is_healthy), "detail": detail}

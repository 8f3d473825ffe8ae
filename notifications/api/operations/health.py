"""Whether the process and its database work, for load balancers. Nobody needs to sign in."""

from typing import Any, Literal

from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel

from notifications.api.operations.schemas import make_config
from notifications.api.problems import RETRY_SECONDS, make_unavailable
from notifications.monitoring.readiness import is_ready as can_read_tables

router = Router(tags=["health"])


class Live(BaseModel):
    """The process answers."""

    model_config = make_config({"status": "live"})

    status: Literal["live"]


class Ready(BaseModel):
    """The process can use its database."""

    model_config = make_config({"status": "ready"})

    status: Literal["ready"]


@router.get("/live", auth=None, response=Live, operation_id="isLive", summary="Check that the process answers")
def is_live(request: HttpRequest) -> Any:
    """Return 200. It does not use the database, so an outage of the database restarts no process."""
    return {"status": "live"}


@router.get("/ready", auth=None, response=Ready, operation_id="isReady", summary="Check that the database works")
def is_ready(request: HttpRequest) -> Any:
    """Return 200 if the tables can be read, otherwise 503, within two seconds in any case."""
    if not can_read_tables():
        raise make_unavailable(RETRY_SECONDS)
    return {"status": "ready"}

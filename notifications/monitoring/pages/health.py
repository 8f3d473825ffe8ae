"""The pages of the health, as JSON: ``live``, ``ready`` and ``status``. They need no extra."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import Error, connections, router
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.models import Delivery
from notifications.monitoring.access import Refused, require_operator
from notifications.monitoring.health import build_health, summarize
from notifications.monitoring.readiness import LOCK_SECONDS, describe_outage, is_ready
from notifications.storage.engine import get_engine

RETRY_SECONDS = 5


def serve_json(view: Callable[[HttpRequest], JsonResponse]) -> Callable[..., HttpResponseBase]:
    """Let a page answer GET and HEAD only, without a transaction of ``ATOMIC_REQUESTS`` and for everybody. A decorator.

    Such a transaction and a middleware that requires a login would need the database.
    """

    @wraps(view)
    def run(request: HttpRequest) -> HttpResponseBase:
        response = view(request)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        patch_vary_headers(response, ("Authorization", "Cookie", "Accept-Language"))
        if response.status_code == 503:
            response.headers["Retry-After"] = str(RETRY_SECONDS)
            # Otherwise, Django logs an error for each request, and by default sends each by email to ADMINS.
            response._has_been_logged = True  # type: ignore[attr-defined]
        return response

    safe: Any = require_safe(run)
    safe.login_required = False
    safe._non_atomic_requests = set(connections)
    return safe


@serve_json
def show_live(request: HttpRequest) -> JsonResponse:
    """Return 200. It does not use the database, so an outage of the database restarts no process."""
    return JsonResponse({"status": "live"})


@serve_json
def show_ready(request: HttpRequest) -> JsonResponse:
    """Return 200 if the tables can be read, otherwise 503, within two seconds in any case."""
    if is_ready():
        return JsonResponse({"status": "ready"})
    return JsonResponse({"status": "unavailable"}, status=503)


@serve_json
def show_status(request: HttpRequest) -> JsonResponse:
    """Return the findings of all probes: 200 if the system is healthy, 503 if it is degraded.

    Without the database nobody can be identified, so everybody gets 503 with the finding ``database``.
    """
    if not is_ready():
        return show_outage()
    using = router.db_for_write(Delivery)
    try:
        with read_from_primary(), get_engine(using).limit_lock_waits(LOCK_SECONDS):
            require_operator(request)
            health = build_health(using, clock.now(using))
    except Refused as refused:
        response = JsonResponse({"detail": str(refused)}, status=refused.status)
        if refused.status == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="notifications"'
        return response
    except Error:
        # It has been lost meanwhile, or a table is locked.
        return show_outage()
    return JsonResponse(health, status=200 if health["status"] == "healthy" else 503)


def show_outage() -> JsonResponse:
    """Return 503 with the finding ``database``, in the form of the health."""
    return JsonResponse(summarize([describe_outage()]), status=503)

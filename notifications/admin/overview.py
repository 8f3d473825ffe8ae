"""The overview: what an operator sees first, above the list of Klaxon's tables in Django's admin.

It is a part of the page that every ``AdminSite`` has for an app, ``/admin/klaxon/``. Django looks for the template
``admin/klaxon/app_index.html`` there, so the overview needs no site, no URL and no setting of the host. Its statements
are bounded, and their number is constant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.utils import quote
from django.db import router
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from notifications.core import clock
from notifications.models import Delivery
from notifications.models.pause import EVERYTHING
from notifications.monitoring.access import PERMISSION
from notifications.monitoring.findings import Finding
from notifications.monitoring.probes import examine
from notifications.monitoring.probes.queue import measure_delay
from notifications.monitoring.probes.workers import describe_time, is_alive
from notifications.monitoring.readings import (
    read_limits,
    read_open_circuits,
    read_pauses,
    read_queue,
    read_workers,
    share_readings,
)
from notifications.monitoring.success import find_last_success, measure_success
from notifications.storage.queue_depth import MAX_COUNTED, QueueDepth

BANDS = {"critical": _("critical"), "high": _("high"), "medium": _("medium"), "low": _("low")}
# By state: its name, and the filter of the list of deliveries.
STATES: dict[str, tuple[Promise, dict[str, str]]] = {
    "ready": (_("ready"), {"state__exact": "ready"}),
    "waiting": (_("waiting"), {"state__in": "held,retry"}),
    "digest": (_("for a digest"), {"state__exact": "held", "reason": "digest"}),
    "working": (_("in work"), {"state__in": "claimed,sending"}),
}
PARTS = {
    "queue": _("Queue"),
    "delay": _("Delay"),
    "dead letters": _("Dead letters"),
    "workers": _("Workers"),
    "pauses": _("Pauses"),
    "providers": _("Providers"),
    "success": _("Success"),
    "channels": _("Channels"),
    "circuits": _("Circuits"),
    "dead letters growing": _("Growth of dead letters"),
    "clock": _("Clock"),
    "alarms": _("Alarms"),
    "storage": _("Storage"),
}


@dataclass(frozen=True)
class Links:
    """The URLs of pages of the admin that the user may open.

    :param request: a request to a page of the admin; its site decides about the URLs.
    """

    request: HttpRequest

    def find(self, model: str, page: str, permission: str, *args: Any, **query: str) -> str:
        """Return a URL, or an empty text if the user lacks the permission or the site has no such page."""
        user: Any = self.request.user
        if not user.has_perm(f"klaxon.{permission}_{model}"):
            return ""
        try:
            site = getattr(self.request, "current_app", None)
            url = reverse(f"admin:klaxon_{model}_{page}", args=args, current_app=site)
        except NoReverseMatch:
            return ""
        return f"{url}?{urlencode(query)}" if query else url

    def find_list(self, model: str, **query: str) -> str:
        """Return the URL of the list of a table, filtered by ``query``."""
        return self.find(model, "changelist", "view", **query)


def build_overview(request: HttpRequest) -> dict[str, Any]:
    """Return the context of the overview; ``{"is_shown": False}`` if the user may not see deliveries."""
    user: Any = getattr(request, "user", None)
    if user is None or not user.has_perm(PERMISSION):
        return {"is_shown": False}
    using, links = router.db_for_write(Delivery), Links(request)
    now = clock.now(using)
    with share_readings():
        queue, findings = read_queue(using), examine(using, now)
        return {
            "is_shown": True,
            "now": now,
            "is_healthy": all(finding.is_healthy for finding in findings),
            "findings": [*_describe_findings(findings, links)],
            "figures": [*_list_figures(using, queue, now, links)],
            "bands": BANDS.values(),
            "states": [*_list_states(queue, links)],
            "is_bounded": queue.is_bounded,
            "most": MAX_COUNTED,
            "analytics": links.find_list("figure"),
            "pauses": [_describe_pause(row, links) for row in read_pauses(using)],
            "add_pause": links.find("pause", "add", "add"),
            "circuits": [_describe_circuit(row, now, links) for row in read_open_circuits(using)],
            "circuit_list": links.find_list("circuit"),
            "workers": [_describe_worker(row, now) for row in read_workers(using)],
            "limits": [{"key": row.key, "wait": describe_time(row.full_at - now)} for row in read_limits(using, now)],
            "limit_list": links.find_list("bucket"),
        }


def _describe_findings(findings: list[Finding], links: Links) -> Iterator[dict[str, Any]]:
    lists = {
        "queue": links.find_list("delivery", state__exact="ready"),
        "delay": links.find_list("delivery", state__exact="ready"),
        "dead letters": links.find_list("delivery", state__exact="dead"),
        "workers": links.find_list("heartbeat"),
        "pauses": links.find_list("pause"),
        "providers": links.find_list("circuit"),
        "success": links.find_list("notificationlog", kind__exact="attempt", success__exact="0"),
        "channels": links.find_list("notificationlog", kind__exact="attempt", success__exact="0"),
    }
    # Those that need somebody come first.
    for finding in sorted(findings, key=lambda one: one.is_healthy):
        yield {
            "name": PARTS.get(finding.name, finding.name),
            "is_healthy": finding.is_healthy,
            "detail": finding.detail,
            "remedy": finding.remedy,
            "url": lists.get(finding.name, ""),
        }


def _list_figures(using: str, queue: QueueDepth, now: datetime, links: Links) -> Iterator[dict[str, Any]]:
    """Yield the figures that are shown large, each with its unit in the text."""
    success, last = measure_success(using, now), find_last_success(using, now)
    alive = [row for row in read_workers(using) if is_alive(row, now)]
    attempts = links.find_list("notificationlog", kind__exact="attempt")
    yield {
        "name": _("Ready"),
        "value": sum(queue.depth["ready"].values()),
        "url": links.find_list("delivery", state__exact="ready"),
    }
    yield {"name": _("Oldest due"), "value": describe_time(measure_delay(queue, now)), "url": ""}
    yield {"name": _("Dead"), "value": queue.dead, "url": links.find_list("delivery", state__exact="dead")}
    yield {"name": _("Workers"), "value": len(alive), "url": links.find_list("heartbeat")}
    rate = None if success.rate is None else f"{int(success.rate * 1000) / 10} %"
    yield {"name": _("Success in 24 h"), "value": rate or "–", "url": attempts}
    yield {"name": _("Last success"), "value": _ago(last, now), "url": attempts}


def _ago(time: datetime | None, now: datetime) -> Any:
    if time is None:
        return "–"
    return _("%(time)s ago") % {"time": describe_time(max(now - time, timedelta()))}


def _list_states(queue: QueueDepth, links: Links) -> Iterator[dict[str, Any]]:
    for state, (name, query) in STATES.items():
        numbers = queue.depth[state]
        yield {
            "name": name,
            "numbers": [numbers[band] for band in BANDS],
            "total": sum(numbers.values()),
            "url": links.find_list("delivery", **query),
        }


def _describe_pause(row: Any, links: Links) -> dict[str, Any]:
    return {
        "name": _("everything") if row.channel == EVERYTHING else row.channel,
        "since": row.since,
        "note": row.note,
        "resume": links.find("pause", "delete", "delete", quote(row.pk)),
    }


def _describe_circuit(row: Any, now: datetime, links: Links) -> dict[str, Any]:
    is_open = row.open_until > now
    return {
        "name": row.key,
        "wait": describe_time(row.open_until - now) if is_open else "",
        "failures": row.failures,
        "error": row.error,
        "close": links.find("circuit", "delete", "delete", quote(row.pk)),
    }


def _describe_worker(row: Any, now: datetime) -> dict[str, Any]:
    return {
        "host": row.host,
        "pid": row.pid,
        "is_alive": is_alive(row, now),
        "uptime": describe_time(max(now - row.started_at, timedelta())),
        "beat": describe_time(max(now - row.beat_at, timedelta())),
    }

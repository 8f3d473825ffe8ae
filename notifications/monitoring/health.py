"""The health: the findings of all probes, and the figures that operators ask for first."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from notifications.monitoring.findings import Finding
from notifications.monitoring.probes import examine
from notifications.monitoring.probes.workers import find_uptime
from notifications.monitoring.readings import share_readings
from notifications.monitoring.success import find_last_success, measure_success


def build_health(using: str, now: datetime) -> dict[str, Any]:
    """Return the health as JSON can contain it, except for the times. It takes a bounded number of statements."""
    with share_readings():
        findings, uptime, success = examine(using, now), find_uptime(using, now), measure_success(using, now)
        return {
            **summarize(findings),
            "at": now,
            "uptime_seconds": None if uptime is None else round(uptime.total_seconds()),
            "last_success_at": find_last_success(using, now),
            "success_24h": {"succeeded": success.succeeded, "failed": success.failed, "rate": success.rate},
        }


def summarize(findings: list[Finding]) -> dict[str, Any]:
    """Return whether the system is healthy, and the findings."""
    is_healthy = all(finding.is_healthy for finding in findings)
    return {
        "status": "healthy" if is_healthy else "degraded",
        "components": [
            {name: value for name, value in asdict(finding).items() if name in COMPONENT_FIELDS} for finding in findings
        ],
    }


COMPONENT_FIELDS = ("name", "is_healthy", "detail", "remedy")

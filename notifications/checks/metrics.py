"""Checks of metrics and tracing, on a site that uses them."""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Warning

from notifications import conf
from notifications.checks.channels import missing_extra_error
from notifications.core import extras

MIN_TOKEN_LENGTH = 20


def check_metrics() -> Iterator[CheckMessage]:
    """Report a missing extra, and a token that can be guessed."""
    site = conf.current()
    token = site.get_metrics_option("TOKEN")
    if token and not extras.is_installed("prometheus_client"):
        yield missing_extra_error("NOTIFICATIONS['METRICS']", "prometheus_client", "metrics")
    if site.tracing and not extras.is_installed("opentelemetry"):
        yield missing_extra_error("NOTIFICATIONS['TRACING']", "opentelemetry", "tracing")
    if token and len(token) < MIN_TOKEN_LENGTH:
        yield Warning(
            f"NOTIFICATIONS['METRICS']['TOKEN'] has only {len(token)} characters, so it can be guessed.",
            hint=f"Use at least {MIN_TOKEN_LENGTH} characters, such as secrets.token_urlsafe() returns.",
            id="klaxon.W022",
        )

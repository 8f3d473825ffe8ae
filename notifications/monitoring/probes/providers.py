"""Whether channels are paused, and whether providers are not used."""

from collections.abc import Iterator
from datetime import datetime

from notifications.models import Circuit, Pause
from notifications.monitoring.findings import Finding


def probe_pauses(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``pauses``."""
    paused = sorted(Pause.objects.using(using).channel_names())
    yield Finding("pauses", not paused, f"Paused: {', '.join(paused)}." if paused else "Nothing is paused.")


def probe_providers(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``providers``."""
    broken = sorted(Circuit.objects.using(using).exclude(open_until=None).values_list("key", flat=True))
    yield Finding("providers", not broken, f"Not used: {', '.join(broken)}." if broken else "All are used.")

"""Whether a provider has not been used for too long."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from notifications import conf
from notifications.models import Circuit
from notifications.monitoring.findings import Finding
from notifications.monitoring.probes.workers import describe_time


def probe_circuits(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``circuits``.

    ``providers`` reports a circuit as soon as it opens. Most close again after the first probe.
    """
    limit = timedelta(seconds=conf.current().get_alarm_limit("circuit_seconds"))
    long_open = Circuit.objects.using(using).filter(open_until__isnull=False, opened_at__lte=now - limit)
    rows = list(long_open.order_by("opened_at", "key").only("key", "opened_at"))
    if not rows:
        yield Finding("circuits", True, _("No provider has failed for long."))
        return
    first: datetime = rows[0].opened_at or now
    yield Finding(
        "circuits",
        False,
        _("Not used for %(time)s or less: %(names)s.")
        % {"time": describe_time(now - first), "names": ", ".join(row.key for row in rows)},
        _(
            "The list of circuits in the admin shows the last error of each. Repair the provider: Klaxon tries it "
            "again."
        ),
        since=first + limit,
    )

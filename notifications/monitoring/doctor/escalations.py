"""Escalations that reach nobody, and overrides of rotas that overlap: before somebody is needed."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import combinations

from notifications.escalation.unreachable import GAP_DAYS, MAX_ROTAS, find_declared_faults, find_unreachable
from notifications.models import Rota, RotaOverride
from notifications.monitoring.doctor.diagnosis import Diagnosis, Status
from notifications.monitoring.doctor.site import Site


def examine_escalations(site: Site) -> Iterator[Diagnosis]:
    """Report what escalations cannot reach now or in the next 30 days, with the gaps of rotas."""
    # Those that are wrong in code are results of `settings` already.
    declared = {(finding.subject, finding.text) for finding in find_declared_faults()}
    unreachable = dict.fromkeys(find_unreachable(site.now))
    found = [finding for finding in unreachable if (finding.subject, finding.text) not in declared]
    for finding in found:
        status = Status.ERROR if finding.is_error else Status.WARNING
        yield Diagnosis(status, str(finding.subject), str(finding.text), str(finding.hint))
    if not found:
        detail = f"Everybody whom escalations name can be reached, and no rota has a gap in the next {GAP_DAYS} days."
        yield Diagnosis(Status.OK, "escalations", detail)


def examine_rotas(site: Site) -> Iterator[Diagnosis]:
    """Report overrides of the next 30 days that overlap with one of another person in the same rota."""
    rotas = list(Rota.objects.prefetch_related("overrides__user").order_by("pk")[:MAX_ROTAS])
    overlaps = [found for rota in rotas for found in _find_overlaps(rota, site.now)]
    yield from overlaps
    if rotas and not overlaps:
        yield Diagnosis(Status.OK, "rotas", f"No overrides overlap in the next {GAP_DAYS} days.")


def _find_overlaps(rota: Rota, now: datetime) -> Iterator[Diagnosis]:
    until = now + timedelta(days=GAP_DAYS)
    # In the order in which they were made.
    rows: Sequence[RotaOverride] = [row for row in rota.overrides.all() if row.ends_at > now and row.starts_at < until]
    for earlier, later in combinations(rows, 2):
        start, end = max(earlier.starts_at, later.starts_at), min(earlier.ends_at, later.ends_at)
        if start < end and earlier.user_id != later.user_id:
            times = " until ".join(f"{one.astimezone(rota.zone):%Y-%m-%d %H:%M}" for one in (start, end))
            detail = (
                f"The overrides of {earlier.user} and {later.user} overlap from {times} ({rota.zone}). {later.user} is "
                "on call then, because that override was made last."
            )
            remedy = "Shorten or delete one of them on the page of the rota in the admin, if this is not intended."
            yield Diagnosis(Status.WARNING, f"rota {rota.key}", detail, remedy)

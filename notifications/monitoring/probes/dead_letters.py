"""Whether the number of dead letters grows."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from notifications import conf
from notifications.models import Delivery
from notifications.monitoring.findings import Finding
from notifications.outcomes import DeliveryState

PERIOD = timedelta(minutes=10)


def probe_growth(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``dead letters growing``. It counts no further than the limit."""
    limit = int(conf.current().get_alarm_limit("dead_letters_growth"))
    new = Delivery.objects.using(using).filter(state=DeliveryState.DEAD, settled_at__gt=now - PERIOD)
    count = new.order_by()[: limit + 1].count()
    minutes = PERIOD.total_seconds() / 60
    if count <= limit:
        yield Finding("dead letters growing", True, f"{count} deliveries have died in the last {minutes:.0f} minutes.")
        return
    yield Finding(
        "dead letters growing",
        False,
        f"More than {limit} deliveries have died in the last {minutes:.0f} minutes.",
        "The list of deliveries in the admin shows why. Correct the cause, then run replay_dead_letters.",
    )

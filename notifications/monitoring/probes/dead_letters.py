"""Whether the number of dead letters grows."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from notifications import conf
from notifications.models import Delivery
from notifications.monitoring.findings import Finding, judge
from notifications.monitoring.probes.workers import describe_time
from notifications.outcomes import DeliveryState

PERIOD = timedelta(minutes=10)


def probe_growth(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``dead letters growing``. It counts no further than the limit."""
    limit = int(conf.current().get_alarm_limit("dead_letters_growth"))
    new = Delivery.objects.using(using).filter(state=DeliveryState.DEAD, settled_at__gt=now - PERIOD)
    count = new.order_by()[: limit + 1].count()
    is_healthy = count <= limit
    if is_healthy:
        text = ngettext(
            "%(count)d delivery has died within %(time)s.", "%(count)d deliveries have died within %(time)s.", count
        )
    else:
        text = _("More than %(limit)d deliveries have died within %(time)s.")
    yield judge(
        "dead letters growing",
        is_healthy,
        text % {"count": count, "limit": limit, "time": describe_time(PERIOD)},
        _("The list of deliveries in the admin shows why. Correct the cause, then run replay_dead_letters."),
    )

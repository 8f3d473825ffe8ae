"""Whether alarms reach an operator."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from notifications import conf
from notifications.models import Alarm, Delivery
from notifications.monitoring.findings import Finding, judge
from notifications.outcomes import DeliveryState


def probe_alarms(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``alarms``: whether each present alarm has been sent to somebody."""
    limit = timedelta(seconds=conf.current().get_alarm_limit("alarm_seconds"))
    old = Alarm.objects.using(using).degraded().filter(degraded_at__lte=now - limit, notification__isnull=False)
    causes = dict(old.exclude(cause="alarms").values_list("cause", "notification_id"))
    states: dict[int, set[str]] = {}
    if causes:
        rows = Delivery.objects.using(using).filter(notification__in=causes.values())
        for notification, state in rows.values_list("notification_id", "state"):
            states.setdefault(notification, set()).add(state)
    # Without any delivery, the alarm is so old that they have been purged.
    unsent = [
        cause
        for cause, notification in causes.items()
        if notification in states and DeliveryState.SENT not in states[notification]
    ]
    yield judge(
        "alarms",
        not unsent,
        _("Alarms that no channel has sent: %(names)s.") % {"names": ", ".join(unsent)}
        if unsent
        else _("Every alarm has been sent to an operator."),
        _("Look at the deliveries of the event system_degraded, and give operators another channel."),
    )

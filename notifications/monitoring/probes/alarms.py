"""Whether alarms reach an operator."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from notifications import conf
from notifications.events import NotificationChannel
from notifications.models import Alarm, Delivery
from notifications.monitoring.findings import Finding, judge
from notifications.outcomes import DeliveryState


def probe_alarms(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``alarms``: whether each present alarm has been sent to somebody.

    An item of the inbox counts only if the alarm was queued for no other channel: nobody may be looking.
    """
    limit = timedelta(seconds=conf.current().get_alarm_limit("alarm_seconds"))
    old = Alarm.objects.using(using).degraded().filter(degraded_at__lte=now - limit, notification__isnull=False)
    causes = dict(old.exclude(cause="alarms").values_list("cause", "notification_id"))
    deliveries: dict[int, set[tuple[bool, str]]] = {}
    if causes:
        rows = Delivery.objects.using(using).filter(notification__in=causes.values())
        for notification, channel, state in rows.values_list("notification_id", "channel", "state"):
            deliveries.setdefault(notification, set()).add((channel == NotificationChannel.APP.value, state))
    # Without any delivery, the alarm is so old that they have been purged.
    unsent = [cause for cause, notification in causes.items() if not _is_sent(deliveries.get(notification, set()))]
    yield judge(
        "alarms",
        not unsent,
        _("Alarms that no channel has sent: %(names)s.") % {"names": ", ".join(unsent)}
        if unsent
        else _("Every alarm has been sent to an operator."),
        _("Look at the deliveries of the event system_degraded, and give operators another channel."),
    )


def _is_sent(deliveries: set[tuple[bool, str]]) -> bool:
    """
    :param deliveries: for each, whether it is an item of the inbox, and its state.
    """
    states = {state for is_item, state in deliveries if not is_item} or {state for _is_item, state in deliveries}
    return not states or DeliveryState.SENT in states

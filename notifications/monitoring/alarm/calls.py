"""Make the calls of the hook that are due. A call that fails is made again after a minute, for a day."""

import logging
from datetime import datetime

from notifications import conf
from notifications.core import clock
from notifications.models import HookCall
from notifications.monitoring.alarm.hook import HookFailed, call_hook

logger = logging.getLogger("notifications.alarm")


def call_due(using: str, now: datetime) -> list[str]:
    """Make the calls that are due, in their order, and return why one has failed. Later ones wait for it for a while.

    Each is made at least once: if the process is killed after the hook has taken it, it is made again.
    """
    calls = HookCall.objects.using(using)
    if outdated := calls.delete_outdated(now):
        logger.error("The hook of alarms has failed for a day. %d calls are not made any more.", outdated)
    if not conf.current().get_alarm_option("HOOK"):
        return []
    for call in calls.due(now):
        # The calls before it may have taken a while.
        if not calls.take(call, clock.now(using)):
            # Another process has just taken it, and makes the others after it.
            break
        try:
            call_hook(call.payload)
        except HookFailed as error:
            logger.error("The hook of alarms has failed; it is called again in a minute. %s", error)  # noqa: TRY400
            return [str(error)]
        calls.filter(pk=call.pk).delete()
    return []

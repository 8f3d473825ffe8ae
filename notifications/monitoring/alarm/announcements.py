"""Announce alarms: to operators on the channels that work, and by the hook."""

import logging
import socket
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.db import Error, transaction

from notifications import conf
from notifications.core.databases import is_outage, is_temporary_failure
from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents
from notifications.manager import NotificationManager
from notifications.models import Alarm, HookCall
from notifications.monitoring.alarm.operators import find_operators, get_cluster, list_working_channels

logger = logging.getLogger("notifications.alarm")

Cause = dict[str, str]
EVENTS = {"degraded": BuiltInEvents.SYSTEM_DEGRADED, "recovered": BuiltInEvents.SYSTEM_RECOVERED}


def describe(alarm: Alarm) -> Cause:
    """Return what an announcement says about a cause."""
    since = alarm.bad_since.isoformat(timespec="seconds") if alarm.bad_since else ""
    return {"name": alarm.cause, "detail": alarm.detail, "remedy": alarm.remedy, "since": since}


def announce(status: str, causes: Sequence[Cause], remaining: Sequence[Cause], now: datetime, using: str) -> int | None:
    """Send an announcement to operators and queue the call of the hook, in the caller's transaction.

    :param status: ``"degraded"`` or ``"recovered"``.
    :param causes: those that are bad now, or good again.
    :param remaining: those that have been bad before and still are.
    :return: the id of the notification; None if it reaches nobody.
    """
    log = logger.error if status == "degraded" else logger.warning
    log("%s", make_text(status, causes, remaining))
    notification_id, fault = _send(status, causes, remaining, now, using)
    if fault:
        logger.error("The alarm reaches no operator. %s", fault)
    if conf.current().get_alarm_option("HOOK"):
        payload = build_payload(status, causes, remaining, now)
        payload |= {"reaches_operators": notification_id is not None}
        HookCall.objects.using(using).queue(payload, now)
    return notification_id


def build_payload(status: str, causes: Sequence[Cause], remaining: Collection[Cause], now: datetime) -> dict[str, Any]:
    """Return what the hook gets, as JSON. It contains neither addresses nor secrets."""
    return {
        "status": status,
        "text": make_text(status, causes, remaining),
        "causes": list(causes),
        "remaining": list(remaining),
        "at": now.isoformat(timespec="seconds"),
        "site": conf.current().base_url,
        "host": socket.gethostname(),
    }


def make_text(status: str, causes: Sequence[Cause], remaining: Collection[Cause]) -> str:
    """Return the announcement as one line."""
    if status == "degraded":
        sentences = [f"{cause['name']}: {cause['detail']}" for cause in causes]
        return f"Alarm: {' '.join(sentences)}"
    names = ", ".join(cause["name"] for cause in causes)
    left = ", ".join(cause["name"] for cause in remaining)
    return f"Solved: {names}." + (f" Not solved yet: {left}." if left else " All is well.")


def _send(
    status: str, causes: Sequence[Cause], remaining: Sequence[Cause], now: datetime, using: str
) -> tuple[int | None, str]:
    """Queue the event, and return the id of the notification or why it reaches nobody."""
    if not conf.current().operators:
        return None, ""
    event = EVENTS[status]
    try:
        with transaction.atomic(using=using):
            cluster = get_cluster()
            recipients, faults = find_operators(cluster, now, using)
            channels = list_working_channels(NOTIFICATION_EVENTS[event], using, now)
            if not channels:
                return None, "None of its channels works: each is paused, or its circuits are open."
            if not recipients:
                return None, f"OPERATORS are nobody. {' '.join(faults)}"
            context = {"causes": list(causes), "remaining": list(remaining)}
            result = NotificationManager.send(event, recipients, cluster, context=context, channels=channels)
    except Exception as error:
        if isinstance(error, Error) and (is_outage(error) or is_temporary_failure(error)):
            # The next examination announces it.
            raise
        # A wrong setting must not prevent the call of the hook.
        logger.exception("The alarm could not be sent to operators.")
        return None, f"{type(error).__name__}: {error}"
    if result.queued or result.held:
        if faults:
            logger.error("The alarm does not reach all operators. %s", " ".join(faults))
        return result.notification_id, ""
    reasons = ", ".join(sorted(map(str, result.reasons))) or "no recipient"
    return None, f"Nobody can be reached: {reasons}. {' '.join(faults)}"

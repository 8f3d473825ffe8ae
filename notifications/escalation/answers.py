"""Acknowledge by an answer to an SMS."""

import logging

from django.db import router, transaction

from notifications.core.addresses import hash_address
from notifications.escalation.actions import acknowledge, acknowledge_run, get_first
from notifications.exceptions import NotPermitted
from notifications.models import Delivery, EscalationEntry, EscalationRun
from notifications.outcomes import DeliveryState

logger = logging.getLogger("notifications.escalation")

MAX_RUNS = 1000
"""The newest escalations are looked through."""
SENT_STATES = (DeliveryState.SENT, DeliveryState.UNKNOWN, DeliveryState.SENDING)


def acknowledge_by_phone(number: str) -> bool:
    """Acknowledge the newest message to a number that belongs to an escalation; return False if there is none.

    Only escalations that nobody has acknowledged count, so an "OK" about something else does nothing.

    :param number: in international form.
    """
    using = router.db_for_write(EscalationRun)
    with transaction.atomic(using=using):
        delivery = find_delivery(number, using)
        if delivery is None:
            return False
        try:
            if delivery.recipient is not None:
                acknowledge(delivery.notification, delivery.recipient)
            else:
                run = EscalationRun.objects.using(using).get(notification=get_first(delivery.notification))
                acknowledge_run(run, by_key=delivery.recipient_key)
        except NotPermitted as error:
            message = "An answer to delivery %d does not acknowledge it: %s"
            logger.warning(message, delivery.pk, error, extra=delivery.log_ids)
            return False
    return True


def find_delivery(number: str, using: str) -> Delivery | None:
    """Return the newest delivery to a number by an escalation that is active or exhausted, or that it began with."""
    states = (EscalationRun.State.ACTIVE, EscalationRun.State.EXHAUSTED)
    runs = EscalationRun.objects.using(using).filter(state__in=states).order_by("-pk")
    firsts = dict(runs.values_list("pk", "notification_id")[:MAX_RUNS])
    pages = EscalationEntry.objects.using(using).filter(run__in=firsts).exclude(notification=None)
    ids = {*firsts.values(), *pages.values_list("notification_id", flat=True)}
    rows = Delivery.objects.using(using).filter(notification__in=ids, address_hash=hash_address(number))
    rows = rows.filter(state__in=SENT_STATES).select_related("notification", "notification__cluster", "recipient")
    return rows.order_by("-pk").first()

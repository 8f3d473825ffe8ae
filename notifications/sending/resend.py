"""Send dead or unknown deliveries again, for code, the admin and commands."""

from collections.abc import Iterable
from typing import Any

from django.db import router, transaction

from notifications.context import UNSTORABLE
from notifications.core import clock
from notifications.core.addresses import mask_addresses, user_key
from notifications.core.databases import read_from_primary
from notifications.exceptions import InvalidOption, NotPermitted
from notifications.models import Delivery, NotificationLog
from notifications.models.delivery import DeliveryQuerySet
from notifications.models.notification import send_signal_on_commit
from notifications.outcomes import DeliveryState, Reason
from notifications.sending.permission import check_is_user, has_permission

RESENDABLE_STATES = (DeliveryState.DEAD, DeliveryState.UNKNOWN)
RESEND_PERMISSION = "klaxon.retry_delivery"
MAX_REASON_LENGTH = 500


@read_from_primary()
def resend(delivery: Delivery, reason: str, actor: Any) -> Delivery:
    """Start a new epoch of a dead or unknown delivery. Return the updated delivery.

    :raises NotPermitted: if the actor lacks ``klaxon.retry_delivery``.
    :raises InvalidOption: if it is not a saved delivery, has another state or was deleted; if the actor is not a user;
        if the reason is missing, too long or cannot be stored.
    """
    _check_arguments(delivery, reason, actor)
    using = router.db_for_write(Delivery)
    with transaction.atomic(using=using):
        rows = reopen(Delivery.objects.using(using).filter(pk=delivery.pk), reason, actor)
        wake_workers(rows)
    updated = Delivery.objects.using(using).select_related("notification").filter(pk=delivery.pk).first()
    if not rows or updated is None:
        state = f"is {updated.get_state_display()}" if updated else "no longer exists"
        raise InvalidOption(f"Delivery {delivery.pk} {state}; only a dead or unknown delivery can be sent again.")
    return updated


def _check_arguments(delivery: Any, reason: Any, actor: Any) -> None:
    if not isinstance(delivery, Delivery) or delivery.pk is None:
        raise InvalidOption(f"resend() takes a saved Delivery, not {delivery!r:.80}.")
    check_is_user("actor", actor)
    if actor is not None and not has_permission(actor, RESEND_PERMISSION):
        raise NotPermitted(
            f"resend() requires the permission {RESEND_PERMISSION!r}, and {str(actor)!r:.80} does not have it."
        )
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidOption("resend() requires a reason. The log stores it.")
    if len(reason) > MAX_REASON_LENGTH or UNSTORABLE.search(reason):
        raise InvalidOption(
            f"The reason of resend() may have {MAX_REASON_LENGTH} plain characters; it is {reason!a:.80}."
        )


@read_from_primary()
def reopen(deliveries: DeliveryQuerySet, reason: str, actor: Any = None) -> list[Delivery]:
    """Start a new epoch of those deliveries that are dead or unknown, and log each. Return these.

    Call it in a transaction on their database, and :func:`wake_workers` afterwards.
    """
    using = deliveries.db
    # Lock the rows, so that exactly the logged deliveries are reopened.
    locked = (
        deliveries.filter(state__in=RESENDABLE_STATES).select_related("notification").select_for_update(of=("self",))
    )
    rows, now = list(locked.order_by("pk")), clock.now(using)
    Delivery.objects.using(using).filter(pk__in=[row.pk for row in rows]).reopen(now)
    text = mask_addresses(f"{_format_actor(actor)}{reason}")
    kind = NotificationLog.Kind.RESENT
    log = [NotificationLog.for_delivery(row, kind, now, reason=Reason.RETRIED, error_message=text) for row in rows]
    NotificationLog.objects.using(using).append(log)
    return rows


def _format_actor(actor: Any) -> str:
    """Return the actor's recipient key, because the log must not contain names."""
    return f"by {user_key(actor.pk)}: " if actor is not None else ""


def wake_workers(rows: Iterable[Delivery]) -> None:
    """Send ``notifications_queued`` on commit, as ``send()`` does."""
    ids = sorted({row.notification_id for row in rows})
    if ids:
        send_signal_on_commit(ids, router.db_for_write(Delivery))

"""A person has dead or unknown deliveries sent again: here alone, whether by code, by the admin or by a command."""

from collections.abc import Iterable
from typing import Any

from django.db import router, transaction

from notifications.context import UNSTORABLE
from notifications.core import clock
from notifications.core.addresses import mask_addresses_in
from notifications.core.primary import read_from_primary
from notifications.exceptions import InvalidOption, NotPermitted
from notifications.models import Delivery, NotificationLog
from notifications.models.delivery import DeliveryQuerySet
from notifications.models.queued_signal import tell_on_commit
from notifications.outcomes import DeliveryState, Reason
from notifications.recipients import user_key
from notifications.sending.permission import check_is_user, has_permission

RESENDABLE_STATES = (DeliveryState.DEAD, DeliveryState.UNKNOWN)
PERMISSION = "klaxon.retry_delivery"
LONGEST_REASON = 500


@read_from_primary()
def resend(delivery: Delivery, reason: str, actor: Any) -> Delivery:
    """Give one dead or unknown delivery a new epoch; returns it as it is now.

    :raises NotPermitted: if the actor lacks ``klaxon.retry_delivery``.
    :raises InvalidOption: if it is no delivery, or in another state, or gone; if the actor is no user; if the reason
        is missing, too long or cannot be stored.
    """
    _check(delivery, reason, actor)
    using = router.db_for_write(Delivery)
    with transaction.atomic(using=using):
        rows = reopen(Delivery.objects.using(using).filter(pk=delivery.pk), reason, actor)
        wake_workers(rows)
    found = Delivery.objects.using(using).select_related("notification").filter(pk=delivery.pk).first()
    if not rows or found is None:
        state = f"is {found.get_state_display()}" if found else "is gone"
        raise InvalidOption(f"Delivery {delivery.pk} {state}; only what is dead or unknown can be sent again.")
    return found


def _check(delivery: Any, reason: Any, actor: Any) -> None:
    if not isinstance(delivery, Delivery) or delivery.pk is None:
        raise InvalidOption(f"resend() sends one saved Delivery again, not {delivery!r:.80}.")
    check_is_user("actor", actor)
    if actor is not None and not has_permission(actor, PERMISSION):
        lacks = f"{str(actor)!r:.80} does not have it"
        raise NotPermitted(f"To send again takes the permission {PERMISSION!r}, and {lacks}.")
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidOption("resend() needs a reason, in words. It is kept in the log.")
    if len(reason) > LONGEST_REASON or UNSTORABLE.search(reason):
        raise InvalidOption(f"The reason of resend() may have {LONGEST_REASON} plain characters; it is {reason!a:.80}.")


@read_from_primary()
def reopen(letters: DeliveryQuerySet, reason: str, actor: Any = None) -> list[Delivery]:
    """Give those of ``letters`` that are dead or unknown a fresh life, each with a row in the log; returns them.

    To be called in a transaction on their database; :func:`wake_workers` then tells that there is work.
    """
    using = letters.db
    # Locked, so that exactly those are reopened that the log names.
    locked = letters.filter(state__in=RESENDABLE_STATES).select_related("notification").select_for_update(of=("self",))
    rows = list(locked.order_by("pk"))
    Delivery.objects.using(using).filter(pk__in=[row.pk for row in rows]).reopen()
    words = mask_addresses_in(f"{_by(actor)}{reason}")
    kind, now = NotificationLog.Kind.RESENT, clock.now(using)
    log = [NotificationLog.of(row, kind, now, reason=Reason.RETRIED, error_message=words) for row in rows]
    NotificationLog.objects.using(using).append(log)
    return rows


def _by(actor: Any) -> str:
    """The key alone: the log names nobody."""
    return f"by {user_key(actor.pk)}: " if actor is not None else ""


def wake_workers(rows: Iterable[Delivery]) -> None:
    """Tell on commit that there is work, as ``send()`` does."""
    ids = sorted({row.notification_id for row in rows})
    if ids:
        tell_on_commit(ids, router.db_for_write(Delivery))

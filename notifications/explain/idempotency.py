"""Whether an idempotency key was used already, looked up and not taken."""

from notifications.explain.explanation import Step
from notifications.models import Notification
from notifications.outcomes import Deliver, Drop, Reason
from notifications.sending.idempotency import find_by_key
from notifications.sending.request import Request

GATE = "idempotency"
NEW_KEY = "The call would have to have a key of its own"


def key_step(request: Request, using: str) -> Step:
    """What comes of the key of a call that has one."""
    first = find_by_key(request, using)
    if first is None:
        return Step(GATE, Deliver(), "the idempotency key was not used before")
    return _used(first, is_same=first.idempotency_hash == request.fingerprint)


def _used(first: Notification, is_same: bool) -> Step:
    used = f"the idempotency key was used already, for notification {first.pk}"
    if is_same:
        rule, change = f"{used}; nothing is queued again", f"{NEW_KEY}."
    else:
        rule = f"{used} with another content; send() would raise IdempotencyConflict"
        change = f"{NEW_KEY}, or the same content."
    return Step(GATE, Drop(Reason.DUPLICATE, rule), rule, change)

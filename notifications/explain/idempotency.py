"""Whether an idempotency key was used already, looked up and not taken."""

from notifications.core.rules import describe_rule
from notifications.explain.explanation import Step
from notifications.models import Notification
from notifications.outcomes import Deliver, Drop, Reason, Rule, RuleKind
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
    kind = RuleKind.KEY_USED if is_same else RuleKind.KEY_CONFLICT
    change = f"{NEW_KEY}." if is_same else f"{NEW_KEY}, or the same content."
    rule = Rule(kind, "call", {"notification_id": first.pk})
    return Step(GATE, Drop(Reason.DUPLICATE, rule), describe_rule(rule), change)

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from notifications.context import comparable, encoded
from notifications.events import NotificationEvent, key_of
from notifications.outcomes import Answer, Deliver, Drop, Reason, Rule, RuleKind
from notifications.sending.gates.facts import Facts


def duplicate(facts: Facts) -> Answer:
    """The same again, within the window of its event, is folded into the first. Decided when it is sent, never again.

    Not even CRITICAL passes; but only an event that declares a window has one.
    """
    first = facts.first
    if first is None:
        return Deliver()
    detail = {"notification_id": first.notification_id, "at": first.at, "seconds": facts.event.dedup_window}
    return Drop(Reason.DUPLICATE, Rule(RuleKind.DUPLICATE, "event", detail))


def fingerprints(event: NotificationEvent, cluster: Any, context: Mapping[str, Any]) -> Callable[[str], str]:
    """A function from a recipient key to the fingerprint of this event, in this cluster, with these values.

    The same in every process, from one start to the next.
    """
    values = context.get("$dict", context)
    told = [encoded(cluster.pk), key_of(event.name), {key: comparable(values.get(key)) for key in event.dedup_keys}]
    of_everybody = hashlib.sha256(json.dumps(told, sort_keys=True).encode() + b"\n")

    def of(recipient_key: str) -> str:
        own = of_everybody.copy()
        own.update(recipient_key.encode())
        return own.hexdigest()

    return of

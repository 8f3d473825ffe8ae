import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from notifications.context import encoded, make_comparable
from notifications.events import NotificationEvent, key_of
from notifications.outcomes import Answer, Deliver, Drop, Reason, Rule, RuleKind
from notifications.sending.gates.facts import Facts


def duplicate(facts: Facts) -> Answer:
    """Drop a duplicate within the deduplication window of its event, for CRITICAL events too.

    Only ``send()`` decides this; the worker does not recheck it.
    """
    original = facts.original
    if original is None:
        return Deliver()
    detail = {"notification_id": original.notification_id, "at": original.at, "seconds": facts.event.dedup_window}
    return Drop(Reason.DUPLICATE, Rule(RuleKind.DUPLICATE, "event", detail))


def make_fingerprint_function(
    event: NotificationEvent, cluster: Any, context: Mapping[str, Any]
) -> Callable[[str], str]:
    """Return a function from a recipient key to the fingerprint of this event, cluster and context.

    Fingerprints are the same in all processes.
    """
    values = context.get("$dict", context)
    payload = [
        encoded(cluster.pk),
        key_of(event.name),
        {key: make_comparable(values.get(key)) for key in event.dedup_keys},
    ]
    common_hash = hashlib.sha256(json.dumps(payload, sort_keys=True).encode() + b"\n")

    def fingerprint(recipient_key: str) -> str:
        full_hash = common_hash.copy()
        full_hash.update(recipient_key.encode())
        return full_hash.hexdigest()

    return fingerprint

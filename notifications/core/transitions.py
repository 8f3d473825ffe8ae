"""The allowed state transitions of a delivery, each with its condition.

Only ``storage.outbox.settle()`` writes *sent*, and it refuses a transition that is not listed here. The other functions
that change states are named in ``docs/architecture.md``; tests compare every change of a state with this list.
"""

from collections.abc import Mapping

from notifications.outcomes import DeliveryState as State

NEW = ""

TRANSITIONS: Mapping[str, Mapping[str, str]] = {
    NEW: {
        State.HELD: "send_at is in the future, or a gate holds it until a time",
        State.READY: "no gate drops or holds it; or it is a fallback or digest, which the worker rechecks",
    },
    State.HELD: {
        State.READY: "its time has come",
        State.MERGED: "it becomes part of a digest or batch",
        State.CANCELLED: "cancelled by its key or by a person",
        State.EXPIRED: "expires_at has passed",
        State.DROPPED: "shed by a queue limit, or a gate drops it when its digest is made",
    },
    State.READY: {
        State.CLAIMED: "a worker claims it: owner, lease and fence + 1 in one statement",
        State.CANCELLED: "cancelled by its key or by a person",
        State.DROPPED: "shed by a queue limit",
    },
    State.RETRY: {
        State.READY: "its time has come",
        State.CANCELLED: "cancelled by its key or by a person",
    },
    State.CLAIMED: {
        State.SENDING: "fence matches; attempts + 1; committed before the provider is called",
        State.READY: "given back, or its worker is lost (it was certainly not sent)",
        State.HELD: "a gate holds it when it is rechecked, or it cannot be rendered at present; no attempt is counted",
        State.DROPPED: "a gate drops it when it is rechecked",
        State.CANCELLED: "cancelled while a worker had it",
        State.EXPIRED: "expires_at has passed",
        State.DEAD: "it cannot be rendered or prepared, its event or channel does not exist, or it has three strikes",
    },
    State.SENDING: {
        State.SENT: "the provider accepted it; fence matches",
        State.RETRY: "the provider failed temporarily, or certainly did not get it; fence matches",
        State.DEAD: "the provider refused it permanently, its retries are used up, or it has three strikes",
        State.UNKNOWN: "contact with the provider or its worker was lost",
    },
    State.UNKNOWN: {
        State.RETRY: "on_unknown is retry: the retry schedule continues in the same epoch",
        State.DEAD: "its retries are used up",
        State.READY: "a person resends it: a new epoch begins",
    },
    State.DEAD: {
        State.READY: "a person resends it: a new epoch begins",
    },
    State.MERGED: {
        State.DROPPED: "a gate drops it when its digest or batch is rechecked",
        State.CANCELLED: "cancelled before its digest or batch was sent",
        State.EXPIRED: "expires_at passed before its digest or batch was sent",
    },
}

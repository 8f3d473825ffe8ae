"""The states of a delivery as a table: from which state to which, and what must hold.

Every change of state in ``models/`` keeps to it. ``settle()`` refuses what does not stand here.
"""

from collections.abc import Mapping

from notifications.outcomes import DeliveryState as State

NEW = ""

TRANSITIONS: Mapping[str, Mapping[str, str]] = {
    NEW: {
        State.HELD: "a gate said: not before a time",
        State.READY: "the gates let it through",
    },
    State.HELD: {
        State.READY: "due",
        State.MERGED: "taken into a digest or batch",
        State.CANCELLED: "by its key, or by a person",
        State.EXPIRED: "its time has passed",
        State.DROPPED: "shed by a queue limit, or a gate that was asked again for a digest said no",
    },
    State.READY: {
        State.CLAIMED: "owner, lease and fence + 1 in one statement",
        State.CANCELLED: "by its key, or by a person",
        State.EXPIRED: "its time has passed",
        State.DROPPED: "shed by a queue limit",
    },
    State.RETRY: {
        State.READY: "due",
        State.CANCELLED: "by its key, or by a person",
        State.EXPIRED: "its time has passed",
    },
    State.CLAIMED: {
        State.SENDING: "fence matches; attempts + 1; committed before the call",
        State.READY: "given back, or its worker was lost (provably not sent)",
        State.HELD: "a gate that was asked again said: not before a time; no attempt counted",
        State.RETRY: "a limit, a breaker or a channel that cannot be made said: later; no attempt counted",
        State.DROPPED: "a gate that was asked again said no",
        State.CANCELLED: "cancelled meanwhile",
        State.EXPIRED: "its time has passed",
        State.DEAD: "it cannot be rendered or prepared, or third strike",
    },
    State.SENDING: {
        State.SENT: "the provider accepted; fence matches",
        State.RETRY: "the provider failed for now, or it was certainly not handed over; fence matches",
        State.DEAD: "the provider refused for good, the schedule is used up, or third strike",
        State.UNKNOWN: "contact was lost, or the worker was",
    },
    State.UNKNOWN: {
        State.RETRY: "on_unknown is retry: the schedule goes on in the same epoch",
        State.DEAD: "the schedule is used up, or third strike",
        State.READY: "by a person: a new epoch",
    },
    State.DEAD: {
        State.READY: "by a person: a new epoch",
    },
    State.MERGED: {
        State.DROPPED: "a gate that was asked again before its digest or batch goes out said no",
        State.CANCELLED: "cancelled before its digest or batch went out",
        State.EXPIRED: "its time has passed before its digest or batch went out",
    },
}


def is_allowed(was: str, state: str) -> bool:
    return state in TRANSITIONS.get(was, {})

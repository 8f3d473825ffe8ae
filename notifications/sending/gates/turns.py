"""The turns of the channels of an event with ``prefer``: which channel is first, and when the next one may be used.

``send()`` queues a delivery on every channel of the list that can have one. The first that can reach the recipient now
is ready; the others are held. When a held one is due, :func:`decide_turn` looks at the other deliveries of the same
notification to the same recipient: it drops the delivery if the notification was read or acknowledged, holds it while
an earlier channel has its turn, and lets it through otherwise. So the rows in the database are all that is needed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from notifications.events.prefer import Prefer
from notifications.outcomes import Answer, Deliver, DeliveryState, Drop, Hold, Reason, Rule, RuleKind
from notifications.sending.gates.reach import Reach, needs_presence

LOOK_AGAIN = timedelta(minutes=15)
"""How long a delivery is held that waits for the failure of another one, which makes it due at once. It then looks
again, in case the failure was not noticed."""
ACTIVE = frozenset(
    {
        DeliveryState.HELD,
        DeliveryState.READY,
        DeliveryState.CLAIMED,
        DeliveryState.SENDING,
        DeliveryState.RETRY,
        DeliveryState.UNKNOWN,
    }
)
WITH_A_WORKER = frozenset({DeliveryState.CLAIMED, DeliveryState.SENDING})
SENT = frozenset({DeliveryState.SENT, DeliveryState.MERGED})
WAITING_REASONS = (Reason.PREFERRED, Reason.PASSED_OVER)
"""The reasons of deliveries that wait for their turn."""


def order_channels(
    prefer: Mapping[str, Prefer], possible: Collection[str], reach: Reach | None, user_id: Any
) -> tuple[list[str], list[str]]:
    """Return the possible channels of a list that can reach the user now, and the others.

    If none can, or if it cannot be known yet, all are in the first list.
    """
    listed = [name for name in prefer if name in possible]
    if reach is None:
        return listed, []
    reachable = [name for name in listed if reach.includes(prefer[name], user_id)]
    if not reachable:
        return listed, []
    passed_over = [name for name in listed if name not in reachable]
    return reachable, passed_over


def hold_for_turns(
    prefer: Mapping[str, Prefer], answers: Mapping[str, Answer], reach: Reach | None, user_id: Any, begins_at: datetime
) -> dict[str, Answer]:
    """Return the answers for the channels that have to wait for their turn.

    :param answers: the answers of the gates by channel.
    :param reach: what can be reached now; None if the notification is to be sent later.
    :param begins_at: when the notification is to be sent.
    """
    possible = [name for name, answer in answers.items() if not isinstance(answer, Drop)]
    reachable, passed_over = order_channels(prefer, possible, reach, user_id)
    held: dict[str, Answer] = {}
    previous, due_at = "", begins_at
    for name in (*reachable, *passed_over):
        answer = answers[name]
        own = answer.until if isinstance(answer, Hold) else begins_at
        if not previous:
            due_at = max(due_at, own)
        else:
            due_at = max(due_at + (prefer[previous].wait or LOOK_AGAIN), own)
            if name in passed_over:
                held[name] = Hold(due_at, Reason.PASSED_OVER, _build_rule(RuleKind.PASSED_OVER, name))
            elif due_at > own:
                held[name] = Hold(due_at, Reason.PREFERRED, _build_rule(RuleKind.PREFERRED, previous))
        previous = name
    return held


@dataclass(frozen=True)
class OtherDelivery:
    """Another delivery of the same notification to the same recipient."""

    channel: str
    state: str
    reason: str
    due_at: datetime | None
    settled_at: datetime | None
    has_bounced: bool = False


@dataclass(frozen=True)
class Turn:
    """What decides about the turn of one delivery.

    :param begins_at: when the notification was to be sent.
    :param read_on: the channel on which the recipient has read the notification; empty if they have not, as far as is
        known.
    :param is_passed_over: whether the delivery was held because it could not reach the recipient.
    """

    prefer: Mapping[str, Prefer]
    channel: str
    user_id: Any
    begins_at: datetime
    others: Sequence[OtherDelivery] = ()
    read_on: str = ""
    is_acknowledged: bool = False
    is_passed_over: bool = False
    reach: Reach = field(default_factory=Reach)


def decide_turn(turn: Turn, now: datetime) -> Answer:
    """Decide whether a delivery has its turn. If something is not known, it is sent rather than dropped."""
    if turn.is_acknowledged:
        return Drop(Reason.READ, Rule(RuleKind.ACKNOWLEDGED))
    if turn.read_on:
        return Drop(Reason.READ, Rule(RuleKind.READ, detail={"channel": turn.read_on}))
    begins_at = turn.begins_at
    sent = [one for one in turn.others if one.state in SENT and not one.has_bounced]
    if sent:
        last = max(sent, key=lambda one: one.settled_at or now)
        wait = turn.prefer[last.channel].wait
        if wait is None:
            return Drop(Reason.COVERED, Rule(RuleKind.COVERED, "event", {"channel": last.channel}))
        begins_at = (last.settled_at or now) + wait
        if begins_at > now:
            return Hold(begins_at, _get_reason(turn), _build_rule(RuleKind.PREFERRED, last.channel))
    return _find_blocker(turn, begins_at, now) or _pass_over(turn, now) or Deliver()


def combine_with_turn(answer: Answer, turn: Answer) -> Answer:
    """Return what the gates and the turn decide together: the drop, or the later hold."""
    if isinstance(answer, Hold) and not isinstance(turn, Drop):
        return turn if isinstance(turn, Hold) and turn.until >= answer.until else answer
    return turn


def _find_blocker(turn: Turn, begins_at: datetime, now: datetime) -> Hold | None:
    """Return the hold for the other channels whose turn is before that of this one; None if there is none."""
    own, found = _get_place(turn.prefer, turn.channel, turn.is_passed_over), None
    for one in turn.others:
        is_before = _get_place(turn.prefer, one.channel, one.reason == Reason.PASSED_OVER) < own
        is_stuck = one.channel in turn.reach.unavailable and one.state not in WITH_A_WORKER
        if one.state not in ACTIVE or not is_before or is_stuck:
            continue
        start = max(begins_at, one.due_at) if one.state == DeliveryState.HELD and one.due_at else begins_at
        wait = turn.prefer[one.channel].wait
        until = max(start, now) + LOOK_AGAIN if wait is None else start + wait
        if until > now and (found is None or until > found.until):
            found = Hold(until, _get_reason(turn), _build_rule(RuleKind.PREFERRED, one.channel))
    return found


def _pass_over(turn: Turn, now: datetime) -> Hold | None:
    """Return a hold if the recipient is not present, and another channel can reach them now."""
    entry = turn.prefer[turn.channel]
    if turn.is_passed_over or turn.user_id in turn.reach.present or not needs_presence(entry):
        return None
    for one in turn.others:
        is_left = one.state in ACTIVE and one.reason != Reason.PASSED_OVER
        if is_left and turn.reach.includes(turn.prefer[one.channel], turn.user_id):
            return Hold(now + LOOK_AGAIN, Reason.PASSED_OVER, _build_rule(RuleKind.PASSED_OVER, turn.channel))
    return None


def _get_place(prefer: Mapping[str, Prefer], channel: str, is_passed_over: bool) -> tuple[bool, int]:
    return is_passed_over, list(prefer).index(channel)


def _get_reason(turn: Turn) -> Reason:
    return Reason.PASSED_OVER if turn.is_passed_over else Reason.PREFERRED


def _build_rule(kind: RuleKind, channel: str) -> Rule:
    return Rule(kind, "event", {"channel": channel})

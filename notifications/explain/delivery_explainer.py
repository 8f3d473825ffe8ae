"""Explains deliveries: what happened, what they wait for, and whether the gates let them through now."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from notifications.core.rules import describe_rule
from notifications.events import NotificationPriority
from notifications.explain.digest_schedule import GROUPED_REASONS, WITH_OTHERS, find_send_time
from notifications.explain.explanation import ChannelExplanation, Happened, Step, format_time
from notifications.explain.history import describe_log_row, load_log
from notifications.explain.notes import WITH_A_WORKER, Notes, find_lost_contact
from notifications.explain.remedies import Subject, describe_remedy, find_address_kind, find_preference
from notifications.explain.steps import (
    build_step,
    call_gates,
    check_expires_at,
    check_send_at,
    combine_answers,
    find_deciding_step,
    get_recipient_zone,
    join_sentences,
    refuse_channel,
)
from notifications.models import Delivery, Suppression
from notifications.models.suppression import Pair
from notifications.outcomes import WAITING, Answer, Deliver, DeliveryState, Drop, Hold, Reason, Rule, RuleKind
from notifications.sending.gates import DIGEST_ITEM_GATES, RECHECKED_GATES, Facts, Person, find_obstacle
from notifications.sending.gates.facts import build_facts, collect_addresses
from notifications.sending.gates.hours import digest, quiet_hours

HELD_BY_TIME = (*GROUPED_REASONS, Reason.QUIET_HOURS, Reason.DELIVERY_WINDOW)
ENDED = {
    DeliveryState.UNKNOWN: "It is not known whether it arrived",
    DeliveryState.DEAD: "It was not sent, and is not retried",
    DeliveryState.DROPPED: "It was dropped",
    DeliveryState.CANCELLED: "It was cancelled",
    DeliveryState.EXPIRED: "It has expired",
}


class DeliveryExplainer:
    """Explains the deliveries of one recipient. Their log and suppressions are loaded together."""

    def __init__(self, person: Person, deliveries: list[Delivery], now: datetime) -> None:
        self.person, self.now, self.zone, self.notes = person, now, get_recipient_zone(person), Notes(now)
        self._suppressed: frozenset[Pair] = Suppression.objects.find_suppressed(collect_addresses(deliveries))
        self._log = load_log(deliveries)
        self._send_times: dict[int, datetime] = {}

    def explain(self, delivery: Delivery) -> ChannelExplanation:
        is_waiting = delivery.state in WAITING
        steps = self._build_steps(delivery) if is_waiting else []
        lost_at = find_lost_contact(delivery, self.now)
        # It is not known whether a delivery that was being sent arrived, nor whether its event lets it be sent again.
        is_unknown = lost_at and delivery.state == DeliveryState.SENDING
        arrives_at = None if is_unknown else self._find_arrival(delivery, steps)
        called = Happened(delivery.notification.created_at, "send() was called.")
        return ChannelExplanation(
            delivery.channel,
            self._describe_lost(delivery, lost_at) if lost_at else self._summarize(delivery, steps, arrives_at),
            tuple(steps),
            combine_answers(steps) if is_waiting else None,
            arrives_at,
            delivery.pk,
            delivery.state,
            delivery.reason,
            (called, *map(describe_log_row, self._log[delivery.pk])),
            self._get_notes(delivery, combine_answers(steps)) if is_waiting or lost_at else (),
            find_address_kind(delivery.channel) == "",
        )

    def _build_steps(self, delivery: Delivery) -> list[Step]:
        notification, subject = delivery.notification, Subject(delivery.notification.event, delivery.channel)
        if notification.cancelled_at is not None:
            cancelled = Rule(RuleKind.CANCELLED, detail={"time": self._format(notification.cancelled_at)})
            return [build_step("cancel", Drop(Reason.CANCELLED, cancelled), subject)]
        if obstacle := find_obstacle(delivery):
            reason, text = obstacle
            if reason is Reason.NOT_CONFIGURED:
                return [refuse_channel(subject)]
            return [build_step("event", Drop(reason, Rule(RuleKind.TEXT, "site", {"text": text})), subject)]
        facts = self._build_facts(delivery, self.now)
        # The quiet hours are those of the digest, not of its items.
        gates = DIGEST_ITEM_GATES if delivery.reason in GROUPED_REASONS else RECHECKED_GATES
        steps = [*check_send_at(facts, notification.send_at), *call_gates(gates, facts)]
        if not isinstance(steps[-1].answer, Drop):
            sent_at = self._find_arrival(delivery, steps) or self.now
            steps += check_expires_at(facts, notification.expires_at, sent_at, self.zone)
        return steps

    def _build_facts(self, delivery: Delivery, moment: datetime) -> Facts:
        return build_facts(delivery, self.person, self._suppressed, moment, delivery.notification.wanted_at)

    def _find_arrival(self, delivery: Delivery, steps: Sequence[Step]) -> datetime | None:
        """Return when it is sent at the earliest, or when it was sent."""
        if delivery.state == DeliveryState.MERGED and delivery.merged_into is not None:
            return self._find_arrival(delivery.merged_into, [])
        if delivery.state == DeliveryState.SENT:
            return delivery.settled_at
        answer = combine_answers(steps)
        if delivery.state not in (*WAITING, *WITH_A_WORKER) or isinstance(answer, Drop):
            return None
        return max(self.now, self._find_due_time(delivery), answer.until if isinstance(answer, Hold) else self.now)

    def _find_due_time(self, delivery: Delivery) -> datetime:
        if delivery.due_at is None or not _waits_for_others(delivery) or find_obstacle(delivery):
            return delivery.due_at or self.now
        if delivery.pk not in self._send_times:
            hold, cluster_id = Hold(delivery.due_at, Reason(delivery.reason)), delivery.notification.cluster_id
            facts = self._build_facts(delivery, self.now)
            self._send_times[delivery.pk] = find_send_time(hold, facts, delivery.recipient_key, cluster_id)
        return self._send_times[delivery.pk]

    def _get_notes(self, delivery: Delivery, answer: Answer) -> tuple[str, ...]:
        """Return the notes; none for a delivery that would not be sent anyway."""
        if isinstance(answer, Drop):
            return ()
        is_waiting = delivery.state in WAITING
        is_due = not is_waiting or delivery.state == DeliveryState.READY
        is_due = is_due or (delivery.due_at is not None and delivery.due_at <= self.now)
        return self.notes.get_notes(delivery.channel, is_due, is_waiting and isinstance(answer, Deliver))

    def _describe_lost(self, delivery: Delivery, since: datetime) -> str:
        begun = " It may have arrived already." if delivery.state == DeliveryState.SENDING else ""
        return f"Its worker has not responded since {self._format(since)}, and another worker will take it over.{begun}"

    def _summarize(self, delivery: Delivery, steps: Sequence[Step], arrives_at: datetime | None) -> str:
        if delivery.state in WAITING:
            return self._describe_waiting(delivery, steps, arrives_at)
        if delivery.state == DeliveryState.SENT:
            provider = f" by {delivery.provider}" if delivery.provider else ""
            return f"It was sent at {self._format(delivery.settled_at)}{provider}."
        if delivery.state in WITH_A_WORKER:
            return "A worker is processing it now."
        if delivery.state == DeliveryState.MERGED:
            return _describe_merged(delivery)
        return self._describe_row(ENDED[DeliveryState(delivery.state)], delivery)

    def _describe_row(self, head: str, delivery: Delivery) -> str:
        """Return the head with the reason of the row and the text that the log has for it."""
        text = self._get_log_text(delivery)
        # The state says it already.
        reason = "" if delivery.reason == delivery.state else delivery.get_reason_display()
        rule = f"{reason} ({text.removesuffix('.')})" if text and reason else reason or text
        event_name = delivery.notification.event
        preference = find_preference(text, self.person, event_name, delivery.channel)
        return join_sentences(head, rule, self._describe_remedy(delivery, preference))

    def _get_log_text(self, delivery: Delivery) -> str:
        last = self._log[delivery.pk][-1:]
        # The text for this reason gives the same advice as the remedy.
        is_advice = delivery.reason == Reason.NOT_CONFIGURED
        return last[0].error_message if last and last[0].reason == delivery.reason and not is_advice else ""

    def _describe_remedy(self, delivery: Delivery, rule: Rule | None) -> str:
        subject = Subject(delivery.notification.event, delivery.channel, delivery.recipient_key)
        return describe_remedy(delivery.reason, subject, rule)

    def _describe_waiting(self, delivery: Delivery, steps: Sequence[Step], arrives_at: datetime | None) -> str:
        deciding = find_deciding_step(steps)
        if deciding and isinstance(deciding.answer, Drop):
            return join_sentences("It is waiting, but would not be sent now", deciding.rule, deciding.change)
        pause_ends = self.notes.describe_pause(delivery.channel)
        delay = f" at the earliest, and until {pause_ends}" if pause_ends else ""
        is_early = _waits_for_others(delivery) and delivery.due_at and arrives_at and arrives_at < delivery.due_at
        until = f"It waits until {self._format(arrives_at)}{delay}{WITH_OTHERS if is_early else ''}"
        if deciding and isinstance(deciding.answer, Hold) and deciding.answer.until == arrives_at:
            return join_sentences(until, deciding.rule, deciding.change)
        if delivery.state == DeliveryState.READY:
            return f"It is ready and waits {f'until {pause_ends}' if pause_ends else 'for a worker'}."
        if delivery.state == DeliveryState.HELD and delivery.reason in HELD_BY_TIME and not find_obstacle(delivery):
            return self._describe_held(until, delivery)
        return self._describe_row(until, delivery)

    def _describe_held(self, until: str, delivery: Delivery) -> str:
        hold = self._find_original_hold(delivery)
        if hold is None:
            changed = f"{delivery.get_reason_display()}; its time was set by settings that have changed since"
            return join_sentences(until, changed)
        return join_sentences(until, describe_rule(hold.rule), self._describe_remedy(delivery, hold.rule))

    def _find_original_hold(self, delivery: Delivery) -> Hold | None:
        """Return the hold that set the time of a delivery; None if the present settings would set another one.

        Quiet hours or a digest that the user has changed since do not have to change again.
        """
        notification = delivery.notification
        facts = replace(
            self._build_facts(delivery, notification.created_at),
            priority=NotificationPriority(notification.priority),
            expires_at=notification.expires_at,
        )
        holds = [answer for gate in (quiet_hours, digest) if isinstance(answer := gate(facts), Hold)]
        is_same = bool(holds) and (holds[-1].until, holds[-1].reason) == (delivery.due_at, delivery.reason)
        return holds[-1] if is_same else None

    def _format(self, moment: datetime | None) -> str:
        return format_time(moment, self.zone) if moment else "an unknown time"


def _waits_for_others(delivery: Delivery) -> bool:
    return delivery.state == DeliveryState.HELD and delivery.reason in GROUPED_REASONS


def _describe_merged(delivery: Delivery) -> str:
    digest_row = delivery.merged_into
    if digest_row is None:
        return "It became part of another delivery, which has been deleted."
    return f"It is part of delivery {digest_row.pk}, which is {digest_row.get_state_display()}."

"""Explains deliveries: what happened, what they wait for, and whether the gates let them through now."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from notifications.core.rules import describe_rule, log_text
from notifications.events import NOTIFICATION_EVENTS
from notifications.explain.explanation import ChannelExplanation, Happened, Step, format_time
from notifications.explain.obstacles import WITH_A_WORKER, Obstacles, find_lost_contact
from notifications.explain.remedies import WAITS, Subject, describe_remedy
from notifications.explain.steps import (
    GROUPED_REASONS,
    build_step,
    call_gates,
    check_expiry,
    combine_answers,
    describe_step,
    find_deciding_step,
    find_send_time,
    format_due_time,
    get_recipient_zone,
    join_sentences,
    refuse_channel,
    take_until_drop,
)
from notifications.models import Delivery, NotificationLog, Suppression
from notifications.outcomes import WAITING, Deliver, DeliveryState, Drop, Hold, Reason, Rule, RuleKind
from notifications.sending.gates import (
    DIGEST_ITEM_GATES,
    RECHECKED_GATES,
    Facts,
    Person,
    decide,
    find_obstacle,
    get_choices,
)
from notifications.sending.gates.facts import build_facts, collect_addresses
from notifications.sending.gates.hours import digest, quiet_hours

DUE_TEXTS = (
    gettext_noop("It waits until {time}"),
    gettext_noop("It waits until {time} at the earliest, and until {end}"),
)
ENDED = {
    DeliveryState.UNKNOWN: gettext_noop("It is not known whether it arrived"),
    DeliveryState.DEAD: gettext_noop("It was not sent, and is not retried"),
    DeliveryState.DROPPED: gettext_noop("It was dropped"),
    DeliveryState.CANCELLED: gettext_noop("It was cancelled"),
    DeliveryState.EXPIRED: gettext_noop("It has expired"),
}


def find_rule(text: str, person: Person, event_name: str, channel: str) -> Rule:
    """Return the preference that a text of the log describes; the text itself as a rule if it has changed since."""
    event = NOTIFICATION_EVENTS.named(event_name)
    category = event.category if event else ""
    for choices in get_choices(person):
        if (found := choices.find_choice(event_name, category, channel)) and log_text(found[1]) == text:
            return found[1]
    return Rule(RuleKind.TEXT, detail={"text": text})


class DeliveryExplainer:
    """Explains the deliveries of one notification to one recipient.

    :param log: the log rows about that recipient, the oldest first.
    """

    def __init__(
        self, person: Person, deliveries: Sequence[Delivery], log: Sequence[NotificationLog], now: datetime
    ) -> None:
        self.person, self.now, self.zone = person, now, get_recipient_zone(person)
        self._obstacles = Obstacles(now, self.zone)
        self._suppressed = Suppression.objects.find_suppressed(collect_addresses(deliveries))
        self._log = log

    def explain(self, delivery: Delivery) -> ChannelExplanation:
        is_waiting = delivery.state in WAITING
        explained = self._explain_waiting(delivery) if is_waiting else self._explain_processed(delivery)
        called = Happened(delivery.notification.created_at, _("send() was called."))
        return replace(
            explained,
            delivery_id=delivery.pk,
            state=delivery.state,
            reason=delivery.reason,
            story=(called, *(Happened(row.sent_at, _describe_log_row(row)) for row in self._get_log(delivery))),
            to_nobody=_get_subject(delivery).kind == "",
        )

    def _explain_waiting(self, delivery: Delivery) -> ChannelExplanation:
        steps, due_at = self._call_gates(delivery)
        answer = combine_answers(steps)
        if due_at is None:
            summary = describe_step(_("It is waiting, but would not be sent now"), steps[-1])
            return ChannelExplanation(delivery.channel, summary, tuple(steps), answer)
        is_due = delivery.state == DeliveryState.READY or (delivery.due_at or self.now) <= self.now
        waits_for_worker = isinstance(answer, Deliver)
        delay = self._obstacles.find_delay(delivery.channel, due_at, delivery.score, is_due, waits_for_worker)
        summary = self._describe_waiting(delivery, find_deciding_step(steps), due_at, delay.end)
        return ChannelExplanation(delivery.channel, summary, tuple(steps), answer, delay.until, notes=delay.notes)

    def _explain_processed(self, delivery: Delivery) -> ChannelExplanation:
        arrives_at, lost_at = self._find_arrival(delivery), find_lost_contact(delivery, self.now)
        if arrives_at is None or lost_at is None:
            return ChannelExplanation(delivery.channel, self._describe_processed(delivery), arrives_at=arrives_at)
        text = _("Its worker has not responded since {time}, and another worker will take it over.")
        summary = text.format(time=format_time(lost_at, self.zone))
        delay = self._obstacles.find_delay(delivery.channel, arrives_at, delivery.score, True, waits_for_worker=False)
        if delivery.state == DeliveryState.CLAIMED:
            return ChannelExplanation(delivery.channel, summary, arrives_at=delay.until, notes=delay.notes)
        # It is not known whether it arrived, nor whether its event lets it be sent again.
        summary = f"{summary} {_('It may have arrived already.')}"
        return ChannelExplanation(delivery.channel, summary, notes=delay.notes)

    def _call_gates(self, delivery: Delivery) -> tuple[list[Step], datetime | None]:
        """Return the steps and, unless one drops, the earliest time at which the delivery can be sent."""
        notification, subject = delivery.notification, _get_subject(delivery)
        if notification.cancelled_at is not None:
            rule = Rule(RuleKind.CANCELLED, detail={"time": format_time(notification.cancelled_at, self.zone)})
            return [build_step("cancel", Drop(Reason.CANCELLED, rule), subject)], None
        if obstacle := find_obstacle(delivery):
            reason, text = obstacle
            if reason is Reason.NOT_CONFIGURED:
                return [refuse_channel(subject)], None
            return [build_step("event", Drop(reason, Rule(RuleKind.TEXT, "site", {"text": text})), subject)], None
        facts, due_at = self._build_facts(delivery, self.now), delivery.due_at or self.now
        # The quiet hours are those of the digest, not of its items.
        gates = DIGEST_ITEM_GATES if delivery.reason in GROUPED_REASONS else RECHECKED_GATES
        steps = take_until_drop(call_gates(gates, facts, notification.send_at))
        answer = combine_answers(steps)
        if isinstance(answer, Drop):
            return steps, None
        if _waits_for_others(delivery):
            hold = Hold(due_at, Reason(delivery.reason))
            due_at = find_send_time(hold, facts, delivery.recipient_key, notification.cluster_id)
        due_at = max(self.now, due_at, answer.until if isinstance(answer, Hold) else self.now)
        steps += check_expiry(facts, due_at)
        return steps, None if isinstance(steps[-1].answer, Drop) else due_at

    def _build_facts(self, delivery: Delivery, moment: datetime) -> Facts:
        return build_facts(delivery, self.person, self._suppressed, moment, delivery.notification.wanted_at)

    def _find_arrival(self, delivery: Delivery) -> datetime | None:
        """Return when a delivery that is not waiting, or the digest that it is part of, was or will be sent."""
        row = delivery
        if delivery.state == DeliveryState.MERGED and delivery.merged_into is not None:
            row = delivery.merged_into
        if row.state in (*WAITING, *WITH_A_WORKER):
            return max(self.now, row.due_at or self.now)
        return row.settled_at if row.state == DeliveryState.SENT else None

    def _get_log(self, delivery: Delivery) -> list[NotificationLog]:
        # Notes are written before their delivery has a key.
        place = NotificationLog.Kind.NOTE, delivery.channel, None
        return [
            row
            for row in self._log
            if row.delivery_id == delivery.pk or (row.kind, row.channel, row.delivery_id) == place
        ]

    def _describe_processed(self, delivery: Delivery) -> str:
        if delivery.state == DeliveryState.SENT:
            text = _("It was sent at {time} by {provider}.") if delivery.provider else _("It was sent at {time}.")
            return text.format(time=format_time(delivery.settled_at, self.zone), provider=delivery.provider)
        if delivery.state in WITH_A_WORKER:
            return _("A worker is processing it now.")
        if delivery.state != DeliveryState.MERGED:
            return self._describe_row(_(ENDED[DeliveryState(delivery.state)]), delivery)
        row = delivery.merged_into
        if row is None:
            return _("It became part of another delivery, which has been deleted.")
        return _("It is part of delivery {id}, which is {state}.").format(id=row.pk, state=row.get_state_display())

    def _describe_row(self, head: str, delivery: Delivery) -> str:
        """Return the head with the reason of the row and the text that the log has for it."""
        last = self._get_log(delivery)[-1:]
        # For this reason, the text of the log gives the same advice as the remedy.
        has_text = last and last[0].reason == delivery.reason != Reason.NOT_CONFIGURED
        text = last[0].error_message if has_text else ""
        rule = find_rule(text, self.person, delivery.notification.event, delivery.channel)
        text = describe_rule(rule)
        # The state says it already.
        reason = "" if delivery.reason == delivery.state else delivery.get_reason_display()
        both = f"{reason} ({text.removesuffix('.')})" if text and reason else reason or text
        return join_sentences(head, both, describe_remedy(delivery.reason, _get_subject(delivery), rule))

    def _describe_waiting(self, delivery: Delivery, deciding: Step | None, due_at: datetime, end: str) -> str:
        is_early = _waits_for_others(delivery) and delivery.due_at is not None and due_at < delivery.due_at
        head = format_due_time(DUE_TEXTS, due_at, self.zone, end, is_early)
        if deciding and isinstance(deciding.answer, Hold) and deciding.answer.until == due_at:
            return describe_step(head, deciding)
        if delivery.state == DeliveryState.READY:
            text = _("It is ready and waits until {end}.") if end else _("It is ready and waits for a worker.")
            return text.format(end=end)
        if delivery.state != DeliveryState.HELD or delivery.reason not in WAITS:
            return self._describe_row(head, delivery)
        hold = self._find_original_hold(delivery)
        if hold is None:
            text = _("{reason}; its time was set by settings that have changed since")
            return join_sentences(head, text.format(reason=delivery.get_reason_display()))
        return describe_step(head, build_step("", hold, _get_subject(delivery)))

    def _find_original_hold(self, delivery: Delivery) -> Hold | None:
        """Return the hold that set the time of a delivery; None if the present settings would set another one.

        Quiet hours or a digest that the user has changed since do not have to change again.
        """
        hold = decide(self._build_facts(delivery, delivery.notification.created_at), (quiet_hours, digest))
        if isinstance(hold, Hold) and (hold.until, hold.reason) == (delivery.due_at, delivery.reason):
            return hold
        return None


def _get_subject(delivery: Delivery) -> Subject:
    return Subject(delivery.notification.event, delivery.channel, delivery.recipient_key)


def _waits_for_others(delivery: Delivery) -> bool:
    return delivery.state == DeliveryState.HELD and delivery.reason in GROUPED_REASONS


def _describe_log_row(row: NotificationLog) -> str:
    error, reason = row.error_message, row.get_reason_display()
    values = {"attempt": row.attempt, "provider": row.provider or row.channel, "reason": reason}
    if row.kind == NotificationLog.Kind.RESENT:
        return join_sentences(_("It was resent"), error)
    if row.kind != NotificationLog.Kind.ATTEMPT:
        return join_sentences(f"{capfirst(row.get_kind_display())}: {reason}", error)
    if row.success:
        return _("Attempt {attempt}: {provider} accepted it.").format(**values)
    return join_sentences(_("Attempt {attempt} by {provider}: {reason}").format(**values), error)

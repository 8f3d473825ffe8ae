"""Tells of deliveries what happened, what they wait for and, by the gates as of now, whether they may go out."""

from collections.abc import Sequence
from datetime import datetime

from notifications.core.rules import describe_rule
from notifications.explain.digest_schedule import JOINS, TOGETHER, goes_out_at
from notifications.explain.explanation import ChannelExplanation, Happened, Step, wall_time
from notifications.explain.held_until import CHANGED_SINCE, is_held_for_an_hour, set_by
from notifications.explain.history import happened, log_of
from notifications.explain.notes import Notes
from notifications.explain.remedies import About, about_row, change_for, choice_behind, kind_of
from notifications.explain.steps import (
    answer_of,
    asked,
    cancelled_step,
    decisive,
    expires_at_step,
    not_configured,
    send_at_step,
    sentences,
    step,
    zone_of,
)
from notifications.explain.worker_liveness import WITH_A_WORKER, lost_since
from notifications.models import Delivery, Suppression
from notifications.models.suppression import Pair
from notifications.outcomes import WAITING, Answer, Deliver, DeliveryState, Drop, Hold, Reason, Rule, RuleKind
from notifications.sending.gates import DIGEST_ITEM_GATES, RECHECKED_GATES, Person
from notifications.sending.gates.recheck import build_facts, collect_addresses, find_obstacle

ENDED = {
    DeliveryState.UNKNOWN: "Nobody knows whether it arrived",
    DeliveryState.DEAD: "It did not go out, and is not tried again",
    DeliveryState.DROPPED: "It was dropped",
    DeliveryState.CANCELLED: "It was cancelled",
    DeliveryState.EXPIRED: "It has expired",
}


class Teller:
    """Tells of one recipient, with what was loaded for all their deliveries at once."""

    def __init__(self, person: Person, deliveries: list[Delivery], now: datetime) -> None:
        self.person, self.now, self.zone, self.notes = person, now, zone_of(person), Notes(now)
        self._suppressed: frozenset[Pair] = Suppression.objects.find_suppressed(collect_addresses(deliveries))
        self._rows = log_of(deliveries)
        self._with_others: dict[int, datetime] = {}

    def delivery(self, row: Delivery) -> ChannelExplanation:
        waits = row.state in WAITING
        steps = self._steps(row) if waits else []
        lost = lost_since(row, self.now)
        # Nobody can know whether what was begun has arrived, nor whether its event has it sent again.
        arrives_at = None if lost and row.state == DeliveryState.SENDING else self._earliest(row, steps)
        return ChannelExplanation(
            row.channel,
            self._lost(row, lost) if lost else self._summary(row, steps, arrives_at),
            tuple(steps),
            answer_of(steps) if waits else None,
            arrives_at,
            row.pk,
            row.state,
            row.reason,
            (Happened(row.notification.created_at, "It was asked for."), *map(happened, self._rows[row.pk])),
            self._notes(row, answer_of(steps)) if waits or lost else (),
            kind_of(row.channel) == "",
        )

    def _steps(self, row: Delivery) -> list[Step]:
        about = About(row.notification.event, row.channel)
        if cancelled := [*cancelled_step(about, row.notification.cancelled_at, self.zone)]:
            return cancelled
        if fault := find_obstacle(row):
            is_channel = fault[0] is Reason.NOT_CONFIGURED
            rule = Rule(RuleKind.TEXT, "site", {"text": fault[1]})
            return [
                step("channel", not_configured(row.channel), about)
                if is_channel
                else step("event", Drop(fault[0], rule), about)
            ]
        facts = build_facts(row, self.person, self._suppressed, self.now, row.notification.wanted_at)
        # The hours are asked of the digest, not of what it is made of.
        gates = DIGEST_ITEM_GATES if row.reason in TOGETHER else RECHECKED_GATES
        steps = [*send_at_step(facts, about, row.notification.send_at), *asked(gates, facts)]
        if not isinstance(steps[-1].answer, Drop):
            at = self._earliest(row, steps) or self.now
            steps += expires_at_step(at, about, row.notification.expires_at, self.zone)
        return steps

    def _earliest(self, row: Delivery, steps: Sequence[Step]) -> datetime | None:
        """When it goes out at the earliest, or went."""
        if row.state == DeliveryState.MERGED and row.merged_into is not None:
            return self._earliest(row.merged_into, [])
        if row.state == DeliveryState.SENT:
            return row.settled_at
        answer = answer_of(steps)
        if row.state not in (*WAITING, *WITH_A_WORKER) or isinstance(answer, Drop):
            return None
        return max(self.now, self._due(row), answer.until if isinstance(answer, Hold) else self.now)

    def _due(self, row: Delivery) -> datetime:
        if row.due_at is None or not _waits_for_others(row) or find_obstacle(row):
            return row.due_at or self.now
        if row.pk not in self._with_others:
            facts = build_facts(row, self.person, self._suppressed, self.now, row.notification.wanted_at)
            hold, cluster_id = Hold(row.due_at, Reason(row.reason)), row.notification.cluster_id
            self._with_others[row.pk] = goes_out_at(hold, facts, row.recipient_key, cluster_id)
        return self._with_others[row.pk]

    def _notes(self, row: Delivery, answer: Answer) -> tuple[str, ...]:
        """Of what would not go out nothing else is said."""
        if isinstance(answer, Drop):
            return ()
        paused = self.notes.about(row.channel)
        is_due = row.state not in WAITING or row.state == DeliveryState.READY
        if not is_due and (row.due_at is None or row.due_at > self.now):
            return paused
        goes_out = not paused and row.state in WAITING and isinstance(answer, Deliver)
        return (*paused, *self.notes.about_workers("; it goes out when one does" if goes_out else ""))

    def _lost(self, row: Delivery, since: datetime) -> str:
        begun = " What it had begun to send may have arrived." if row.state == DeliveryState.SENDING else ""
        return f"Its worker has not been heard of since {self._time(since)}, and another will take it over.{begun}"

    def _summary(self, row: Delivery, steps: Sequence[Step], arrives_at: datetime | None) -> str:
        if row.state in WAITING:
            return self._waiting(row, steps, arrives_at)
        if row.state == DeliveryState.SENT:
            return f"It was sent at {self._time(row.settled_at)}{f' by {row.provider}' if row.provider else ''}."
        if row.state in WITH_A_WORKER:
            return "A worker has it at this moment."
        if row.state == DeliveryState.MERGED:
            return _merged(row)
        return self._stored(ENDED[DeliveryState(row.state)], row)

    def _stored(self, head: str, row: Delivery) -> str:
        """What the row itself says, with the words of the log for it."""
        words = self._last_words(row)
        choice = choice_behind(words, self.person, row.notification.event, row.channel)
        about = about_row(row, row.channel, row.notification.event, choice)
        # What the state says already is not said twice.
        reason = "" if row.reason == row.state else row.get_reason_display()
        rule = f"{reason} ({words.removesuffix('.')})" if words and reason else reason or words
        return sentences(head, rule, change_for(row.reason, about))

    def _last_words(self, row: Delivery) -> str:
        last = self._rows[row.pk][-1:]
        # Those give the advice that is told besides.
        is_advice = row.reason == Reason.NOT_CONFIGURED
        return last[0].error_message if last and last[0].reason == row.reason and not is_advice else ""

    def _waiting(self, row: Delivery, steps: Sequence[Step], arrives_at: datetime | None) -> str:
        asked_now = decisive(steps)
        if asked_now and isinstance(asked_now.answer, Drop):
            return sentences("It waits, and as things stand it would not go out", asked_now.rule, asked_now.change)
        company = JOINS if _waits_for_others(row) and row.due_at and arrives_at and arrives_at < row.due_at else ""
        until = f"It waits until {self._time(arrives_at)}{self.notes.describe_delay(row.channel)}{company}"
        if asked_now and isinstance(asked_now.answer, Hold) and asked_now.answer.until == arrives_at:
            return sentences(until, asked_now.rule, asked_now.change)
        if row.state == DeliveryState.READY:
            return f"It is ready, and waits for {self.notes.find_obstacle(row.channel) or 'a worker'}."
        if is_held_for_an_hour(row) and not find_obstacle(row):
            return self._held(until, row)
        return self._stored(until, row)

    def _held(self, until: str, row: Delivery) -> str:
        told = row.notification
        hold = set_by(row, build_facts(row, self.person, self._suppressed, told.created_at, told.wanted_at))
        if hold is None:
            return sentences(until, f"{row.get_reason_display()}{CHANGED_SINCE}")
        return sentences(
            until, describe_rule(hold.rule), change_for(row.reason, about_row(row, row.channel, told.event, hold.rule))
        )

    def _time(self, moment: datetime | None) -> str:
        return wall_time(moment, self.zone) if moment else "a time that is not known"


def _waits_for_others(row: Delivery) -> bool:
    return row.state == DeliveryState.HELD and row.reason in TOGETHER


def _merged(row: Delivery) -> str:
    into = row.merged_into
    if into is None:
        return "It went into another delivery, which is gone."
    return f"It went into delivery {into.pk}, which is {into.get_state_display()}."

"""The steps of an explanation: the answer of each check and gate, the rule behind it, and what would have to change."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from notifications.core.addresses import describe_fault, hash_address
from notifications.core.hours import get_zone
from notifications.core.rules import describe_rule
from notifications.events import NotificationPriority
from notifications.explain.explanation import Step, format_time
from notifications.explain.remedies import Subject, describe_remedy
from notifications.models import Delivery
from notifications.outcomes import Answer, Deliver, DeliveryState, Drop, Hold, Reason, Rule, RuleKind
from notifications.sending.decisions import hold_until_send_at
from notifications.sending.gates import Facts, Gate, Person, resolve_choice
from notifications.sending.gates.hours import find_opening, get_person_timetable, get_timetable

GROUPED_REASONS = (Reason.BATCH, Reason.DIGEST)
MAX_OTHERS = 1000


def call_gates(gates: Sequence[Gate], facts: Facts, send_at: datetime | None) -> Iterator[Step]:
    """Yield a step for the ``send_at`` of a call that has one, and for each gate."""
    subject = _get_subject(facts)
    if send_at is not None:
        answer = hold_until_send_at(facts.wanted_at, Deliver(), facts.now)
        yield build_step("send_at", answer, subject, _("send_at has passed"))
    for gate in gates:
        answer, name = gate(facts), gate.__name__
        yield build_step(name, answer, subject, _describe_pass(name, facts) if isinstance(answer, Deliver) else "")


def take_until_drop(steps: Iterator[Step]) -> list[Step]:
    """Return the steps up to the first that drops. The next ones are not built."""
    taken = []
    for step in steps:
        taken.append(step)
        if isinstance(step.answer, Drop):
            break
    return taken


def check_expiry(facts: Facts, due_at: datetime) -> list[Step]:
    """Return the step for the ``expires_at`` of a call that has one. It can be sent at ``due_at`` at the earliest."""
    if facts.expires_at is None:
        return []
    end = format_time(facts.expires_at, get_recipient_zone(facts.person))
    late = Drop(Reason.EXPIRED, Rule(RuleKind.EXPIRES_AT, "call", {"time": end}, facts.expires_at))
    text = _("it can be sent before it expires at {time}").format(time=end)
    return [build_step("expires_at", late if facts.expires_at <= due_at else Deliver(), _get_subject(facts), text)]


def build_step(gate: str, answer: Answer, subject: Subject, pass_reason: str = "") -> Step:
    """Return the step for an answer, with its rule and its remedy as text.

    :param pass_reason: why the gate lets the delivery through, if it does.
    """
    if isinstance(answer, Deliver):
        return Step(gate, answer, pass_reason)
    rule = describe_rule(answer.rule) or str(answer.reason.label)
    return Step(gate, answer, rule, describe_remedy(answer.reason, subject, answer.rule))


def refuse_channel(subject: Subject) -> Step:
    """Return the step for a channel that is not configured."""
    rule = Rule(RuleKind.NOT_CONFIGURED, "site", {"channel": subject.channel})
    return build_step("channel", Drop(Reason.NOT_CONFIGURED, rule), subject)


def find_deciding_step(steps: Sequence[Step]) -> Step | None:
    """Return the last step that holds or drops; None if there is none."""
    return next((step for step in reversed(steps) if not step.lets_through), None)


def combine_answers(steps: Sequence[Step]) -> Answer:
    """Return the last answer that holds or drops; ``Deliver`` if there is none."""
    deciding = find_deciding_step(steps)
    return deciding.answer if deciding else Deliver()


def join_sentences(head: str, rule: str = "", change: str = "") -> str:
    """Return ``head: rule. change``; rule and change may be empty."""
    sentence = _("{head}: {rule}").format(head=head, rule=rule.removesuffix(".")) if rule else head
    return f"{sentence}. {change}".strip()


def describe_step(head: str, step: Step) -> str:
    """Return the head with the rule of the step and what would have to change."""
    return join_sentences(head, step.rule, step.change)


def format_due_time(texts: tuple[str, str], due_at: datetime, zone: ZoneInfo, end: str, is_early: bool) -> str:
    """Return when a delivery is sent, as the head of a summary.

    :param texts: one with the time, and one for a delivery that an obstacle delays until ``end``.
    :param is_early: whether other deliveries make it due earlier than its own time.
    """
    head = _(texts[bool(end)]).format(time=format_time(due_at, zone), end=end)
    return _("{head}, together with deliveries that are waiting already").format(head=head) if is_early else head


def get_recipient_zone(person: Person | None) -> ZoneInfo:
    """Return the time zone of a recipient, in which an explanation gives times."""
    return get_zone(person.settings.time_zone if person and person.settings else "")


def _get_subject(facts: Facts) -> Subject:
    return Subject(facts.event.name, facts.channel, facts.person.key)


def find_send_time(
    hold: Hold, facts: Facts, recipient_key: str, cluster_id: Any, since: datetime | None = None
) -> datetime:
    """Return when a held delivery is sent: with those that wait for the same digest or batch, if it waits for one.

    All of them are sent when the first of them is due, but none before its ``send_at``.

    :param since: deliveries that are due before this time will have been sent.
    """
    if hold.reason not in GROUPED_REASONS:
        return hold.until
    others = Delivery.objects.filter(
        state=DeliveryState.HELD,
        reason=hold.reason,
        recipient_key=recipient_key,
        channel=facts.channel,
        notification__cluster_id=cluster_id,
        address_hash=hash_address(facts.stored_address),
    )
    if hold.reason == Reason.BATCH:
        others = others.filter(notification__event=facts.event.name)
    if since is not None:
        others = others.filter(due_at__gte=since)
    times = others.order_by("due_at").values_list("due_at", "notification__created_at", "notification__send_at")
    waiting = [(hold.until, facts.wanted_at)]
    waiting += [(due, max(made, send_at or made)) for due, made, send_at in times[:MAX_OTHERS] if due is not None]
    while (moment := min(waiting)[0]) < facts.wanted_at:
        waiting = [(due, wanted_at) for due, wanted_at in waiting if due > moment and wanted_at > moment]
    if moment == hold.until:
        return moment
    # If others made it due, the hours count as of now. Its own time already takes them into account.
    timetable = get_person_timetable(facts) if hold.reason == Reason.DIGEST else get_timetable(facts)
    return find_opening(timetable, moment, moment)


def _describe_pass(gate: str, facts: Facts) -> str:
    """Return why a gate lets the delivery through."""
    if facts.event.bypasses_preferences and gate in ("preferences", "mutes"):
        mandatory = _("not checked, because the event is mandatory")
        return mandatory if facts.event.mandatory else _("not checked, because the event is CRITICAL")
    return PASS_REASONS[gate](facts)


def _pass_recipient(facts: Facts) -> str:
    if facts.person.has_no_account:
        return _("an address belongs to no cluster; the caller is responsible for it")
    return _("the user is active and a member of the cluster")


def _pass_address(facts: Facts) -> str:
    if facts.kind == "user":
        return _("an account needs no address")
    text = _("the {kind} address is well-formed") if facts.kind else _("the channel needs no address")
    if facts.rejected_address:
        text = _("the {kind} address in the settings is {fault}; that of the account is used")
    return text.format(kind=facts.kind, fault=describe_fault(facts.kind, facts.rejected_address))


def _pass_suppression(facts: Facts) -> str:
    is_external = facts.kind not in ("", "user")
    return _("the address is not suppressed") if is_external else _("the channel sends to no external address")


def _pass_preferences(facts: Facts) -> str:
    if facts.person.has_no_account:
        return _("an address has no preferences")
    return describe_rule(resolve_choice(facts)[1])


def _pass_mutes(facts: Facts) -> str:
    return _("the topic, the event and the actor are not muted")


def _pass_duplicate(facts: Facts) -> str:
    text = _("the event has no deduplication window")
    if facts.event.dedup_window:
        text = _("it is no duplicate within the window of {seconds:g} seconds")
    return text.format(seconds=facts.event.dedup_window)


def _pass_quiet_hours(facts: Facts) -> str:
    timetable = get_timetable(facts)
    if timetable is None and facts.event.is_sent_at_any_hour:
        return _("the event ignores quiet hours and delivery windows")
    if timetable is None:
        return _("no quiet hours or delivery windows apply")
    quiet = [_("quiet hours {hours}").format(hours=timetable.quiet)] if timetable.quiet else []
    windows = ", ".join(map(str, timetable.windows))
    hours = ", ".join([*quiet, *([_("delivery windows {hours}").format(hours=windows)] if windows else [])])
    return _("it can be sent at this hour; {hours} {zone}").format(hours=hours, zone=timetable.zone.key)


def _pass_digest(facts: Facts) -> str:
    if facts.effective_priority == NotificationPriority.CRITICAL:
        return _("CRITICAL notifications do not wait for others")
    return _("it waits for no digest or batch")


PASS_REASONS: Mapping[str, Callable[[Facts], str]] = {
    "recipient": _pass_recipient,
    "address": _pass_address,
    "suppression": _pass_suppression,
    "preferences": _pass_preferences,
    "mutes": _pass_mutes,
    "duplicate": _pass_duplicate,
    "quiet_hours": _pass_quiet_hours,
    "digest": _pass_digest,
}
"""By the name of a gate, why it lets a delivery through."""

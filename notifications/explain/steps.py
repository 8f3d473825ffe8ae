"""The steps of an explanation: each gate or check with its answer, and what would have to change."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from notifications.core.addresses import describe_fault
from notifications.core.hours import get_zone
from notifications.core.rules import describe_rule
from notifications.events import NotificationPriority
from notifications.explain.explanation import Step, format_time
from notifications.explain.remedies import Subject, describe_remedy
from notifications.outcomes import Answer, Deliver, Drop, Reason, Rule, RuleKind
from notifications.sending.decisions import hold_until_send_at
from notifications.sending.gates import Facts, Gate, Person, resolve_choice
from notifications.sending.gates.hours import get_timetable

IS_CRITICAL = "not checked, because the event is CRITICAL"


def build_step(gate: str, answer: Answer, subject: Subject, pass_reason: str = "") -> Step:
    """Return the step for an answer, with its rule and its remedy as text.

    :param pass_reason: why the gate lets the delivery through, if it does.
    """
    if isinstance(answer, Deliver):
        return Step(gate, answer, pass_reason)
    rule = describe_rule(answer.rule) or str(answer.reason.label)
    return Step(gate, answer, rule, describe_remedy(answer.reason, subject, answer.rule))


def call_gates(gates: Sequence[Gate], facts: Facts) -> Iterator[Step]:
    """Yield a step for each gate, up to the first that drops."""
    for gate in gates:
        answer = gate(facts)
        pass_reason = PASS_REASONS[gate.__name__](facts) if isinstance(answer, Deliver) else ""
        yield build_step(gate.__name__, answer, _get_subject(facts), pass_reason)
        if isinstance(answer, Drop):
            return


def check_send_at(facts: Facts, send_at: datetime | None) -> list[Step]:
    """Return the step for the ``send_at`` of a call that has one."""
    if send_at is None:
        return []
    answer = hold_until_send_at(facts.wanted_at, Deliver(), facts.now)
    return [build_step("send_at", answer, _get_subject(facts), "send_at has passed")]


def check_expires_at(facts: Facts, expires_at: datetime | None, sent_at: datetime, zone: ZoneInfo) -> list[Step]:
    """Return the step for the ``expires_at`` of a call that has one.

    :param sent_at: the earliest time at which it can be sent.
    """
    if expires_at is None:
        return []
    end = format_time(expires_at, zone)
    late = Drop(Reason.EXPIRED, Rule(RuleKind.EXPIRES_AT, "call", {"time": end}, expires_at))
    answer: Answer = late if expires_at <= sent_at else Deliver()
    return [build_step("expires_at", answer, _get_subject(facts), f"it can be sent before it expires at {end}")]


def refuse_channel(subject: Subject) -> Step:
    """Return the step for a channel that is not configured."""
    rule = Rule(RuleKind.NOT_CONFIGURED, "site", {"channel": subject.channel})
    return build_step("channel", Drop(Reason.NOT_CONFIGURED, rule), subject)


def combine_answers(steps: Sequence[Step]) -> Answer:
    """Return the last answer that holds or drops; ``Deliver`` if there is none."""
    deciding = find_deciding_step(steps)
    return deciding.answer if deciding else Deliver()


def find_deciding_step(steps: Sequence[Step]) -> Step | None:
    """Return the last step that holds or drops; None if there is none."""
    return next((step for step in reversed(steps) if not step.lets_through), None)


def join_sentences(head: str, rule: str = "", change: str = "") -> str:
    """Return ``head: rule. change``; rule and change may be empty."""
    sentence = f"{head}: {rule.removesuffix('.')}" if rule else head
    return f"{sentence}. {change}".strip()


def get_recipient_zone(person: Person | None) -> ZoneInfo:
    """Return the time zone of a recipient, in which an explanation gives times."""
    settings = person.settings if person else None
    return get_zone(settings.time_zone if settings else "")


def _get_subject(facts: Facts) -> Subject:
    return Subject(facts.event.name, facts.channel, facts.person.key)


def _pass_recipient(facts: Facts) -> str:
    if facts.person.has_no_account:
        return "an address belongs to no cluster; the caller is responsible for it"
    return "the user is active and a member of the cluster"


def _pass_address(facts: Facts) -> str:
    if facts.kind == "user":
        return "an account needs no address"
    if facts.rejected_address:
        fault = describe_fault(facts.kind, facts.rejected_address)
        return f"the {facts.kind} address in the settings is {fault}; that of the account is used"
    return f"the {facts.kind} address is well-formed" if facts.kind else "the channel needs no address"


def _pass_suppression(facts: Facts) -> str:
    is_external = facts.kind not in ("", "user")
    return "the address is not suppressed" if is_external else "the channel sends to no external address"


def _pass_preferences(facts: Facts) -> str:
    if facts.event.bypasses_preferences:
        return IS_CRITICAL
    return "an address has no preferences" if facts.person.has_no_account else describe_rule(resolve_choice(facts)[1])


def _pass_filters(facts: Facts) -> str:
    return IS_CRITICAL if facts.event.bypasses_preferences else "the topic, the event and the actor are not muted"


def _pass_duplicate(facts: Facts) -> str:
    window = facts.event.dedup_window
    if not window:
        return "the event has no deduplication window"
    return f"it is no duplicate within the window of {window:g} seconds"


def _pass_quiet_hours(facts: Facts) -> str:
    if facts.event.is_sent_at_any_hour:
        return "the event ignores quiet hours and delivery windows"
    timetable = get_timetable(facts)
    if timetable is None:
        return "no quiet hours or delivery windows apply"
    quiet = [f"quiet hours {timetable.quiet}"] if timetable.quiet else []
    windows = [f"delivery windows {', '.join(map(str, timetable.windows))}"] if timetable.windows else []
    return f"it can be sent at this hour; {', '.join(quiet + windows)} {timetable.zone.key}"


def _pass_digest(facts: Facts) -> str:
    if facts.effective_priority == NotificationPriority.CRITICAL:
        return "CRITICAL notifications do not wait for others"
    return "it waits for no digest or batch"


PASS_REASONS: Mapping[str, Callable[[Facts], str]] = {
    "recipient": _pass_recipient,
    "address": _pass_address,
    "suppression": _pass_suppression,
    "preferences": _pass_preferences,
    "filters": _pass_filters,
    "duplicate": _pass_duplicate,
    "quiet_hours": _pass_quiet_hours,
    "digest": _pass_digest,
}
"""By the name of a gate, why it lets a delivery through."""

"""The questions about one recipient on one channel as steps of an explanation, each with its rule and what would have
to change."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from notifications.core.rules import describe_rule
from notifications.core.zones import get_zone
from notifications.explain.deliver_reasons import WORDS
from notifications.explain.explanation import Step, wall_time
from notifications.explain.remedies import About, change_for
from notifications.outcomes import Answer, Deliver, Drop, Reason, Rule, RuleKind
from notifications.sending.decisions import hold_until_send_at
from notifications.sending.gates import Facts, Gate, Person


def zone_of(person: Person | None) -> ZoneInfo:
    """The time zone in which times are told to this recipient."""
    settings = person.settings if person else None
    return get_zone(settings.time_zone if settings else "")


def step(gate: str, answer: Answer, about: About, reason: str = "") -> Step:
    """
    :param reason: why the gate lets it through, if it does.
    """
    if isinstance(answer, Deliver):
        return Step(gate, answer, reason)
    rule = describe_rule(answer.rule) or str(answer.reason.label)
    return Step(gate, answer, rule, change_for(answer.reason, replace(about, rule=answer.rule)))


def asked(gates: Sequence[Gate], facts: Facts) -> Iterator[Step]:
    """Each gate with its answer, up to the first that drops."""
    about = About(facts.event.name, facts.channel, facts.kind, not facts.person.has_no_account)
    for gate in gates:
        answer = gate(facts)
        words = WORDS[gate.__name__](facts) if isinstance(answer, Deliver) else ""
        yield step(gate.__name__, answer, about, words)
        if isinstance(answer, Drop):
            return


def send_at_step(facts: Facts, about: About, send_at: datetime | None) -> Iterator[Step]:
    if send_at is not None:
        hold = hold_until_send_at(facts.wanted_at, Deliver(), facts.now)
        yield step("send_at", hold, about, "send_at has passed")


def cancelled_step(about: About, cancelled_at: datetime | None, zone: ZoneInfo) -> Iterator[Step]:
    if cancelled_at is not None:
        rule = Rule(RuleKind.CANCELLED, detail={"time": wall_time(cancelled_at, zone)})
        yield step("cancel", Drop(Reason.CANCELLED, rule), about)


def expires_at_step(at: datetime, about: About, expires_at: datetime | None, zone: ZoneInfo) -> Iterator[Step]:
    """
    :param at: when it can go out at the earliest.
    """
    if expires_at is not None:
        end = wall_time(expires_at, zone)
        late = Drop(Reason.EXPIRED, Rule(RuleKind.EXPIRES_AT, "call", {"time": end}, expires_at))
        in_time = f"it can be sent before it expires at {end}"
        yield step("expires_at", late if expires_at <= at else Deliver(), about, in_time)


def not_configured(channel: str) -> Drop:
    """Without the advice that the error gives: what would have to change is told besides."""
    return Drop(Reason.NOT_CONFIGURED, Rule(RuleKind.NOT_CONFIGURED, "site", {"channel": channel}))


def sentences(head: str, rule: str = "", change: str = "") -> str:
    """``head: rule. change``, of which the last two may be missing."""
    said = f"{head}: {rule.removesuffix('.')}" if rule else head
    return f"{said}. {change}".strip()


def answer_of(steps: Iterable[Step]) -> Answer:
    """What they come to: the last that holds or drops."""
    said: Answer = Deliver()
    for one in steps:
        said = said if one.lets_through else one.answer
    return said


def decisive(steps: Sequence[Step]) -> Step | None:
    """The step whose answer stands; None where all let through."""
    return next((one for one in reversed(steps) if not one.lets_through), None)

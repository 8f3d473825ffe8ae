"""The questions about one recipient on one channel as steps of an explanation, each with its rule and what would have
to change."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from notifications.core.zones import known_zone
from notifications.explain.deliver_reasons import WORDS
from notifications.explain.explanation import Step, wall_time
from notifications.explain.remedies import About, change_for
from notifications.outcomes import Answer, Deliver, Drop, Hold, Reason
from notifications.sending.gates import Facts, Gate, Person


def zone_of(person: Person | None) -> ZoneInfo:
    """The time zone in which times are told to this recipient."""
    settings = person.settings if person else None
    return known_zone(settings.time_zone if settings else "")


def step(gate: str, answer: Answer, about: About) -> Step:
    """
    :param about: its ``rule`` stands in for an answer without one.
    """
    if isinstance(answer, Deliver):
        return Step(gate, answer, about.rule)
    rule = answer.rule or about.rule or str(answer.reason.label)
    return Step(gate, answer, rule, change_for(answer.reason, _ruled(about, rule)))


def _ruled(about: About, rule: str) -> About:
    return About(about.event, about.channel, about.kind, about.has_account, rule)


def asked(gates: Sequence[Gate], facts: Facts) -> Iterator[Step]:
    """Each gate with its answer, up to the first that drops."""
    about = About(facts.event.name, facts.channel, facts.kind, not facts.person.has_no_account)
    for gate in gates:
        answer = gate(facts)
        words = WORDS[gate.__name__](facts) if isinstance(answer, Deliver) else ""
        yield step(gate.__name__, answer, _ruled(about, words))
        if isinstance(answer, Drop):
            return


def send_at_step(facts: Facts, about: About, send_at: datetime | None) -> Iterator[Step]:
    if send_at is not None:
        is_to_come = facts.wanted_at > facts.now
        hold = Hold(facts.wanted_at, Reason.SCHEDULED, "its send_at is to come")
        yield step("send_at", hold if is_to_come else Deliver(), _ruled(about, "its send_at has passed"))


def cancelled_step(about: About, cancelled_at: datetime | None, zone: ZoneInfo) -> Iterator[Step]:
    if cancelled_at is not None:
        yield step("cancel", Drop(Reason.CANCELLED, f"it was cancelled at {wall_time(cancelled_at, zone)}"), about)


def expires_at_step(at: datetime, about: About, expires_at: datetime | None, zone: ZoneInfo) -> Iterator[Step]:
    """
    :param at: when it can go out at the earliest.
    """
    if expires_at is not None:
        end = wall_time(expires_at, zone)
        late = Drop(Reason.EXPIRED, f"it expires at {end}, before it can go out")
        in_time = f"it can go out before it expires at {end}"
        yield step("expires_at", late if expires_at <= at else Deliver(), _ruled(about, in_time))


def not_configured(channel: str) -> Drop:
    """Without the advice that the error gives: what would have to change is told besides."""
    return Drop(Reason.NOT_CONFIGURED, f"the channel {channel} is not configured")


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

"""Why somebody would or would not be reached, before anything is sent. It reads what ``send()`` reads, decides by the
same code, and writes nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router

from notifications import conf
from notifications.core import clock
from notifications.core.channel_classes import get_channel_conf
from notifications.core.primary import read_from_primary
from notifications.exceptions import ChannelNotConfigured, InvalidRecipient, NotPermitted
from notifications.explain.digest_schedule import JOINS, goes_out_at
from notifications.explain.explanation import ChannelExplanation, Explanation, Step, wall_time
from notifications.explain.idempotency import key_step
from notifications.explain.notes import Notes
from notifications.explain.remedies import About
from notifications.explain.steps import (
    asked,
    decisive,
    expires_at_step,
    not_configured,
    send_at_step,
    sentences,
    step,
    zone_of,
)
from notifications.models import Cluster, Notification
from notifications.outcomes import Answer, Deliver, Drop, Hold, Reason, Rule, RuleKind
from notifications.recipients import Address, user_key
from notifications.sending.audience import Audience
from notifications.sending.decisions import Decisions, address_kinds
from notifications.sending.duplicates import read_only_lookup
from notifications.sending.gates import GATES, Facts
from notifications.sending.permission import check_permission, get_required_permission
from notifications.sending.queue_limit import QueueRoom, is_limited
from notifications.sending.request import Request
from notifications.sending.validation import validate_time


@read_from_primary()
def explained(request: Request, recipient: Any, at: datetime | None) -> Explanation:
    """What ``send()`` would make of it at a moment; now, unless told otherwise.

    :raises InvalidRecipient: unless it is one saved user or one ``Address``.
    """
    using = router.db_for_write(Notification)
    now = validate_time("at", at) or clock.now(using)
    # Only looked at: a default cluster that is not there yet is not made.
    if request.cluster is None:
        request = replace(request, cluster=Cluster.objects.default_or_unsaved())
    found = _decided(request, recipient, now, using)
    zone = zone_of(next((facts.person for facts, _answer in found.values()), None))
    count = sum(not isinstance(answer, Drop) for _facts, answer in found.values())
    refusal = _refused(request, count, using)
    # Of another moment nobody knows who will be running, and what is immediate waits for no worker.
    notes = Notes(now, by_worker=at is None and conf.current().delivery != "immediate")

    def leaves_at(facts: Facts, hold: Hold) -> datetime:
        return goes_out_at(hold, facts, _key_of(recipient), request.cluster.pk, since=at and now)

    channels = [
        _on_channel(request, channel, found.get(channel), refusal, notes, leaves_at)
        for channel in (*request.channels, *request.not_configured)
    ]
    name = "" if isinstance(recipient, Address) else str(recipient)
    return Explanation(request.event.name, _key_of(recipient), now, zone, tuple(channels), name)


def _key_of(recipient: Any) -> str:
    return recipient.key if isinstance(recipient, Address) else user_key(recipient.pk)


def _decided(request: Request, recipient: Any, now: datetime, using: str) -> dict[str, tuple[Facts, Answer]]:
    """The facts and the answer of the gates for each channel."""
    if not isinstance(recipient, Address | get_user_model()):
        raise InvalidRecipient(f"One user or one Address can be explained, not {recipient!r:.80}.")
    chunks = Audience(recipient, request.cluster, request.channels).chunks(1)
    told = request.notification(now)
    lookup = read_only_lookup(request.event, now, using)
    decisions = Decisions(request, told, address_kinds(request), now, lookup)
    pairs = (pair for chunk in chunks for pair in decisions.decide_with_facts(chunk))
    return {facts.channel: (facts, answer) for facts, answer in pairs}


def _refused(request: Request, count: int, using: str) -> list[Step]:
    """What is asked once for the whole send; empty where nothing is.

    :param count: how many deliveries it comes to.
    """
    about = About(request.event.name, ", ".join(request.channels))
    if not conf.current().enabled:
        return [step("switch", Drop(Reason.SWITCHED_OFF, Rule(RuleKind.SWITCHED_OFF, "site")), about)]
    steps = []
    if get_required_permission(request.event):
        steps.append(_permission(request, about))
    if request.options.idempotency_key and all(one.lets_through for one in steps):
        steps.append(key_step(request, using))
    has_limit = conf.current().queue_limit or conf.current().cluster_queue_limit
    if has_limit and all(one.lets_through for one in steps):
        full = Drop(Reason.QUEUE_FULL, Rule(RuleKind.QUEUE_FULL, "site"))
        fits = not (count and is_limited(request)) or QueueRoom(request, using).fits(count)
        steps.append(step("queue", Deliver() if fits else full, about, "the outbox has room"))
    return steps


def _permission(request: Request, about: About) -> Step:
    try:
        check_permission(request.event, request.options.actor)
    except NotPermitted as error:
        return step("permission", Drop(Reason.NOT_PERMITTED, Rule(RuleKind.TEXT, "actor", {"text": str(error)})), about)
    return step("permission", Deliver(), about, f"the actor has {get_required_permission(request.event)}")


def _on_channel(
    request: Request,
    channel: str,
    found: tuple[Facts, Answer] | None,
    refused: list[Step],
    notes: Notes,
    leaves_at: Callable[[Facts, Hold], datetime],
) -> ChannelExplanation:
    if found is None:
        steps = [_missing(request, channel)]
        return ChannelExplanation(channel, _would_not(steps[0]), tuple(steps), steps[0].answer)
    facts, answer = found
    if refused and not refused[-1].lets_through:
        return ChannelExplanation(channel, _would_not(refused[-1]), tuple(refused), refused[-1].answer)
    about = About(request.event.name, channel, facts.kind)
    options = request.options
    steps = [*refused, *send_at_step(facts, about, options.send_at), *asked(GATES, facts)]
    held_until = max(leaves_at(facts, answer), facts.now) if isinstance(answer, Hold) else facts.now
    at = None if isinstance(answer, Drop) else held_until
    if at is not None:
        steps += expires_at_step(at, about, options.expires_at, zone_of(facts.person))
    arrives_at = None if isinstance(steps[-1].answer, Drop) else at
    return ChannelExplanation(
        channel,
        _summary(steps, at, facts, notes),
        tuple(steps),
        answer,
        arrives_at,
        notes=notes.describe_departure(channel, arrives_at) if arrives_at else (),
        to_nobody=not facts.kind,
    )


def _missing(request: Request, channel: str) -> Step:
    about = About(request.event.name, channel)
    try:
        get_channel_conf(channel)
    except ChannelNotConfigured:
        return step("channel", not_configured(channel), about)
    return step("channel", Deliver(), about)


def _summary(steps: list[Step], at: datetime | None, facts: Facts, notes: Notes) -> str:
    why = decisive(steps)
    if why is None:
        return notes.describe_due(facts.channel)
    if at is None or isinstance(why.answer, Drop):
        return _would_not(why)
    company = JOINS if isinstance(why.answer, Hold) and at < why.answer.until else ""
    time = f"{wall_time(at, zone_of(facts.person))}{notes.describe_delay(facts.channel)}"
    return sentences(f"It would go out at {time}{company}", why.rule, why.change)


def _would_not(why: Step) -> str:
    return sentences("It would not go out", why.rule, why.change)

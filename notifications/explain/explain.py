"""``explain()``: what ``send()`` would do for one recipient. It reads what ``send()`` reads, decides with the same code
and writes nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router

from notifications import conf
from notifications.conf import get_channel_conf
from notifications.core import clock
from notifications.core.addresses import user_key
from notifications.core.databases import read_from_primary
from notifications.core.rules import describe_rule
from notifications.exceptions import ChannelNotConfigured, InvalidRecipient, NotPermitted
from notifications.explain.digest_schedule import WITH_OTHERS, find_send_time
from notifications.explain.explanation import ChannelExplanation, Explanation, Step, format_time
from notifications.explain.notes import Notes
from notifications.explain.remedies import Subject
from notifications.explain.steps import (
    build_step,
    call_gates,
    check_expires_at,
    check_send_at,
    find_deciding_step,
    get_recipient_zone,
    join_sentences,
    refuse_channel,
)
from notifications.models import Cluster, Notification
from notifications.outcomes import Answer, Deliver, Drop, Hold, Reason, Rule, RuleKind
from notifications.recipients import Address
from notifications.sending.audience import Audience
from notifications.sending.decisions import Decisions, get_address_kinds
from notifications.sending.duplicates import make_read_only_lookup
from notifications.sending.gates import GATES, Facts
from notifications.sending.idempotency import find_by_key
from notifications.sending.permission import check_permission, get_required_permission
from notifications.sending.queue_limit import QueueRoom, is_limited
from notifications.sending.request import Request, validate_time

OTHER_KEY = "The call would have to pass another idempotency key"


@read_from_primary()
def explain(request: Request, recipient: Any, at: datetime | None) -> Explanation:
    """Return what ``send()`` would do at a moment, by default now.

    :raises InvalidRecipient: unless the recipient is one saved user or one ``Address``.
    """
    using = router.db_for_write(Notification)
    now = validate_time("at", at) or clock.now(using)
    # A default cluster that does not exist yet is not created.
    if request.cluster is None:
        request = replace(request, cluster=Cluster.objects.default_or_unsaved())
    decisions = _decide(request, recipient, now, using)
    zone = get_recipient_zone(next((facts.person for facts, _answer in decisions.values()), None))
    count = sum(not isinstance(answer, Drop) for _facts, answer in decisions.values())
    checks = _check_call(request, count, using)
    # Whether a worker will run at another moment is not known, and immediate delivery needs no worker.
    notes = Notes(now, by_worker=at is None and conf.current().delivery != "immediate")

    def get_send_time(facts: Facts, hold: Hold) -> datetime:
        return find_send_time(hold, facts, _get_key(recipient), request.cluster.pk, since=at and now)

    channels = [
        _explain_channel(request, *decisions[channel], checks, notes, get_send_time)
        if channel in decisions
        else _explain_missing_channel(request, channel)
        for channel in (*request.channels, *request.not_configured)
    ]
    name = "" if isinstance(recipient, Address) else str(recipient)
    return Explanation(request.event.name, _get_key(recipient), now, zone, tuple(channels), name)


def _get_key(recipient: Any) -> str:
    return recipient.key if isinstance(recipient, Address) else user_key(recipient.pk)


def _decide(request: Request, recipient: Any, now: datetime, using: str) -> dict[str, tuple[Facts, Answer]]:
    """Return the facts and the answer of the gates for each channel."""
    if not isinstance(recipient, Address | get_user_model()):
        raise InvalidRecipient(f"explain() takes one user or one Address, not {recipient!r:.80}.")
    chunks = Audience(recipient, request.cluster, request.channels).chunks(1)
    lookup = make_read_only_lookup(request.event, now, using)
    decisions = Decisions(request, request.build_notification(now), get_address_kinds(request), now, lookup)
    pairs = (pair for chunk in chunks for pair in decisions.decide_with_facts(chunk))
    return {facts.channel: (facts, answer) for facts, answer in pairs}


def _check_call(request: Request, count: int, using: str) -> list[Step]:
    """Return the steps that concern the whole call, up to the first that drops.

    :param count: the number of deliveries that the call makes.
    """
    if not conf.current().enabled:
        switched_off = Drop(Reason.SWITCHED_OFF, Rule(RuleKind.SWITCHED_OFF, "site"))
        return [build_step("switch", switched_off, Subject(request.event.name))]
    steps = []
    if get_required_permission(request.event):
        steps.append(_check_permission(request))
    if request.options.idempotency_key and all(step.lets_through for step in steps):
        steps.append(_check_idempotency_key(request, using))
    has_limit = conf.current().queue_limit or conf.current().cluster_queue_limit
    if has_limit and all(step.lets_through for step in steps):
        steps.append(_check_queue(request, count, using))
    return steps


def _check_permission(request: Request) -> Step:
    subject = Subject(request.event.name)
    try:
        check_permission(request.event, request.options.actor)
    except NotPermitted as error:
        rule = Rule(RuleKind.TEXT, "actor", {"text": str(error)})
        return build_step("permission", Drop(Reason.NOT_PERMITTED, rule), subject)
    permission = get_required_permission(request.event)
    return build_step("permission", Deliver(), subject, f"the actor has the permission {permission}")


def _check_idempotency_key(request: Request, using: str) -> Step:
    """Look the key up without taking it."""
    first = find_by_key(request, using)
    if first is None:
        return Step("idempotency", Deliver(), "the idempotency key was not used before")
    is_same = first.idempotency_hash == request.fingerprint
    detail = {"notification_id": first.pk}
    rule = Rule(RuleKind.KEY_USED if is_same else RuleKind.KEY_CONFLICT, "call", detail)
    change = f"{OTHER_KEY}." if is_same else f"{OTHER_KEY}, or the same content."
    return Step("idempotency", Drop(Reason.DUPLICATE, rule), describe_rule(rule), change)


def _check_queue(request: Request, count: int, using: str) -> Step:
    has_room = not (count and is_limited(request)) or QueueRoom(request, using).fits(count)
    full = Drop(Reason.QUEUE_FULL, Rule(RuleKind.QUEUE_FULL, "site"))
    return build_step("queue", Deliver() if has_room else full, Subject(request.event.name), "the queue has room")


def _explain_missing_channel(request: Request, channel: str) -> ChannelExplanation:
    """Return the explanation for a channel that the gates were not called for."""
    subject = Subject(request.event.name, channel)
    try:
        get_channel_conf(channel)
        step = build_step("channel", Deliver(), subject)
    except ChannelNotConfigured:
        step = refuse_channel(subject)
    return ChannelExplanation(channel, _describe_refusal(step), (step,), step.answer)


def _explain_channel(
    request: Request,
    facts: Facts,
    answer: Answer,
    checks: list[Step],
    notes: Notes,
    get_send_time: Callable[[Facts, Hold], datetime],
) -> ChannelExplanation:
    if checks and not checks[-1].lets_through:
        return ChannelExplanation(facts.channel, _describe_refusal(checks[-1]), tuple(checks), checks[-1].answer)
    options = request.options
    steps = [*checks, *check_send_at(facts, options.send_at), *call_gates(GATES, facts)]
    sent_at = None
    if not isinstance(answer, Drop):
        sent_at = max(get_send_time(facts, answer), facts.now) if isinstance(answer, Hold) else facts.now
        steps += check_expires_at(facts, options.expires_at, sent_at, get_recipient_zone(facts.person))
    arrives_at = None if isinstance(steps[-1].answer, Drop) else sent_at
    return ChannelExplanation(
        facts.channel,
        _summarize(steps, sent_at, facts, notes),
        tuple(steps),
        answer,
        arrives_at,
        notes=notes.get_notes(facts.channel, is_due=arrives_at <= facts.now) if arrives_at else (),
        to_nobody=not facts.kind,
    )


def _summarize(steps: list[Step], sent_at: datetime | None, facts: Facts, notes: Notes) -> str:
    deciding = find_deciding_step(steps)
    if deciding is None:
        return notes.describe_due(facts.channel)
    if sent_at is None or not isinstance(deciding.answer, Hold):
        return _describe_refusal(deciding)
    pause_ends = notes.describe_pause(facts.channel)
    delay = f" at the earliest, and not before {pause_ends}" if pause_ends else ""
    others = WITH_OTHERS if sent_at < deciding.answer.until else ""
    head = f"It would be sent at {format_time(sent_at, get_recipient_zone(facts.person))}{delay}{others}"
    return join_sentences(head, deciding.rule, deciding.change)


def _describe_refusal(deciding: Step) -> str:
    return join_sentences("It would not be sent", deciding.rule, deciding.change)

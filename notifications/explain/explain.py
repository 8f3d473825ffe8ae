"""``explain()``: what ``send()`` would do for one recipient. It reads what ``send()`` reads, decides with the same code
and writes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from notifications import conf
from notifications.core import clock
from notifications.core.addresses import user_key
from notifications.core.databases import read_from_primary
from notifications.events import NotificationPriority
from notifications.exceptions import InvalidRecipient, NotPermitted
from notifications.explain.chain import list_chain
from notifications.explain.explanation import ChannelExplanation, Explanation, Step
from notifications.explain.obstacles import Obstacles
from notifications.explain.remedies import Subject
from notifications.explain.steps import (
    build_step,
    call_gates,
    check_expiry,
    describe_step,
    find_deciding_step,
    find_send_time,
    format_due_time,
    get_recipient_zone,
    refuse_channel,
    take_until_drop,
)
from notifications.models import Cluster, Notification
from notifications.outcomes import Answer, Deliver, Drop, Hold, Reason, Rule, RuleKind
from notifications.recipients import Address
from notifications.sending.audience import Audience
from notifications.sending.decisions import Decisions, get_address_kinds
from notifications.sending.duplicates import make_read_only_lookup
from notifications.sending.gates import GATES, Facts
from notifications.sending.gates.turns import WAITING_REASONS
from notifications.sending.idempotency import find_by_key
from notifications.sending.permission import check_permission, get_required_permission
from notifications.sending.queue_limit import QueueRoom, is_limited
from notifications.sending.request import Request, validate_time

DUE_TEXTS = (
    gettext_noop("It would be sent at {time}"),
    gettext_noop("It would be sent at {time} at the earliest, and not before {end}"),
)


@read_from_primary()
def explain(request: Request, recipient: Any, at: datetime | None) -> Explanation:
    """Return what ``send()`` would do at a moment, by default now.

    :raises InvalidRecipient: unless the recipient is one saved user or one ``Address``.
    """
    if not isinstance(recipient, Address | get_user_model()):
        raise InvalidRecipient(f"explain() takes one user or one Address, not {recipient!r:.80}.")
    using = router.db_for_write(Notification)
    now = validate_time("at", at) or clock.now(using)
    # A default cluster that does not exist yet is not created.
    if request.cluster is None:
        request = replace(request, cluster=Cluster.objects.default_or_unsaved())
    lookup = make_read_only_lookup(request.event, now, using)
    decisions = Decisions(request, request.build_notification(now), get_address_kinds(request), now, lookup)
    chunks = Audience(recipient, request.cluster, request.channels).chunks(1)
    decided = [pair for chunk in chunks for pair in decisions.decide_with_facts(chunk)]
    count = sum(not isinstance(answer, Drop) for _facts, answer in decided)
    checks = take_until_drop(_check_call(request, count, using))
    zone = get_recipient_zone(decided[0][0].person if decided else None)
    # Whether a worker will run at another moment is not known, and immediate delivery needs no worker.
    obstacles = Obstacles(now, zone, by_worker=at is None and conf.current().delivery != "immediate")
    key, name = (recipient.key, "") if isinstance(recipient, Address) else (user_key(recipient.pk), str(recipient))
    channels = []
    for facts, answer in decided:
        if checks and not checks[-1].lets_through:
            channels.append(_refuse(facts.channel, checks))
            continue
        due_at = now
        if isinstance(answer, Hold):
            due_at = max(find_send_time(answer, facts, key, request.cluster.pk, since=at and now), now)
        explained = _explain_channel(facts, answer, request.options.send_at, due_at, obstacles)
        channels.append(replace(explained, steps=(*checks, *explained.steps)))
    for channel in request.not_configured:
        channels.append(_refuse(channel, [refuse_channel(Subject(request.event.name, channel))]))
    chain = list_chain(request, max(now, request.options.send_at or now), using)
    return Explanation(request.event.name, key, now, zone, tuple(channels), name, chain)


def _check_call(request: Request, count: int, using: str) -> Iterator[Step]:
    """Yield the steps that concern the whole call.

    :param count: the number of deliveries that the call makes.
    """
    configured, subject = conf.current(), Subject(request.event.name)
    if not configured.enabled:
        yield build_step("switch", Drop(Reason.SWITCHED_OFF, Rule(RuleKind.SWITCHED_OFF, "site")), subject)
    if permission := get_required_permission(request.event):
        text = _("the actor has the permission {permission}").format(permission=permission)
        yield build_step("permission", _check_permission(request), subject, text)
    if request.options.idempotency_key:
        # It is looked up, but not taken.
        first = find_by_key(request, using)
        is_same = first is not None and first.idempotency_hash == request.fingerprint
        kind = RuleKind.KEY_USED if is_same else RuleKind.KEY_CONFLICT
        used = Drop(Reason.DUPLICATE, Rule(kind, "call", {"notification_id": first and first.pk}))
        text = _("the idempotency key was not used before")
        yield build_step("idempotency", used if first else Deliver(), subject, text)
    if configured.queue_limit or configured.cluster_queue_limit:
        has_room = not (count and is_limited(request)) or QueueRoom(request, using).fits(count)
        full = Drop(Reason.QUEUE_FULL, Rule(RuleKind.QUEUE_FULL, "site"))
        yield build_step("queue", Deliver() if has_room else full, subject, _("the queue has room"))


def _check_permission(request: Request) -> Answer:
    try:
        check_permission(request.event, request.options.actor)
    except NotPermitted as error:
        return Drop(Reason.NOT_PERMITTED, Rule(RuleKind.TEXT, "actor", {"text": str(error)}))
    return Deliver()


def _explain_channel(
    facts: Facts, answer: Answer, send_at: datetime | None, due_at: datetime, obstacles: Obstacles
) -> ChannelExplanation:
    channel = facts.channel
    steps = take_until_drop(call_gates(GATES, facts, send_at))
    if not isinstance(answer, Drop):
        steps += check_expiry(facts, due_at)
    elif answer.reason == Reason.COVERED:
        steps.append(build_step("covered", answer, Subject(facts.event.name, channel)))
    if isinstance(answer, Hold) and answer.reason in WAITING_REASONS:
        steps.append(build_step("prefer", answer, Subject(facts.event.name, channel)))
    if isinstance(steps[-1].answer, Drop):
        return _refuse(channel, steps, answer, not facts.kind)
    score = NotificationPriority(facts.effective_priority).band[0]
    delay = obstacles.find_delay(channel, due_at, score, is_due=due_at <= facts.now)
    deciding = find_deciding_step(steps)
    if deciding is not None and isinstance(deciding.answer, Hold):
        zone, is_early = get_recipient_zone(facts.person), due_at < deciding.answer.until
        summary = describe_step(format_due_time(DUE_TEXTS, due_at, zone, delay.end, is_early), deciding)
    elif delay.end:
        summary = _("It would wait until {end}.").format(end=delay.end)
    elif obstacles.lacks_worker:
        summary = _("It would be sent as soon as a worker runs.")
    else:
        summary = _("It would be sent immediately.")
    return ChannelExplanation(
        channel, summary, tuple(steps), answer, delay.until, notes=delay.notes, to_nobody=not facts.kind
    )


def _refuse(
    channel: str, steps: Sequence[Step], answer: Answer | None = None, to_nobody: bool = False
) -> ChannelExplanation:
    summary = describe_step(_("It would not be sent"), steps[-1])
    return ChannelExplanation(channel, summary, tuple(steps), answer or steps[-1].answer, to_nobody=to_nobody)

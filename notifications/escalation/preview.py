"""The steps that would follow a notification, for ``explain()``, and those that still follow one, for ``why()``."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils.translation import gettext

from notifications.escalation.actions import get_first
from notifications.escalation.policies import find_policy
from notifications.escalation.sending import get_page_event
from notifications.escalation.targets import resolve_all
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.events.escalation import Page
from notifications.explain.chain import Chain, ChainSource, ChainStep, register_chain_source
from notifications.models import Cluster, EscalationRun, Notification
from notifications.recipients import Address, Members, To
from notifications.sending.request import Request

MAX_NAMED = 10
"""So many people of a queryset are named."""


def connect() -> None:
    """Let ``explain()`` and ``why()`` show escalations from now on."""
    register_chain_source("escalation", ChainSource(preview, follow))


def preview(request: Request, wanted_at: datetime, using: str) -> list[ChainStep]:
    """Return the steps of the escalation that a request would start."""
    escalation = find_policy(request.event, request.cluster, using)
    if escalation is None:
        return []
    notification = request.build_notification(wanted_at)
    pages = escalation.list_pages(notification.priority)
    timed = [(wanted_at + timedelta(seconds=page.after), page) for page in pages]
    return list_steps(timed, notification, request.event, using)


def follow(notification: Notification, using: str) -> Chain:
    """Return the state of the escalation that a notification belongs to, and the steps that are still to come."""
    rows = EscalationRun.objects.using(using).select_related("notification", "notification__cluster")
    run = rows.filter(notification=get_first(notification)).first()
    if run is None:
        return Chain()
    event = NOTIFICATION_EVENTS.named(run.event)
    if run.due_at is None or event is None:
        return Chain(run.get_state_display())
    numbers = range(run.position, len(run.pages))
    timed = [(run.get_time(number), page) for number in numbers if (page := run.get_page(number))]
    return Chain(run.get_state_display(), list_steps(timed, run.notification, event, using))


def list_steps(
    pages: Iterable[tuple[datetime, Page]], notification: Notification, event: NotificationEvent, using: str
) -> list[ChainStep]:
    """Return the pages of an escalation, each with its time, with the people who would get them."""
    steps = []
    for at, page in pages:
        recipients, faults = resolve_all(page.targets, notification, at, using)
        people = tuple(describe(recipient) for recipient in recipients)
        _event, channels = get_page_event(event, page.channels)
        steps.append(ChainStep(at, page.step, page.targets, channels, people, "; ".join(faults)))
    return steps


def describe(recipient: Any) -> str:
    """Return the words for a recipient."""
    if isinstance(recipient, To):
        return describe(recipient.recipients)
    if isinstance(recipient, QuerySet):
        recipient = [*recipient[: MAX_NAMED + 1]]
    if isinstance(recipient, Iterable):
        words = [*map(describe, recipient)]
        return ", ".join([*words[:MAX_NAMED], "…"] if len(words) > MAX_NAMED else words)
    if isinstance(recipient, Members):
        return gettext("the members of {cluster}").format(cluster=recipient.cluster or Cluster.objects.default())
    if isinstance(recipient, get_user_model()):
        return str(recipient)
    if isinstance(recipient, Address):
        return ", ".join(value for _kind, value in recipient.by_kind)
    return str(getattr(recipient, "name", "") or getattr(recipient, "key", "") or recipient)

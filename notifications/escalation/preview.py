"""The steps that would follow a notification, for ``explain()``."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils.translation import gettext

from notifications.escalation.policies import find_policy
from notifications.escalation.sending import get_page_event
from notifications.escalation.targets import resolve_all
from notifications.events import Escalation, NotificationEvent
from notifications.explain.chain import ChainStep, register_chain_source
from notifications.models import Cluster, Notification
from notifications.recipients import Address, Members, To
from notifications.sending.request import Request

MAX_NAMED = 10
"""So many people of a queryset are named."""


def connect() -> None:
    """Let ``explain()`` show escalations from now on."""
    register_chain_source("escalation", preview)


def preview(request: Request, wanted_at: datetime, using: str) -> list[ChainStep]:
    """Return the steps of the escalation that a request would start."""
    escalation = find_policy(request.event, request.cluster, using)
    if escalation is None:
        return []
    notification = request.build_notification(wanted_at)
    return list_steps(escalation, notification, wanted_at, request.event, using)


def list_steps(
    escalation: Escalation, notification: Notification, base_at: datetime, event: NotificationEvent, using: str
) -> list[ChainStep]:
    """Return the steps of an escalation, with the people who would get them."""
    steps = []
    for page in escalation.list_pages(notification.priority):
        at = base_at + timedelta(seconds=page.after)
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

"""Applies the limits of events, users, channels, clusters, the site and providers immediately before sending.

A worker does this in a short transaction of its own. ``send()`` does not, so that senders never wait for a counter
that they share.
"""

from collections.abc import Mapping
from datetime import datetime

from notifications import conf
from notifications.core.rates import Rate
from notifications.delivering.groups import ClaimedDelivery, Group
from notifications.delivering.limits import (
    TokenGrant,
    TokenRequest,
    build_provider_request,
    build_requests,
    decide_refused,
    take_tokens,
)
from notifications.delivering.recheck import apply_decisions
from notifications.delivering.session import Session
from notifications.events import NotificationPriority
from notifications.outcomes import Reason

MAX_REST_SECONDS = 1.0
"""The longest pause in claiming for a provider. After it, urgent deliveries that have arrived can be claimed first."""


def apply_limits(group: Group, session: Session, now: datetime) -> Group:
    """Return the group without the deliveries that a limit refuses now. These are held or dropped."""
    rates = session.providers.rates(group.provider, now)
    is_limited = bool(rates or conf.current().limits)
    for item in group.items:
        is_limited = is_limited or bool(item.event.limit) or item.event.priority == NotificationPriority.CRITICAL
    if not is_limited:
        return group
    grant = take_tokens({item.delivery.pk: _build_requests(item, rates) for item in group.items}, session.using, now)
    if not grant.waits:
        return group
    _rest_channel(group, grant, session, now)
    decisions = []
    for item in group.items:
        if item.delivery.pk in grant.waits:
            refused, wait = grant.refused[item.delivery.pk], grant.waits[item.delivery.pk]
            decisions.append((item.delivery, decide_refused(item.event, refused, wait, now)))
    session.writer.count(apply_decisions(decisions, session.using, now))
    return Group(group.provider, [item for item in group.items if item.delivery.pk in grant.ids], group.rechecked_at)


def _build_requests(item: ClaimedDelivery, rates: Mapping[str, Rate]) -> list[TokenRequest]:
    delivery = item.delivery
    # A delivery that was tried or broken off has been counted before.
    is_counted = delivery.attempts > 0 or bool(delivery.tried_providers) or delivery.reason == Reason.BROKEN_OFF
    priority = delivery.notification.priority
    return [
        *([] if is_counted else build_requests(delivery, item.event)),
        *(build_provider_request(key, rate, priority) for key, rate in rates.items()),
    ]


def _rest_channel(group: Group, grant: TokenGrant, session: Session, now: datetime) -> None:
    """Claim nothing more of this channel until its provider can accept a message."""
    waits = [grant.waits[pk] for pk, request in grant.refused.items() if request.is_for_provider]
    if waits:
        session.claimer.rest_channel(group.provider.channel, now, min([*waits, MAX_REST_SECONDS]), max(waits))

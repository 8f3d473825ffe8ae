"""Checks the limits of users, clusters and providers immediately before sending.

A worker does this in a short transaction of its own. ``send()`` does not, so that senders never wait for a counter
that they share.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from notifications.delivering.attempt import AddressedDelivery
from notifications.delivering.claim_policy import ClaimPolicy
from notifications.delivering.limits import (
    TokenGrant,
    TokenRequest,
    build_provider_request,
    build_requests,
    decide_refused,
    take_tokens,
)
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.providers.choice import Provider, Providers
from notifications.delivering.recheck import apply_refusals
from notifications.events import NOTIFICATION_EVENTS
from notifications.outcomes import Reason

MAX_REST_SECONDS = 1.0
"""The longest pause in claiming for a provider. After it, urgent deliveries that have arrived can be claimed first."""


class RateLimiter:
    """Applies limits for one worker thread."""

    def __init__(self, writer: OutcomeWriter, providers: Providers, claim_policy: ClaimPolicy) -> None:
        self.writer = writer
        self.providers = providers
        self.claim_policy = claim_policy

    def admit(
        self, provider: Provider, group: Sequence[AddressedDelivery]
    ) -> tuple[list[AddressedDelivery], Counter[str]]:
        """Return the deliveries of a group that the limits allow now.

        The others are held or dropped, and counted.
        """
        now = self.writer.now()
        requests = {item.delivery.pk: self._build_requests(provider, item, now) for item in group}
        grant = take_tokens(requests, self.writer.using, now)
        if not grant.waits:
            return list(group), Counter()
        refused = [item for item in group if item.delivery.pk in grant.waits]
        self._rest_channel(provider, grant, now)
        return [item for item in group if item.delivery.pk in grant.ids], self._refuse(refused, grant, now)

    def _build_requests(self, provider: Provider, item: AddressedDelivery, now: datetime) -> list[TokenRequest]:
        event = NOTIFICATION_EVENTS.find(item.delivery.notification.event)
        priority = item.delivery.notification.priority
        rates = self.providers.rates(provider, now)
        # A delivery that was tried or broken off has been counted before.
        delivery = item.delivery
        is_counted = delivery.attempts > 0 or bool(delivery.tried_providers) or delivery.reason == Reason.BROKEN_OFF
        return [
            *([] if is_counted else build_requests(item.delivery, event)),
            *(build_provider_request(key, rate, priority) for key, rate in rates.items()),
        ]

    def _rest_channel(self, provider: Provider, grant: TokenGrant, now: datetime) -> None:
        """Claim nothing more of this channel until its provider can accept a message."""
        waits = [grant.waits[pk] for pk, request in grant.refused.items() if request.is_for_provider]
        if waits:
            self.claim_policy.rest_channel(provider.channel, now, min([*waits, MAX_REST_SECONDS]), max(waits))

    def _refuse(self, refused: Sequence[AddressedDelivery], grant: TokenGrant, now: datetime) -> Counter[str]:
        answers = []
        for item in refused:
            event = NOTIFICATION_EVENTS.find(item.delivery.notification.event)
            answer = decide_refused(event, grant.refused[item.delivery.pk], grant.waits[item.delivery.pk], now)
            answers.append((item.delivery, answer))
        return apply_refusals(answers, self.writer.using, now)

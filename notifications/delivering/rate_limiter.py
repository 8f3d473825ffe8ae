"""Checks the limits of users, clusters and providers immediately before sending.

A worker does this in a short transaction of its own. ``send()`` does not, so that senders never wait for a counter
that they share.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from notifications.delivering.attempt import AddressedDelivery
from notifications.delivering.claim_policy import ClaimPolicy
from notifications.delivering.limits import Granted, Need, answer_to, needs_of, provider_need, take
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
        needs = {item.delivery.pk: self._build_needs(provider, item, now) for item in group}
        granted = take(needs, self.writer.using, now)
        if not granted.wait:
            return list(group), Counter()
        refused = [item for item in group if item.delivery.pk in granted.wait]
        self._rest_channel(provider, granted, now)
        return [item for item in group if item.delivery.pk in granted.ids], self._refuse(refused, granted, now)

    def _build_needs(self, provider: Provider, item: AddressedDelivery, now: datetime) -> list[Need]:
        event = NOTIFICATION_EVENTS.find(item.delivery.notification.event)
        priority = item.delivery.notification.priority
        rates = self.providers.rates(provider, now)
        # A delivery that was tried or broken off has been counted before.
        is_counted = item.delivery.attempts > 0 or item.delivery.reason in (Reason.BROKEN_OFF, Reason.FAILED_OVER)
        return [
            *([] if is_counted else needs_of(item.delivery, event)),
            *(provider_need(key, rate, priority) for key, rate in rates.items()),
        ]

    def _rest_channel(self, provider: Provider, granted: Granted, now: datetime) -> None:
        """Claim nothing more of this channel until its provider can accept a message."""
        waits = [granted.wait[pk] for pk, need in granted.by.items() if need.is_of_provider]
        if waits:
            self.claim_policy.rest_channel(provider.channel, now, min([*waits, MAX_REST_SECONDS]), max(waits))

    def _refuse(self, refused: Sequence[AddressedDelivery], granted: Granted, now: datetime) -> Counter[str]:
        answers = []
        for item in refused:
            event = NOTIFICATION_EVENTS.find(item.delivery.notification.event)
            answer = answer_to(event, granted.by[item.delivery.pk], granted.wait[item.delivery.pk], now)
            answers.append((item.delivery, answer))
        return apply_refusals(answers, self.writer.using, now)

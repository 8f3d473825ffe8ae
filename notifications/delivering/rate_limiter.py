"""The last question before sending: do the limits of people, clusters and providers leave room for it?

Here, in a worker's own short transaction, and not in ``send()``: senders never wait for a counter that they share.
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

LONGEST_REST = 1.0
"""Seconds. Then what is claimed next waits its turn again, so urgent deliveries must not come too late for it."""


class RateLimiter:
    """Of one worker thread."""

    def __init__(self, writer: OutcomeWriter, providers: Providers, claim_policy: ClaimPolicy) -> None:
        self.writer = writer
        self.providers = providers
        self.claim_policy = claim_policy

    def admit(
        self, provider: Provider, group: Sequence[AddressedDelivery]
    ) -> tuple[list[AddressedDelivery], Counter[str]]:
        """Those of a group that may go out now; the others wait or are dropped, and are counted."""
        now = self.writer.now()
        needs = {item.delivery.pk: self._needs(provider, item, now) for item in group}
        granted = take(needs, self.writer.using, now)
        if not granted.wait:
            return list(group), Counter()
        refused = [item for item in group if item.delivery.pk in granted.wait]
        self._let_rest(provider, granted, now)
        return [item for item in group if item.delivery.pk in granted.ids], self._refuse(refused, granted, now)

    def _needs(self, provider: Provider, item: AddressedDelivery, now: datetime) -> list[Need]:
        event = NOTIFICATION_EVENTS.find(item.delivery.notification.event)
        priority = item.delivery.notification.priority
        rates = self.providers.rates(provider, now)
        # What has been counted once, and was tried or broken off, is not counted again.
        counted = item.delivery.attempts > 0 or item.delivery.reason in (Reason.BROKEN_OFF, Reason.FAILED_OVER)
        return [
            *([] if counted else needs_of(item.delivery, event)),
            *(provider_need(key, rate, priority) for key, rate in rates.items()),
        ]

    def _let_rest(self, provider: Provider, granted: Granted, now: datetime) -> None:
        """Claim nothing more of this channel until its provider can take something."""
        waits = [granted.wait[pk] for pk, need in granted.by.items() if need.is_of_provider]
        if waits:
            self.claim_policy.rest(provider.channel, now, min([*waits, LONGEST_REST]), max(waits))

    def _refuse(self, refused: Sequence[AddressedDelivery], granted: Granted, now: datetime) -> Counter[str]:
        answers = []
        for item in refused:
            event = NOTIFICATION_EVENTS.find(item.delivery.notification.event)
            answer = answer_to(event, granted.by[item.delivery.pk], granted.wait[item.delivery.pk], now)
            answers.append((item.delivery, answer))
        return apply_refusals(answers, self.writer.using, now)

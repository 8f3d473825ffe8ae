"""Webhooks to the witness: the real webhook channel, and an endpoint that ignores a ``webhook-id`` that it has seen."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.test import override_settings

from notifications.channels.base import Rendered
from notifications.channels.webhook import Attempt, WebhookChannel, WebhookMessage
from notifications.models import Delivery
from notifications.outcomes import Receipt
from tests.chaos.channel import ChaosChannel
from tests.chaos.http import HEADER


@dataclass(frozen=True)
class WitnessedMessage(WebhookMessage):
    """A message with what the ledger shall know of it."""

    delivery: int
    epoch: int
    fence: int

    @property
    def line(self) -> str:
        return f"{self.delivery} {self.epoch} {self.fence} {os.getpid()}"


class WitnessedHook(WebhookChannel):
    """Tells the witness which delivery a message is of, and who sends it."""

    def prepare(self, delivery: Delivery, rendered: Rendered) -> WitnessedMessage:
        message = super().prepare(delivery, rendered)
        return WitnessedMessage(**vars(message), delivery=delivery.pk, epoch=delivery.epoch, fence=delivery.fence)

    def send(self, messages: Sequence[WitnessedMessage]) -> Iterator[Receipt]:
        ChaosChannel.on_begin(messages, 0)
        for number, receipt in enumerate(super().send(messages), 1):
            ChaosChannel.on_accepted(messages, number)
            yield receipt

    def _request(self, endpoint: Any, message: WitnessedMessage, headers: dict[str, str]) -> Attempt:
        return super()._request(endpoint, message, {**headers, HEADER: message.line})


@contextmanager
def hooked() -> Iterator[None]:
    """Inside, webhooks are sent; for workers that are started inside."""
    webhook = {
        "BACKEND": "tests.chaos.hooks.WitnessedHook",
        "OPTIONS": {"allow_http": True, "allow": ["127.0.0.1"], "timeout": 5},
    }
    channels = {**settings.NOTIFICATIONS["CHANNELS"], "webhook": webhook}
    with override_settings(NOTIFICATIONS={**settings.NOTIFICATIONS, "CHANNELS": channels}):
        yield

"""Stand-ins for channels for which this site has no provider. They append each message to a file.

They follow the contract of a channel, so everything up to the provider is real. On your own site, configure real
channels under the same names.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from notifications.channels import BaseChannel
from notifications.channels.base import Rendered
from notifications.models import Delivery
from notifications.outcomes import Receipt, Verdict


class StandIn(BaseChannel):
    """A channel that appends each message to a file, as a line of JSON.

    :param file: the path of the file.
    """

    one_by_one = True

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)

    def prepare(self, delivery: Delivery, rendered: Rendered) -> dict[str, Any]:
        return {
            "to": delivery.address or delivery.recipient_key,
            "event": delivery.notification.event,
            "text": rendered.text.strip(),
            "idempotency_key": delivery.idempotency_key,
        }

    def send(self, messages: Sequence[dict[str, Any]]) -> Iterator[Receipt]:
        for message in messages:
            yield self._write(message)

    def _write(self, message: dict[str, Any]) -> Receipt:
        provider = f"file {self.file.name}"
        try:
            with self.file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(message) + "\n")
        except OSError as error:
            return Receipt(message, Verdict.TEMPORARY, provider, error=str(error))
        return Receipt(message, Verdict.ACCEPTED, provider)


class LiveStandIn(StandIn):
    """A stand-in for live messages, which are sent to accounts."""

    address_kind = "user"


class TextStandIn(StandIn):
    """A stand-in for text messages, which are sent to phone numbers."""

    address_kind = "phone"


class HookStandIn(StandIn):
    """A stand-in for Slack and webhooks, which are sent to URLs."""

    address_kind = "url"

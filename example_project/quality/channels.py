"""Stand-ins for channels that this site has no provider for: what they would send becomes a line in a file.

They keep the contract of a channel, so everything before the last step is real. A site of your own names real
channels under the same names in its settings.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from notifications.channels import BaseChannel
from notifications.channels.rendered import Rendered
from notifications.models import Delivery
from notifications.outcomes import Receipt, Verdict


class StandIn(BaseChannel):
    """Option: ``file``, to which each message is appended as one line of JSON."""

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
    """For live messages, which go to accounts."""

    address_kind = "user"


class TextStandIn(StandIn):
    """For text messages, which go to telephones."""

    address_kind = "phone"


class HookStandIn(StandIn):
    """For Slack and webhooks, which go to addresses on the web."""

    address_kind = "url"

"""The log channel: it writes the text to Python's logging, for development or for an external audit trail."""

import logging
from collections.abc import Iterator, Sequence

from notifications.channels.base import BaseChannel, Rendered
from notifications.models import Delivery
from notifications.outcomes import Receipt, Verdict


class LogChannel(BaseChannel):
    """Write the text to a logger. Options: ``logger``, its name, and ``level``, the name of the level."""

    # A line that is repeated after a crash does no harm.
    group_size = 500
    # Logging does not wait for a provider.
    timeout = 0.1

    def __init__(self, logger: str = "notifications.channel.log", level: str = "INFO") -> None:
        self.logger = logging.getLogger(logger)
        self.level = logging.getLevelNamesMapping()[level.upper()]

    def prepare(self, delivery: Delivery, rendered: Rendered) -> str:
        # Each entry is one line without control characters, so that a text cannot forge log lines.
        line = " ".join(rendered.text.split())
        printable = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
        return f"{delivery.recipient_key}: {printable}"

    def send(self, messages: Sequence[str]) -> Iterator[Receipt]:
        for message in messages:
            self.logger.log(self.level, "%s", message)
            yield Receipt(message, Verdict.ACCEPTED, provider=self.logger.name)

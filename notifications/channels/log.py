"""The log channel: writes the text to Python's logging. For development and for audit trails kept elsewhere."""

import logging
from collections.abc import Iterator, Sequence

from notifications.channels.base import BaseChannel
from notifications.channels.rendered import Rendered
from notifications.models import Delivery
from notifications.outcomes import Receipt, Verdict


class LogChannel(BaseChannel):
    """Options: ``logger``, the name of the logger, and ``level``, the name of the level."""

    # Nobody is harmed by a line that a crash repeats.
    group_size = 500
    # Nobody is waited for.
    patience = 0.1

    def __init__(self, logger: str = "notifications.channel.log", level: str = "INFO") -> None:
        self.logger = logging.getLogger(logger)
        self.level = logging.getLevelNamesMapping()[level.upper()]

    def prepare(self, delivery: Delivery, rendered: Rendered) -> str:
        # One entry stays one line that a terminal shows as it is: forged log lines are an old trick.
        line = " ".join(rendered.text.split())
        shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
        return f"{delivery.recipient_key}: {shown}"

    def send(self, messages: Sequence[str]) -> Iterator[Receipt]:
        for message in messages:
            self.logger.log(self.level, "%s", message)
            yield Receipt(message, Verdict.ACCEPTED, provider=self.logger.name)

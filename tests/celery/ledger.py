"""A channel whose provider is a file: one line for each delivery that it accepted."""

import time
from collections import Counter
from pathlib import Path

from notifications.channels import BaseChannel
from notifications.outcomes import Receipt, Verdict


class LedgerChannel(BaseChannel):
    """Writes each delivery to the file ``path``. A delivery takes ``seconds``."""

    timeout = 1

    def __init__(self, path, seconds=0.0):
        self.path, self.seconds = path, seconds

    def prepare(self, delivery, rendered):
        return f"{delivery.pk}\n"

    def send(self, messages):
        # A short write to a file that is open for appending is atomic.
        with Path(self.path).open("a", buffering=1) as file:
            for message in messages:
                time.sleep(self.seconds)
                file.write(message)
                yield Receipt(message, Verdict.ACCEPTED)


class Ledger:
    """The deliveries that the channel accepted."""

    def __init__(self, path):
        self.path = path

    @property
    def accepted(self):
        """How often each delivery was accepted, by id."""
        return Counter(self.path.read_text().split()) if self.path.exists() else Counter()

    @property
    def repeats(self):
        return self.accepted.total() - len(self.accepted)

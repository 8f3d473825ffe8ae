"""How many deliveries a claim takes: few at first, more while the backlog lasts and batches are quick.

A large claim costs less for each delivery, but a CRITICAL delivery that is queued meanwhile waits until the batch has
ended. So the size follows the time that batches take, and a batch that takes longer than expected gives back the rest.
"""

QUICK_SECONDS = 0.05
"""A full batch that took no longer than this lets the next claim take twice as many."""
SLOW_SECONDS = 0.12
"""After a batch that took longer than this, the next claim takes half as many."""
MAX_BATCH_SECONDS = 0.25
"""After this time, a batch that is larger than the first claim gives back the deliveries that are not begun."""


class ClaimSize:
    """The number of deliveries that the next claim takes: between ``start`` and ``maximum``."""

    def __init__(self, start: int, maximum: int) -> None:
        self.start, self.maximum = start, max(start, maximum)
        self.current = start

    def adjust(self, claimed: int, seconds: float) -> None:
        """Choose the next size after a claim of the current size.

        :param claimed: how many deliveries were claimed.
        :param seconds: how long it took to claim and process them.
        """
        if seconds > SLOW_SECONDS:
            self.current = max(self.start, self.current // 2)
        elif claimed < self.current:
            self.current = max(self.start, claimed)
        elif seconds <= QUICK_SECONDS:
            self.current = min(self.maximum, self.current * 2)

    def is_overdue(self, claimed: int, seconds: float) -> bool:
        """Return whether a batch of this size must give back its rest, because it takes too long."""
        return claimed > self.start and seconds > MAX_BATCH_SECONDS

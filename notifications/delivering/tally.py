"""Counting what became of deliveries, for the summary of a run."""

import threading
from collections import Counter

from notifications.outcomes import DeliveryState

Tally = Counter[str]

KEPT_IN_A_FILE = "kept in a file"
NOT_RECORDED = "not recorded"


class OutcomeCounter:
    """Counts where the outcomes are written, so that an error later in a batch loses none. Used by several threads."""

    def __init__(self) -> None:
        self._tally: Tally = Counter()
        self._lock = threading.Lock()

    def add(self, news: Tally) -> None:
        """Count outcomes. Deliveries that were only given back have no outcome yet."""
        with self._lock:
            self._tally += Counter({state: count for state, count in news.items() if state != DeliveryState.READY})

    def take(self) -> Tally:
        """What was counted since the last call."""
        with self._lock:
            taken, self._tally = self._tally, Counter()
        return taken

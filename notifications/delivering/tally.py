"""The counts of outcomes that the summary of a run shows."""

import threading
from collections import Counter

from notifications.outcomes import DeliveryState

Tally = Counter[str]

KEPT_IN_A_FILE = "kept in a file"
NOT_RECORDED = "not recorded"


class OutcomeCounter:
    """Counts outcomes where they are written, so that a later error in the batch loses none. Thread-safe."""

    def __init__(self) -> None:
        self._tally: Tally = Counter()
        self._lock = threading.Lock()

    def add(self, tally: Tally) -> None:
        """Add outcomes. Deliveries that were only given back have no outcome yet and are not counted."""
        with self._lock:
            self._tally += Counter({state: count for state, count in tally.items() if state != DeliveryState.READY})

    def take(self) -> Tally:
        """Return the outcomes that were added since the last call."""
        with self._lock:
            taken, self._tally = self._tally, Counter()
        return taken

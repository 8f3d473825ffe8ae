"""The circuit breaker of one worker thread: which providers may be tried, and what their receipts mean.

The circuits are read at most once a second. When a provider fails, this costs a few more attempts; while all providers
work, it saves statements.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from notifications.core.addresses import mask_addresses
from notifications.core.refusals import Streak
from notifications.models import Circuit
from notifications.outcomes import Blame, Receipt, Verdict

logger = logging.getLogger("notifications.dispatch")

REFRESH_INTERVAL = timedelta(seconds=1)
FAILURE_VERDICTS = (Verdict.TEMPORARY, Verdict.UNKNOWN, Verdict.CONFIGURATION)
PROVIDER_BLAMES = (Blame.PROVIDER, Blame.NETWORK, Blame.SILENCE)
OPENING_BLAMES = (Blame.NETWORK, Blame.SILENCE)


def is_failure(receipt: Receipt) -> bool:
    """Return whether the provider has failed, and not only refused one recipient."""
    return receipt.verdict in FAILURE_VERDICTS and receipt.blames in PROVIDER_BLAMES


def opens_circuit(receipt: Receipt) -> bool:
    """Return whether one such receipt opens the circuit, because the next delivery would get the same."""
    return is_failure(receipt) and (receipt.verdict is Verdict.CONFIGURATION or receipt.blames in OPENING_BLAMES)


def count_trailing_failures(receipts: Sequence[Receipt]) -> int:
    """Return how many receipts at the end are failures in a row."""
    for count, receipt in enumerate(reversed(receipts)):
        if not is_failure(receipt):
            return count
    return len(receipts)


class CircuitBreaker:
    """The circuits of all providers, for one thread. A provider that has never failed may have none."""

    def __init__(self, using: str) -> None:
        self.circuits: dict[str, Circuit] = {}
        self._table = Circuit.objects.using(using)
        self._read_at: datetime | None = None

    def refresh(self, now: datetime) -> None:
        """Read the circuits, unless they were read less than a second ago."""
        if self._read_at is None or not timedelta() <= now - self._read_at < REFRESH_INTERVAL:
            self.circuits, self._read_at = self._table.in_bulk(), now

    def is_closed(self, key: str) -> bool:
        return key not in self.circuits or self.circuits[key].is_closed()

    def may_be_tried(self, key: str, now: datetime) -> bool:
        """Return whether the provider may get the next delivery: its circuit is closed or waits for a probe."""
        return self.is_closed(key) or self.circuits[key].may_be_probed(now)

    def win_probe(self, key: str, now: datetime, timeout: float) -> bool:
        """Claim the probe of a half-open provider for this thread; return whether that succeeded.

        :param timeout: the seconds after which another thread may claim the probe.
        """
        won = self._table.acquire_probe(key, now, now + timedelta(seconds=timeout))
        self._read_at = None
        if not won:
            self.refresh(now)
        return won

    def end_probe(self, key: str, now: datetime) -> None:
        """Let another delivery be the probe, if no receipt has decided about the circuit.

        The delivery that was the probe may have been held, or could not be rendered, and so tested nothing.
        """
        self._table.filter(key=key, open_until__lte=now).update(probe_until=None)
        self._read_at = None

    def get_streak(self, key: str) -> Streak:
        """Return the equal refusals that the provider has given since it last accepted a message."""
        return self.circuits[key].streak if key in self.circuits else Streak()

    def record_health(self, key: str, answers: Sequence[tuple[bool, float]]) -> None:
        """Add answers to the health that all workers share.

        :param answers: whether each attempt succeeded, and its seconds.
        """
        self.circuits[key] = self._table.record_answers(key, answers)

    def observe(
        self,
        key: str,
        receipts: Sequence[Receipt],
        now: datetime,
        streak: Streak | None = None,
        open_immediately: bool = False,
    ) -> None:
        """Update the circuit with the receipts of a group.

        :param streak: the equal refusals after the group.
        :param open_immediately: open the circuit if the last receipts are failures, regardless of their number.
        """
        failures = count_trailing_failures(receipts)
        circuit = self.circuits.get(key)
        accepted = any(receipt.verdict is Verdict.ACCEPTED for receipt in receipts)
        if circuit and failures < len(receipts) and circuit.needs_reset(accepted):
            self.circuits[key] = self._table.record_success(key, now, accepted)
            if not circuit.is_closed():
                logger.info("The provider %s works again.", key)
        if streak and streak.refused and streak != self.get_streak(key):
            self.circuits[key] = self._table.record_refusals(key, streak)
        if failures:
            self._record_failures(key, receipts[-failures:], now, open_immediately)

    def _record_failures(self, key: str, failed: Sequence[Receipt], now: datetime, open_immediately: bool) -> None:
        open_immediately = open_immediately or any(opens_circuit(receipt) for receipt in failed)
        was_closed = self.is_closed(key)
        error = mask_addresses(failed[-1].error)
        circuit = self._table.record_failures(key, len(failed), error, now, open_immediately)
        self.circuits[key] = circuit
        if was_closed and not circuit.is_closed():
            logger.warning(
                "The provider %s is not used until %s. Its last error: %s",
                key,
                circuit.open_until,
                circuit.error,
            )

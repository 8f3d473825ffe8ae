"""The circuit breaker, as one worker thread sees it: which providers may be tried, and what their answers mean.

What is known of a circuit is read at most once a second. That costs a few tries too many when a provider fails, and no
statement while all is well.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from notifications.core.addresses import masked_text
from notifications.core.refusals import Streak
from notifications.models import Circuit
from notifications.outcomes import Blame, Receipt, Verdict

logger = logging.getLogger("notifications.dispatch")

FRESH_FOR = timedelta(seconds=1)
FAILURES = (Verdict.TEMPORARY, Verdict.UNKNOWN, Verdict.CONFIGURATION)
OF_PROVIDER = (Blame.PROVIDER, Blame.NETWORK, Blame.SILENCE)
OPENS_AT_ONCE = (Blame.NETWORK, Blame.SILENCE)


def is_failure(receipt: Receipt) -> bool:
    """Whether an answer speaks against the provider, and not only against one recipient."""
    return receipt.verdict in FAILURES and receipt.blames in OF_PROVIDER


def opens_at_once(receipt: Receipt) -> bool:
    """Whether one such answer is enough: whoever comes next would get the same."""
    return is_failure(receipt) and (receipt.verdict is Verdict.CONFIGURATION or receipt.blames in OPENS_AT_ONCE)


def failures_at_the_end(receipts: Sequence[Receipt]) -> int:
    """How many failures in a row the last answers are."""
    for count, receipt in enumerate(reversed(receipts)):
        if not is_failure(receipt):
            return count
    return len(receipts)


class Breaker:
    """Belongs to one thread."""

    def __init__(self, using: str) -> None:
        self.circuits = Circuit.objects.using(using)
        self._known: dict[str, Circuit] = {}
        self._read_at: datetime | None = None

    def look(self, now: datetime) -> None:
        """Read the circuits, unless they were read a moment ago."""
        if self._read_at is None or not timedelta() <= now - self._read_at < FRESH_FOR:
            self._known, self._read_at = {circuit.key: circuit for circuit in self.circuits.all()}, now

    def is_closed(self, key: str) -> bool:
        return key not in self._known or self._known[key].is_closed()

    def may_be_tried(self, key: str, now: datetime) -> bool:
        """Whether the provider could have the next delivery: its circuit is closed, or waits for a probe."""
        return self.is_closed(key) or self._known[key].may_be_tried(now)

    def win_probe(self, key: str, now: datetime, patience: float) -> bool:
        """Whether this thread may try a half-open provider with one delivery."""
        won = self.circuits.win_probe(key, now, now + timedelta(seconds=patience))
        self._read_at = None
        if not won:
            self.look(now)
        return won

    def end_probe(self, key: str, now: datetime) -> None:
        """Free the place of the probe, where no answer has done that."""
        self.circuits.filter(key=key, open_until__lte=now).update(probe_until=None)
        self._read_at = None

    def opened_at(self, key: str) -> datetime | None:
        """Since when the provider has been failing without a break; None if it is not."""
        return self._known[key].opened_at if key in self._known else None

    def streak(self, key: str) -> Streak:
        """The equal refusals that the provider has given since it last accepted a message."""
        return self._known[key].streak if key in self._known else Streak()

    def health(self, key: str) -> tuple[float, float]:
        """The provider's recent success rate, and the seconds that it took for a message."""
        known = self._known.get(key)
        return (known.success_rate, known.response_seconds) if known else (1.0, 0.0)

    def learn(self, key: str, answers: Sequence[tuple[bool, float]]) -> None:
        """Take answers into the health that all workers share."""
        self._known[key] = self.circuits.learn(key, answers)

    def closed_at(self, key: str) -> datetime | None:
        """When the provider came back, if it was ever away."""
        return self._known[key].closed_at if key in self._known else None

    def observe(
        self, key: str, receipts: Sequence[Receipt], now: datetime, streak: Streak | None = None, at_once: bool = False
    ) -> None:
        """Draw the conclusions from a group's answers.

        :param streak: the equal refusals after the group.
        :param at_once: open the circuit if the last answers were failures, however few they were.
        """
        failures = failures_at_the_end(receipts)
        known = self._known.get(key)
        accepted = any(receipt.verdict is Verdict.ACCEPTED for receipt in receipts)
        if (
            known
            and failures < len(receipts)
            and (known.failures or not known.is_closed() or accepted and known.refusal)
        ):
            self._known[key] = self.circuits.works(key, now, accepted)
            if not known.is_closed():
                logger.info("The provider %s works again.", key)
        if streak and streak.refused and streak != self.streak(key):
            self._known[key] = self.circuits.refused(key, streak)
        if failures:
            self._count(key, receipts[-failures:], now, at_once)

    def _count(self, key: str, failed: Sequence[Receipt], now: datetime, at_once: bool) -> None:
        at_once = at_once or any(opens_at_once(receipt) for receipt in failed)
        was_closed = self.is_closed(key)
        circuit = self.circuits.failed(key, len(failed), masked_text(failed[-1].error), now, at_once)
        self._known[key] = circuit
        if was_closed and not circuit.is_closed():
            logger.warning(
                "The provider %s is left alone until %s. Its last error: %s", key, circuit.open_until, circuit.error
            )

"""A group that is being handed to a provider: keeps each answer and judges all answers together.

The worker's thread records the answers at the end of the group, in one transaction. If the group takes long, the
:class:`~notifications.delivering.recorder.Recorder` records the final answers earlier, so that they are not lost if the
provider stops answering.
"""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from notifications.core.refusals import count_final_receipts
from notifications.delivering.attempt_outcomes import Outcomes, decide_next_state, retry_unsent
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.providers.attempt_result import AttemptResult
from notifications.delivering.providers.choice import Provider, Providers
from notifications.delivering.tally import Tally
from notifications.models import Delivery
from notifications.storage.outbox import StateChange


class GroupHandover:
    """The answers to one group. The worker's thread adds them; it and the recorder's thread record them.

    ``answered`` contains the attempts that have an answer. ``unsent`` contains the deliveries that were certainly not
    handed over, because the group was broken off.
    """

    def __init__(self, provider: Provider, writer: OutcomeWriter, providers: Providers) -> None:
        self.provider = provider
        self.writer = writer
        self.providers = providers
        self.answered: list[AttemptResult] = []
        self.unsent: list[Delivery] = []
        self._handed_over: set[int] = set()
        self._answered_at = 0.0
        self._recorded_count = 0
        self._unrecorded_since = 0.0
        # _lock protects the list of answers. _recording is held while answers are recorded, which may take long.
        self._lock = threading.Lock()
        self._recording = threading.Lock()

    def begin(self, deliveries: Sequence[Delivery]) -> None:
        """Note that the provider has these deliveries from now on."""
        self._handed_over, self._answered_at = {delivery.pk for delivery in deliveries}, time.monotonic()

    def get_unanswered_ids(self, seconds: float) -> set[int]:
        """Return the ids of the deliveries that the provider has, if it has not answered for so many seconds."""
        with self._lock:
            waiting = self._handed_over - {item.delivery.pk for item in self.answered} - {row.pk for row in self.unsent}
            return waiting if time.monotonic() - self._answered_at > seconds else set()

    def add(self, attempted: AttemptResult) -> None:
        """Add an answer."""
        with self._lock:
            self._answered_at = time.monotonic()
            if self._recorded_count == len(self.answered):
                self._unrecorded_since = time.monotonic()
            self.answered.append(attempted)

    def judge(self) -> list[AttemptResult]:
        """Return all answers so far, each judged together with the others."""
        return self.providers.judge(self.provider, self.answered)[0]

    def record_final(self, min_age: float) -> bool:
        """Record the answers that no later answer can change, if the oldest of them waits for ``min_age`` seconds.

        Return whether there were any.
        """
        with self._recording:
            with self._lock:
                count = count_final_receipts([item.receipt for item in self.answered])
                if count <= self._recorded_count or time.monotonic() - self._unrecorded_since < min_age:
                    return False
                outcomes = self._build_outcomes(self.judge()[self._recorded_count : count])
                self._recorded_count = count
            self.writer.record(outcomes)
            return True

    def finish(self) -> Tally:
        """Record the remaining answers. If that fails, the writer keeps them and the error is raised.

        If the channel is transactional, return the outcomes to count after the commit.
        """
        with self._recording:
            outcomes = self._build_outcomes(self.judge()[self._recorded_count :], self.unsent)
            self._recorded_count = len(self.answered)
            if outcomes.pairs and self.provider.is_transactional:
                return self.writer.write(outcomes)
            if outcomes.pairs:
                self.writer.record(outcomes)
            return Counter()

    def observe(self) -> None:
        """Update what all workers know about the provider."""
        judged, streak = self.providers.judge(self.provider, self.answered)
        self.providers.observe(self.provider, judged, self.writer.now(), streak)

    def _build_outcomes(self, answered: Sequence[AttemptResult], unsent: Sequence[Delivery] = ()) -> Outcomes:
        now = self.writer.get_answer_time()
        provider_name = "" if self.provider.name == self.provider.channel else self.provider.name
        pairs = [self._build_pair(replace(item, provider_name=provider_name), now) for item in answered]
        return Outcomes([*pairs, *(retry_unsent(delivery, now) for delivery in unsent)], now)

    def _build_pair(self, item: AttemptResult, now: datetime) -> tuple[AttemptResult, StateChange]:
        tried = self.providers.names_for_failover(self.provider, item.delivery, now)
        return item, decide_next_state(item, now, tried, self.providers.is_uncounted(self.provider, item, now))

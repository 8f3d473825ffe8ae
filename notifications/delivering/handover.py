"""A group on its way to a provider: each answer is kept as it comes and recorded in the light of the others.

The worker's thread records the answers at the end of the group, in one transaction. If the group takes long, the
:class:`~notifications.delivering.recorder.Recorder` records the answers that are known meanwhile, so they are not lost
if the provider falls silent.
"""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from notifications.core.refusals import resolved
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.providers.attempt_result import AttemptResult
from notifications.delivering.providers.choice import Provider, Providers
from notifications.delivering.record import Outcomes, decide_next_state, retry_unsent
from notifications.delivering.tally import Tally
from notifications.models import Delivery
from notifications.storage.outbox import StateChange


class GroupHandover:
    """The answers to one group. The worker's thread adds them; it and the recorder's thread record them.

    ``tried`` are the answers so far; ``untried`` were certainly not handed over, because the group was broken off.
    """

    def __init__(self, provider: Provider, writer: OutcomeWriter, providers: Providers) -> None:
        self.provider = provider
        self.writer = writer
        self.providers = providers
        self.tried: list[AttemptResult] = []
        self.untried: list[Delivery] = []
        self._given: set[int] = set()
        self._answered_at = 0.0
        self._recorded = 0
        self._oldest = 0.0
        # One for the list of answers, and one for whoever records them, which may take long.
        self._lock = threading.Lock()
        self._recording = threading.Lock()

    def begin(self, deliveries: Sequence[Delivery]) -> None:
        """These are in the hands of the provider from now on."""
        self._given, self._answered_at = {delivery.pk for delivery in deliveries}, time.monotonic()

    def get_unanswered_ids(self, seconds: float) -> set[int]:
        """What the provider has been given, if it has answered nothing for so many seconds."""
        with self._lock:
            left = self._given - {item.delivery.pk for item in self.tried} - {row.pk for row in self.untried}
            return left if time.monotonic() - self._answered_at > seconds else set()

    def add(self, attempted: AttemptResult) -> None:
        """Keep an answer."""
        with self._lock:
            self._answered_at = time.monotonic()
            if self._recorded == len(self.tried):
                self._oldest = time.monotonic()
            self.tried.append(attempted)

    def judged(self) -> list[AttemptResult]:
        """All answers so far, each in the light of the others."""
        return self.providers.judge(self.provider, self.tried)[0]

    def record_final(self, older_than: float) -> bool:
        """Record the answers that no later one can change, if the oldest has waited for so many seconds.

        Returns whether there were any.
        """
        with self._recording:
            with self._lock:
                count = resolved([item.receipt for item in self.tried])
                if count <= self._recorded or time.monotonic() - self._oldest < older_than:
                    return False
                outcomes = self._outcomes(self.judged()[self._recorded : count])
                self._recorded = count
            self.writer.record(outcomes)
            return True

    def finish(self) -> Tally:
        """Record the rest. Where the channel is transactional, returns what is to be counted once that is committed.

        What cannot be recorded is kept by the writer, and the error is raised.
        """
        with self._recording:
            outcomes = self._outcomes(self.judged()[self._recorded :], self.untried)
            self._recorded = len(self.tried)
            if outcomes.pairs and self.provider.is_transactional:
                return self.writer.write(outcomes)
            if outcomes.pairs:
                self.writer.record(outcomes)
            return Counter()

    def observe(self) -> None:
        """Draw the conclusions about the provider, for all workers."""
        judged, streak = self.providers.judge(self.provider, self.tried)
        self.providers.observe(self.provider, judged, self.writer.now(), streak)

    def _outcomes(self, tried: Sequence[AttemptResult], untried: Sequence[Delivery] = ()) -> Outcomes:
        now = self.writer.get_answer_time()
        provider_name = "" if self.provider.name == self.provider.channel else self.provider.name
        pairs = [self._pair(replace(item, provider_name=provider_name), now) for item in tried]
        return Outcomes([*pairs, *(retry_unsent(delivery, now) for delivery in untried)], now)

    def _pair(self, item: AttemptResult, now: datetime) -> tuple[AttemptResult, StateChange]:
        failed_over = self.providers.names_for_failover(self.provider, item.delivery, now)
        return item, decide_next_state(item, now, failed_over, self.providers.is_uncounted(self.provider, item, now))

"""Circuits: what all workers know of a provider's health, so that one of them need not learn what another has learnt.

Closed, a circuit lets everything through. After ``BREAKER_FAILURES`` failures in a row it is open: nothing goes to that
provider. When its time has passed it is half open: one worker may try one delivery, the probe. If the probe works the
circuit closes; if not it stays open, twice as long as before, at most ``BREAKER_MOST_SECONDS``.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from notifications import conf
from notifications.core.refusals import Streak

MEMORY = 0.9
"""The share of the known health that a new answer leaves."""


class CircuitQuerySet(models.QuerySet["Circuit"]):
    def failed(self, key: str, count: int, error: str, now: datetime, at_once: bool = False) -> "Circuit":
        """Count failures in a row; ``at_once`` opens the circuit whatever their number. Returns it as it now is."""
        with transaction.atomic(using=self.db):
            circuit = self._locked(key)
            circuit.count(count, error, now, at_once)
            circuit.save(using=self.db)
        return circuit

    def works(self, key: str, now: datetime, accepted: bool = True) -> "Circuit":
        """The provider has answered: forget its failures, and close the circuit if it was open.

        :param accepted: whether it accepted a message; only then its equal refusals are forgotten as well.
        """
        with transaction.atomic(using=self.db):
            circuit = self._locked(key)
            if circuit.open_until is not None:
                circuit.closed_at = now
            circuit.failures, circuit.seconds, circuit.error = 0, 0, ""
            circuit.opened_at = circuit.open_until = circuit.probe_until = None
            if accepted:
                circuit.refusal, circuit.refused = "", []
            circuit.save(using=self.db)
        return circuit

    def refused(self, key: str, streak: Streak) -> "Circuit":
        """Remember which recipients were refused, in addition to those that another worker has seen."""
        with transaction.atomic(using=self.db):
            circuit = self._locked(key)
            circuit.refusal, circuit.refused = streak.code, streak.merge(circuit.streak).refused
            circuit.save(using=self.db, update_fields=["refusal", "refused"])
        return circuit

    def learn(self, key: str, answers: Sequence[tuple[bool, float]]) -> "Circuit":
        """Take answers into the provider's health: whether each was good, and the seconds that it took."""
        with transaction.atomic(using=self.db):
            circuit = self._locked(key)
            for good, seconds in answers:
                circuit.success_rate = MEMORY * circuit.success_rate + (1 - MEMORY) * good
                circuit.response_seconds = MEMORY * circuit.response_seconds + (1 - MEMORY) * seconds
            circuit.save(using=self.db, update_fields=["success_rate", "response_seconds"])
        return circuit

    def win_probe(self, key: str, now: datetime, until: datetime) -> bool:
        """Whether the caller is the one that may try a half-open provider; nobody else may before ``until``."""
        free = models.Q(probe_until=None) | models.Q(probe_until__lt=now)
        return bool(self.filter(free, key=key, open_until__lte=now).update(probe_until=until))

    def close(self, channel: str = "") -> list[str]:
        """Forget what is known of a channel's providers, or of all; returns those that were being left alone."""
        mine = self.filter(models.Q(key=channel) | models.Q(key__startswith=f"{channel}/")) if channel else self.all()
        was_open = sorted(mine.exclude(open_until=None).values_list("key", flat=True))
        mine.delete()
        return was_open

    def _locked(self, key: str) -> "Circuit":
        self.bulk_create([Circuit(key=key)], ignore_conflicts=True)  # type: ignore[list-item]
        return self.select_for_update().get(key=key)


class Circuit(models.Model):
    """One provider of one channel. Deleting the row closes its circuit."""

    key = models.CharField(_("provider"), max_length=160, primary_key=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    opened_at = models.DateTimeField(_("opened at"), null=True)
    open_until = models.DateTimeField(_("open until"), null=True)
    seconds = models.FloatField(_("seconds to wait"), default=0)
    probe_until = models.DateTimeField(_("being tried until"), null=True)
    closed_at = models.DateTimeField(_("closed at"), null=True)
    error = models.CharField(_("last error"), max_length=300, blank=True)
    refusal = models.CharField(_("repeated refusal"), max_length=40, blank=True)
    refused = models.JSONField(_("recipients refused alike"), default=list, blank=True)
    success_rate = models.FloatField(_("success rate"), default=1.0)
    response_seconds = models.FloatField(_("response time"), default=0.0)

    objects = CircuitQuerySet.as_manager()

    class Meta:
        verbose_name = _("circuit")
        verbose_name_plural = _("circuits")

    def __str__(self) -> str:
        return self.key

    def count(self, failures: int, error: str, now: datetime, at_once: bool) -> None:
        """Take note of failures in a row. Those that come while it is open were begun before, and change nothing."""
        configured = conf.current()
        self.error = error[:300]
        if self.open_until is not None and self.open_until > now:
            return
        self.failures += failures
        was_open = self.open_until is not None
        if not (was_open or at_once or self.failures >= configured.breaker_failures):
            return
        self.seconds = min(self.seconds * 2 or configured.breaker_seconds, configured.breaker_most_seconds)
        self.opened_at = self.opened_at or now
        self.open_until, self.probe_until = now + timedelta(seconds=self.seconds), None

    @property
    def streak(self) -> Streak:
        return Streak(tuple((code, mark) for code, mark in self.refused))

    def must_forget(self, accepted: bool) -> bool:
        """Whether an answer that is no failure changes what is known; ``accepted``: whether it took a message."""
        return self.failures > 0 or not self.is_closed() or (accepted and bool(self.refusal))

    def is_closed(self) -> bool:
        return self.open_until is None

    def may_be_tried(self, now: datetime) -> bool:
        """Whether it is half open and nobody is trying it."""
        half_open = self.open_until is not None and self.open_until <= now
        return half_open and (self.probe_until is None or self.probe_until < now)

"""Circuits: the health of each provider, shared by all workers.

A closed circuit lets all deliveries through. After ``BREAKER_FAILURES`` failures in a row, the circuit is open and the
provider gets no deliveries. When its time has passed, it is half-open: one worker may send one delivery, the probe. If
the probe succeeds, the circuit closes. If it fails, the circuit stays open for twice as long as before, at most for
``BREAKER_MOST_SECONDS``.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from notifications import conf
from notifications.core.refusals import Streak

HEALTH_WEIGHT = 0.9
"""The weight of the previous health when an answer updates it."""


class CircuitQuerySet(models.QuerySet["Circuit"]):
    def record_failures(
        self, key: str, count: int, error: str, now: datetime, open_immediately: bool = False
    ) -> "Circuit":
        """Count failures in a row and return the updated circuit.

        :param open_immediately: whether to open the circuit regardless of the number of failures.
        """
        with transaction.atomic(using=self.db):
            circuit = self._lock(key)
            circuit.count_failures(count, error, now, open_immediately)
            circuit.save(using=self.db)
        return circuit

    def record_success(self, key: str, now: datetime, accepted: bool = True) -> "Circuit":
        """Reset the failures of a provider that has answered, close its circuit, and return the updated circuit.

        :param accepted: whether the provider accepted a message; only then its equal refusals are reset as well.
        """
        with transaction.atomic(using=self.db):
            circuit = self._lock(key)
            if circuit.open_until is not None:
                circuit.closed_at = now
            circuit.failures, circuit.seconds, circuit.error = 0, 0, ""
            circuit.opened_at = circuit.open_until = circuit.probe_until = None
            if accepted:
                circuit.refusal, circuit.refused = "", []
            circuit.save(using=self.db)
        return circuit

    def record_refusals(self, key: str, streak: Streak) -> "Circuit":
        """Add refused recipients to those that other workers have recorded, and return the updated circuit."""
        with transaction.atomic(using=self.db):
            circuit = self._lock(key)
            circuit.refusal, circuit.refused = streak.code, streak.merge(circuit.streak).refused
            circuit.save(using=self.db, update_fields=["refusal", "refused"])
        return circuit

    def record_answers(self, key: str, answers: Sequence[tuple[bool, float]]) -> "Circuit":
        """Update the health of a provider and return the updated circuit.

        :param answers: for each answer, whether it was good, and the seconds that it took.
        """
        with transaction.atomic(using=self.db):
            circuit = self._lock(key)
            for good, seconds in answers:
                circuit.success_rate = HEALTH_WEIGHT * circuit.success_rate + (1 - HEALTH_WEIGHT) * good
                circuit.response_seconds = HEALTH_WEIGHT * circuit.response_seconds + (1 - HEALTH_WEIGHT) * seconds
            circuit.save(using=self.db, update_fields=["success_rate", "response_seconds"])
        return circuit

    def acquire_probe(self, key: str, now: datetime, until: datetime) -> bool:
        """Return whether the caller may probe a half-open provider."""
        free = models.Q(probe_until=None) | models.Q(probe_until__lt=now)
        return bool(self.filter(free, key=key, open_until__lte=now).update(probe_until=until))

    def close(self, channel: str = "") -> list[str]:
        """Delete the circuits of a channel's providers, or all; return the keys of those that were open."""
        of_channel = models.Q(key=channel) | models.Q(key__startswith=f"{channel}/")
        circuits = self.filter(of_channel) if channel else self.all()
        was_open = sorted(circuits.exclude(open_until=None).values_list("key", flat=True))
        circuits.delete()
        return was_open

    def _lock(self, key: str) -> "Circuit":
        self.bulk_create([Circuit(key=key)], ignore_conflicts=True)  # type: ignore[list-item]
        return self.select_for_update().get(key=key)


class Circuit(models.Model):
    """The circuit of one provider of a channel. Deleting the row closes the circuit."""

    key = models.CharField(_("provider"), max_length=160, primary_key=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    opened_at = models.DateTimeField(_("opened at"), null=True)
    open_until = models.DateTimeField(_("open until"), null=True)
    seconds = models.FloatField(_("seconds to wait"), default=0)
    probe_until = models.DateTimeField(_("probed until"), null=True)
    closed_at = models.DateTimeField(_("closed at"), null=True)
    error = models.CharField(_("last error"), max_length=300, blank=True)
    refusal = models.CharField(_("repeated refusal"), max_length=40, blank=True)
    refused = models.JSONField(_("recipients with the same refusal"), default=list, blank=True)
    success_rate = models.FloatField(_("success rate"), default=1.0)
    response_seconds = models.FloatField(_("response time"), default=0.0)

    objects = CircuitQuerySet.as_manager()

    class Meta:
        verbose_name = _("circuit")
        verbose_name_plural = _("circuits")

    def __str__(self) -> str:
        return self.key

    def count_failures(self, failures: int, error: str, now: datetime, open_immediately: bool) -> None:
        """Count failures in a row and open the circuit after enough of them.

        Failures while it is open belong to attempts that began before; only their error is kept.
        """
        configured = conf.current()
        self.error = error[:300]
        if self.open_until is not None and self.open_until > now:
            return
        self.failures += failures
        was_open = self.open_until is not None
        if not (was_open or open_immediately or self.failures >= configured.breaker_failures):
            return
        self.seconds = min(self.seconds * 2 or configured.breaker_seconds, configured.breaker_most_seconds)
        self.opened_at = self.opened_at or now
        self.open_until, self.probe_until = now + timedelta(seconds=self.seconds), None

    @property
    def streak(self) -> Streak:
        return Streak(tuple((code, recipient) for code, recipient in self.refused))

    def needs_reset(self, accepted: bool) -> bool:
        """Return whether :meth:`CircuitQuerySet.record_success` would change the circuit."""
        return self.failures > 0 or not self.is_closed() or (accepted and bool(self.refusal))

    def is_closed(self) -> bool:
        return self.open_until is None

    def may_be_probed(self, now: datetime) -> bool:
        """Return whether the circuit is half-open and no worker probes the provider."""
        is_half_open = self.open_until is not None and self.open_until <= now
        return is_half_open and (self.probe_until is None or self.probe_until < now)

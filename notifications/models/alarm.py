"""Alarms about the system itself: the state of each cause, and the calls of the hook that are due.

Any number of processes examine the system. Each change is one conditional UPDATE, so only one of them announces it.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from notifications.models.notification import Notification
from notifications.models.unconstrained import UnconstrainedForeignKey

MAX_CAUSE_LENGTH = 100
MAX_TEXT_LENGTH = 500
CALL_LEASE = timedelta(seconds=60)
"""After this time, another process makes a call that has not succeeded."""
CALL_LIFETIME = timedelta(days=1)
"""A hook that has failed for so long gets no more old calls."""
ORDER_KEPT = timedelta(minutes=10)
"""For so long, a call that fails keeps the later ones from being made, so that the hook gets them in their order."""


class AlarmQuerySet(models.QuerySet["Alarm"]):
    def note_bad(self, cause: str, bad_since: datetime, detail: str, remedy: str) -> None:
        """Record that a cause is bad. Its first time counts."""
        texts = {"detail": detail[:MAX_TEXT_LENGTH], "remedy": remedy[:MAX_TEXT_LENGTH]}
        row = Alarm(cause=cause, bad_since=bad_since, **texts)
        self.bulk_create([row], ignore_conflicts=True)  # type: ignore[list-item]
        self.filter(cause=cause).update(good_since=None, **texts)
        self.filter(cause=cause).filter(Q(bad_since=None) | Q(bad_since__gt=bad_since)).update(bad_since=bad_since)

    def note_good(self, cause: str, now: datetime) -> None:
        """Record that a cause is good. Its alarm, if there is one, ends only after a while."""
        self.filter(cause=cause, degraded_at=None).update(bad_since=None)
        # A time in the future is one from before the clock was set back.
        unknown = Q(good_since=None) | Q(good_since__gt=now)
        self.filter(unknown, cause=cause, degraded_at__isnull=False).update(good_since=now)

    def degrade(self, cause: str, now: datetime, bad_for: timedelta) -> bool:
        """Begin the alarm of a cause that has been bad for so long; return whether this call has begun it."""
        waiting = self.filter(cause=cause, degraded_at=None, bad_since__lte=now - bad_for)
        return bool(waiting.update(degraded_at=now, good_since=None, notification=None))

    def recover(self, cause: str, now: datetime, good_for: timedelta) -> bool:
        """End the alarm of a cause that has been good for so long; return whether this call has ended it."""
        degraded = self.filter(cause=cause, degraded_at__isnull=False, good_since__lte=now - good_for)
        return bool(degraded.update(degraded_at=None, bad_since=None, good_since=None))

    def changing(self, now: datetime, bad_for: timedelta, good_for: timedelta) -> "AlarmQuerySet":
        """Return the causes whose alarm may begin or end now, in an order that is the same for all processes."""
        begins = Q(degraded_at=None, bad_since__lte=now - bad_for)
        ends = Q(degraded_at__isnull=False, good_since__lte=now - good_for)
        return self.filter(begins | ends).order_by("cause")

    def degraded(self) -> "AlarmQuerySet":
        """Return the causes of which there is an alarm now, the oldest first."""
        return self.filter(degraded_at__isnull=False).order_by("degraded_at", "cause")


class Alarm(models.Model):
    """A cause: one part of the system that was bad at some time.

    :ivar bad_since: since when it has been bad; None if it is good and there is no alarm.
    :ivar good_since: since when the cause of an alarm has been good again.
    :ivar degraded_at: when the alarm was announced; None if there is none.
    :ivar notification: what has announced it to operators; None if that has reached nobody.
    """

    cause = models.CharField(_("cause"), max_length=MAX_CAUSE_LENGTH, primary_key=True)
    detail = models.CharField(_("detail"), max_length=MAX_TEXT_LENGTH, blank=True)
    remedy = models.CharField(_("remedy"), max_length=MAX_TEXT_LENGTH, blank=True)
    bad_since = models.DateTimeField(_("bad since"), null=True)
    good_since = models.DateTimeField(_("good since"), null=True)
    degraded_at = models.DateTimeField(_("announced at"), null=True)
    notification = UnconstrainedForeignKey(Notification, verbose_name=_("notification"), null=True, db_index=False)

    objects = AlarmQuerySet.as_manager()

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")

    def __str__(self) -> str:
        return self.cause


class HookCallQuerySet(models.QuerySet["HookCall"]):
    def queue(self, payload: Any, now: datetime) -> None:
        """Let a process call the hook soon. It is part of the caller's transaction."""
        self.create(payload=payload, created_at=now, due_at=now)

    def due(self, now: datetime) -> list["HookCall"]:
        """Return the calls that can be made now, the oldest first.

        A call that waits for its next try, or that another process makes, keeps later calls from being made. One that
        has failed for :data:`ORDER_KEPT` does not.
        """
        found: list[HookCall] = []
        for call in self.order_by("pk"):
            if call.is_due(now):
                found.append(call)
            elif call.created_at > now - ORDER_KEPT:
                break
        return found

    def take(self, call: "HookCall", now: datetime) -> bool:
        """Take a due call for a minute; return False if another process has it."""
        return bool(self.filter(pk=call.pk, due_at=call.due_at).update(due_at=now + CALL_LEASE))

    def delete_outdated(self, now: datetime) -> int:
        """Delete the calls that have failed for a day, and return their number."""
        return self.filter(created_at__lt=now - CALL_LIFETIME).delete()[0]


class HookCall(models.Model):
    """A call of the hook of alarms. The row is deleted as soon as the call has succeeded."""

    payload = models.JSONField(_("payload"))
    created_at = models.DateTimeField(_("created at"))
    due_at = models.DateTimeField(_("due at"))

    objects = HookCallQuerySet.as_manager()

    class Meta:
        verbose_name = _("call of the hook")
        verbose_name_plural = _("calls of the hook")

    def __str__(self) -> str:
        return f"#{self.pk}"

    def is_due(self, now: datetime) -> bool:
        """Return whether nobody else makes it, and it need not wait.

        A time that is later than a lease can end is one from before the clock was set back. Another process may have
        read the clock later than the caller, so this allows two leases.
        """
        return not now < self.due_at <= now + 2 * CALL_LEASE


class AlarmTurnQuerySet(models.QuerySet["AlarmTurn"]):
    def take(self, name: str, every: timedelta, now: datetime) -> bool:
        """Return whether it is this caller's turn to do something, which all processes together do once in ``every``.

        A time in the future, after the clock was set back, counts as long ago.
        """
        # The row of a first turn has a time of its own, so that only one of two simultaneous callers changes it.
        long_ago = datetime.min.replace(year=1970, tzinfo=now.tzinfo)
        due = Q(name=name) & (Q(taken_at__lte=now - every) | Q(taken_at__gt=now + every))
        if self.filter(due).update(taken_at=now):
            return True
        if self.filter(name=name).exists():
            return False
        self.bulk_create([AlarmTurn(name=name, taken_at=long_ago)], ignore_conflicts=True)  # type: ignore[list-item]
        return bool(self.filter(due).update(taken_at=now))

    def note(self, name: str, now: datetime) -> None:
        """Record that something was done."""
        self.update_or_create(name=name, defaults={"taken_at": now})

    def is_recent(self, name: str, within: timedelta, now: datetime) -> bool:
        """Return whether something was done or taken within this time."""
        # Another process may have read the clock later.
        return self.filter(name=name, taken_at__range=(now - within, now + within)).exists()


class AlarmTurn(models.Model):
    """When one of the processes last did something that all of them together do once in a while."""

    name = models.CharField(_("name"), max_length=MAX_CAUSE_LENGTH + 20, primary_key=True)
    taken_at = models.DateTimeField(_("taken at"))

    objects = AlarmTurnQuerySet.as_manager()

    class Meta:
        verbose_name = _("turn of the alarm")
        verbose_name_plural = _("turns of the alarm")

    def __str__(self) -> str:
        return self.name

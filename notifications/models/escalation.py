"""Escalations: the policies of staff, the running ones, and their history."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.conf import current
from notifications.events import NOTIFICATION_EVENTS, Escalation, Step, key_of
from notifications.events.escalation import MAX_REPEATS, REPEAT_EVERY, Page, parse_target
from notifications.models.append_only import AppendOnly
from notifications.models.notification import Notification
from notifications.models.unconstrained import UnconstrainedForeignKey


def validate_event_name(value: str) -> None:
    """Refuse a name that no event has."""
    if NOTIFICATION_EVENTS.named(value) is None:
        raise ValidationError(_("No event has this name."), "unknown_event")


class EscalationPolicy(models.Model):
    """What staff have set for an event, in place of the escalation in the code: in one cluster, or in all others."""

    event = models.CharField(_("event"), max_length=100, validators=[validate_event_name])
    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL,
        verbose_name=_("cluster"),
        on_delete=models.CASCADE,
        related_name="+",
        null=True,
        blank=True,
        help_text=_("Leave empty for all clusters that have no policy of their own for the event."),
    )
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("Without the check mark, the event does not escalate.")
    )
    repeat_every = models.DurationField(_("time between repetitions"), default=REPEAT_EVERY)
    acknowledged_for = models.DurationField(
        _("acknowledged for"),
        null=True,
        blank=True,
        help_text=_("The time after which an acknowledged escalation goes on. Leave empty for no end."),
    )
    starts_by_priority = models.BooleanField(
        _("starts by priority"),
        default=False,
        help_text=_("The first step waits as long as the priority says: not at all, 15 minutes or an hour."),
    )

    class Meta:
        verbose_name = _("escalation policy")
        verbose_name_plural = _("escalation policies")
        constraints = [
            models.UniqueConstraint(fields=["event", "cluster"], name="klaxon_escalation_policy"),
            models.UniqueConstraint(
                fields=["event"],
                condition=models.Q(cluster__isnull=True),
                name="klaxon_escalation_policy_all",
                violation_error_message=_("There is a policy of this event for all clusters already."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} ({self.cluster or '*'})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.event = key_of(self.event)
        super().save(*args, **kwargs)

    def build(self, steps: Iterable["EscalationPolicyStep"] | None = None) -> Escalation | None:
        """Return the policy as code declares it; None if the event does not escalate.

        :param steps: by default those in the table.
        :raises ValueError: if the steps do not fit together.
        """
        if not self.enabled:
            return None
        rows = sorted(self.steps.all() if steps is None else steps, key=lambda row: row.after)
        return Escalation(
            tuple(row.build() for row in rows), self.repeat_every, self.acknowledged_for, self.starts_by_priority
        )


class EscalationPolicyStep(models.Model):
    """A step of a policy of staff."""

    policy = models.ForeignKey(
        EscalationPolicy, verbose_name=_("policy"), on_delete=models.CASCADE, related_name="steps"
    )
    after = models.DurationField(_("after"), help_text=_("The time since the notification, such as 00:15:00."))
    targets = models.TextField(
        _("targets"),
        help_text=_(
            "One on each line: a name of ESCALATION_TARGETS, user:ada, role:Supervisors, topic:power, "
            "address:email=office@example.com, rota:surgery or path:module.function."
        ),
    )
    channels = models.CharField(
        _("channels"),
        max_length=300,
        blank=True,
        help_text=_("Names with commas between them. Leave empty for the channels of the event."),
    )
    repeat = models.PositiveSmallIntegerField(_("repeat"), default=0, validators=[MaxValueValidator(MAX_REPEATS)])

    class Meta:
        verbose_name = _("step")
        verbose_name_plural = _("steps")
        ordering = ["after"]

    def __str__(self) -> str:
        return f"{self.after}: {', '.join(self.target_list)}"

    @property
    def target_list(self) -> list[str]:
        return [line.strip() for line in self.targets.splitlines() if line.strip()]

    @property
    def channel_list(self) -> list[str]:
        return [key_of(name) for name in self.channels.split(",") if name.strip()]

    def build(self) -> Step:
        return Step(self.after, self.target_list, self.channel_list, self.repeat)

    def clean(self) -> None:
        try:
            if not [parse_target(text) for text in self.target_list]:
                raise ValidationError({"targets": _("Name a target.")})
        except ValueError as error:
            raise ValidationError({"targets": str(error)}) from error
        for name in self.channel_list:
            if name not in current().enabled_channels:
                raise ValidationError({"channels": _("The channel {name} is not in use.").format(name=name)})


class EscalationRunQuerySet(models.QuerySet["EscalationRun"]):
    def due(self, now: datetime) -> "EscalationRunQuerySet":
        """Return the runs that have something to do, the longest due first."""
        return self.filter(due_at__lte=now).order_by("due_at", "pk")

    def lock_due(self, now: datetime, but: Iterable[int] = ()) -> "EscalationRun | None":
        """Lock and return the longest due run that no other transaction has locked; None if there is none."""
        rows = self.due(now).exclude(pk__in=but).select_for_update(skip_locked=True, of=("self",))
        return rows.select_related("notification", "notification__cluster").first()

    def lock(self, notification_ids: Iterable[int]) -> "list[EscalationRun]":
        """Lock and return the runs of notifications. It waits for transactions that have locked them."""
        rows = self.filter(notification__in=notification_ids).order_by("pk").select_for_update(of=("self",))
        return list(rows.select_related("notification", "notification__cluster"))


class EscalationRun(models.Model):
    """The escalation of one notification, with a copy of the steps as they were when it was sent.

    :ivar pages: the times at which it sends the notification again; each is a list with the fields of
        :class:`~notifications.events.escalation.Page`.
    :ivar position: the index of the next page.
    :ivar base_at: the time that ``after`` of the next pages counts from.
    :ivar due_at: when there is something to do; None if nothing is.
    """

    class State(models.TextChoices):
        ACTIVE = "active", _("active")
        ACKNOWLEDGED = "acknowledged", _("acknowledged")
        RESOLVED = "resolved", _("resolved")
        EXHAUSTED = "exhausted", _("exhausted")
        CANCELLED = "cancelled", _("cancelled")

    notification = models.OneToOneField(
        Notification, verbose_name=_("notification"), on_delete=models.CASCADE, related_name="escalation_run"
    )
    event = models.CharField(_("event"), max_length=100)
    state = models.CharField(_("state"), max_length=20, choices=State.choices, default=State.ACTIVE)
    pages = models.JSONField(_("pages"))
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    repeat_every = models.DurationField(_("time between repetitions"))
    acknowledged_for = models.DurationField(_("acknowledged for"), null=True)
    base_at = models.DateTimeField(_("counts from"))
    due_at = models.DateTimeField(_("due at"), null=True)
    started_at = models.DateTimeField(_("started at"))
    acknowledged_at = models.DateTimeField(_("acknowledged at"), null=True)
    acknowledged_by = UnconstrainedForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("acknowledged by"), null=True, db_index=False
    )
    ended_at = models.DateTimeField(_("ended at"), null=True)

    objects = EscalationRunQuerySet.as_manager()

    class Meta:
        verbose_name = _("escalation")
        verbose_name_plural = _("escalations")
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="klaxon_escalation_due"),
            models.Index(fields=["started_at"], name="klaxon_escalation_started"),
        ]

    def __str__(self) -> str:
        return f"{self.event} #{self.notification_id}"

    @property
    def next_page(self) -> Page | None:
        """The next page; None after the last one."""
        return self.get_page(self.position)

    def get_page(self, position: int) -> Page | None:
        if position >= len(self.pages):
            return None
        after, step, number, targets, channels = self.pages[position]
        return Page(after, step, number, tuple(targets), tuple(channels))

    @property
    def next_after(self) -> timedelta:
        """The time from ``base_at`` to the next page or, after the last one, to the end."""
        if page := self.next_page:
            return timedelta(seconds=page.after)
        return timedelta(seconds=self.pages[-1][0]) + self.repeat_every

    def get_time(self, position: int) -> datetime:
        """Return when a page is due, if nobody acknowledges."""
        return self.base_at + timedelta(seconds=self.pages[position][0])

    def continue_at(self, moment: datetime) -> None:
        """Let the next page be due at a time, and the following ones after it in the same distances."""
        self.base_at, self.due_at = moment - self.next_after, moment

    def end(self, state: str, now: datetime) -> None:
        self.state, self.due_at, self.ended_at = state, None, now

    @property
    def is_over(self) -> bool:
        return self.state in (self.State.RESOLVED, self.State.CANCELLED)


class EscalationEntry(AppendOnly):
    """Something that happened to an escalation. Rows are added and never changed."""

    class Kind(models.TextChoices):
        STARTED = "started", _("started")
        SENT = "sent", _("sent")
        UNREACHABLE = "unreachable", _("reached nobody")
        ACKNOWLEDGED = "acknowledged", _("acknowledged")
        WENT_ON = "went_on", _("went on")
        SNOOZED = "snoozed", _("snoozed")
        HANDED_OVER = "handed_over", _("handed over")
        BY_HAND = "by_hand", _("escalated by hand")
        RESOLVED = "resolved", _("resolved")
        EXHAUSTED = "exhausted", _("exhausted")
        CANCELLED = "cancelled", _("cancelled")

    run = UnconstrainedForeignKey(EscalationRun, verbose_name=_("escalation"), related_name="entries")
    at = models.DateTimeField(_("at"))
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    step = models.PositiveSmallIntegerField(_("step"), null=True)
    targets = models.JSONField(_("targets"), default=list)
    # The notification of a page.
    notification = UnconstrainedForeignKey(Notification, verbose_name=_("notification"), null=True)
    by = UnconstrainedForeignKey(settings.AUTH_USER_MODEL, verbose_name=_("by"), null=True, db_index=False)
    # Of a person without an account, who has used the link in an email.
    by_key = models.CharField(_("recipient key"), max_length=80, blank=True)
    note = models.TextField(_("note"), blank=True)

    class Meta:
        verbose_name = _("entry of an escalation")
        verbose_name_plural = _("entries of escalations")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.run_id}"

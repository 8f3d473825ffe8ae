"""Mutes: topics, events and actors that a user does not want to be notified about."""

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive
from django.utils.translation import gettext_lazy as _

from notifications.core.addresses import user_key
from notifications.core.rules import describe_rule
from notifications.events import key_of
from notifications.models.audit import Audited, AuditedQuerySet
from notifications.models.validation import Fault, Validated, find_unknown
from notifications.outcomes import Rule, RuleKind


class Mute(Validated, Audited):
    """A topic, event or actor that a user has muted in a cluster on all channels. Deleting the row unmutes it."""

    class Kind(models.TextChoices):
        TOPIC = "topic", _("topic")
        EVENT = "event", _("event")
        SENDER = "sender", _("sender")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="notification_mutes"
    )
    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name=_("cluster"), on_delete=models.CASCADE, related_name="+"
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    value = models.CharField(
        _("value"), max_length=200, help_text=_("The topic, the name of the event, or the primary key of the user.")
    )
    until = models.DateTimeField(_("until"), null=True, blank=True, help_text=_("Leave empty to mute permanently."))

    objects = AuditedQuerySet["Mute"].as_manager()

    class Meta:
        verbose_name = _("mute")
        verbose_name_plural = _("mutes")
        base_manager_name = "objects"
        constraints = [models.UniqueConstraint(fields=["user", "cluster", "kind", "value"], name="klaxon_mute_once")]

    def __str__(self) -> str:
        return describe_rule(self.rule)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.value = key_of(self.value)
        super().save(*args, **kwargs)

    def find_unknown_names(self) -> Iterator[Fault]:
        """Yield an error if the event or user does not exist, because the user would never notice it."""
        if self.kind == self.Kind.EVENT:
            yield from find_unknown("value", "event", {key_of(self.value)}, star=False)
        if self.kind == self.Kind.SENDER and not _is_user(self.value.strip()):
            error = ValidationError(_("There is no user with this key."), "unknown_user")
            yield Fault("value", error, key_of(self.value))

    @property
    def subject(self) -> str:
        return user_key(self.user_id)

    @property
    def rule(self) -> Rule:
        """The rule of a gate that drops a delivery because of this mute."""
        kind = RuleKind.MUTED_UNTIL if self.until else RuleKind.MUTED
        return Rule(kind, "user", {"kind": self.kind, "value": self.value}, self.until)

    def matches(self, event: str, topic: str, actor_id: Any, now: datetime) -> bool:
        """Return whether it mutes a notification with this event, topic and actor at this time."""
        if self.until is not None and self.until <= now:
            return False
        subjects = {self.Kind.EVENT.value: event, self.Kind.TOPIC.value: topic, self.Kind.SENDER.value: actor_id}
        subject = subjects.get(self.kind)
        return subject not in (None, "") and key_of(str(subject)) == key_of(self.value)


def _is_user(key: str) -> bool:
    try:
        return get_user_model()._default_manager.filter(pk=key).exists()
    except (ValueError, ValidationError):
        return False


def parse_mute(kind: str, value: str, until: str | None, zone: tzinfo | None) -> Mute:
    """Return an unsaved mute with values from JSON.

    :param zone: the time zone of the database, if its times have none.
    """
    end = parse_datetime(until) if until else None
    return Mute(kind=kind, value=value, until=end and (end.replace(tzinfo=zone) if is_naive(end) else end))

"""The log: one row for each attempt, each drop, each provider event, each time that a person had something sent again;
appended, never changed.

Foreign keys are navigable but bind nothing: a user, a notification or a delivery can be deleted and the row stays as
it was. What could name a person (the masked address, the loggable context) stands in a side row of its own, which can
be erased without touching the log.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import connections, models
from django.utils.translation import gettext_lazy as _

from notifications.addresses import masked
from notifications.context import loggable
from notifications.events import NOTIFICATION_EVENTS
from notifications.models.delivery import Delivery
from notifications.models.notification import Notification
from notifications.outcomes import Reason


class LogQuerySet(models.QuerySet["NotificationLog"]):
    def append(self, rows: Iterable["NotificationLog"]) -> None:
        """Write rows with their personal side rows, in one or two statements however many they are."""
        rows = list(rows)
        if not rows:
            return
        if connections[self.db].vendor == "postgresql":
            _append_by_arrays(rows, self.db)
        else:
            self.bulk_create(rows)  # type: ignore[arg-type]  # the plugin loses the model of as_manager()
            LogPersonal.objects.using(self.db).bulk_create([row.new_personal() for row in rows if row.is_personal])


def _column(field: Any, values: list[Any], connection: Any) -> list[Any]:
    """Values as the database takes them; only keys of a host's models can be of a kind that must be converted."""
    return [field.get_db_prep_save(value, connection) for value in values] if field.is_relation else values


def _append_by_arrays(rows: Sequence["NotificationLog"], using: str) -> None:
    """One statement for both tables: a row for each attempt is half of what a worker writes at all."""
    connection = connections[using]
    fields = [field for field in NotificationLog._meta.concrete_fields if not field.primary_key]
    names = ", ".join(str(field.column) for field in fields)
    types = [*(field.db_type(connection) for field in fields), "text", "text"]
    columns = [_column(field, [getattr(row, field.attname) for row in rows], connection) for field in fields]
    personal = [[row.new_address for row in rows], [json.dumps(row.new_context or {}, default=str) for row in rows]]
    sql = f"""
        WITH given AS MATERIALIZED (
            SELECT nextval(pg_get_serial_sequence('klaxon_notificationlog', 'id')) AS its_id, news.*
            FROM unnest({", ".join(f"%s::{name}[]" for name in types)}) AS news({names}, its_address, its_context)
        ), logged AS (
            INSERT INTO klaxon_notificationlog (id, {names}) SELECT its_id, {names} FROM given
        )
        INSERT INTO klaxon_logpersonal (log_id, address, context_data)
        SELECT its_id, its_address, its_context::jsonb FROM given WHERE its_address <> '' OR its_context <> '{{}}'"""  # noqa: S608 - only our own words are formatted in
    with connection.cursor() as cursor:
        cursor.execute(sql, [*columns, *personal])


class NotificationLog(models.Model):
    """One thing that happened to one recipient on one channel."""

    class Kind(models.TextChoices):
        ATTEMPT = "attempt", _("attempt")
        DROP = "drop", _("drop")
        PROVIDER_EVENT = "provider_event", _("provider event")
        RESENT = "resent", _("sent again")

    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL,
        verbose_name=_("cluster"),
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    event = models.CharField(_("event"), max_length=100)
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("recipient"),
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        related_name="+",
    )
    recipient_key = models.CharField(_("recipient key"), max_length=80)
    notification = models.ForeignKey(
        Notification,
        verbose_name=_("notification"),
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        related_name="+",
    )
    delivery = models.ForeignKey(
        Delivery,
        verbose_name=_("delivery"),
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        related_name="+",
    )
    channel = models.CharField(_("channel"), max_length=50)
    success = models.BooleanField(_("success"), default=False)
    reason = models.CharField(_("reason"), max_length=40, choices=Reason.choices, blank=True)
    error_message = models.TextField(_("error message"), blank=True)
    provider = models.CharField(_("provider"), max_length=100, blank=True)
    provider_message_id = models.CharField(_("provider message id"), max_length=255, blank=True)
    attempt = models.PositiveIntegerField(_("attempt"), null=True)
    epoch = models.PositiveIntegerField(_("epoch"), null=True)
    duration = models.FloatField(_("duration"), null=True, help_text=_("Seconds that the provider took to answer."))
    correlation_id = models.CharField(_("correlation id"), max_length=100, blank=True)
    sent_at = models.DateTimeField(_("sent at"))

    objects = LogQuerySet.as_manager()

    # Set by the writer, stored in the side row by append().
    new_address: str = ""
    new_context: dict[str, Any] | None = None

    class Meta:
        verbose_name = _("log entry")
        verbose_name_plural = _("log entries")
        indexes = [
            models.Index(fields=["cluster", "sent_at"], name="klaxon_log_cluster"),
            models.Index(fields=["sent_at"], name="klaxon_log_sent_at"),
            models.Index(fields=["correlation_id"], name="klaxon_log_correlation"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.event} {self.channel}"

    @classmethod
    def about(cls, notification: Notification, kind: str, now: datetime, address: str = "", **facts: Any) -> Self:
        """A row, not yet written, on something that became of a notification; ``address`` is masked here."""
        row = cls(
            kind=kind,
            cluster_id=notification.cluster_id,
            event=notification.event,
            notification_id=notification.pk,
            correlation_id=notification.correlation_id,
            sent_at=now,
            **facts,
        )
        event = NOTIFICATION_EVENTS.named(notification.event)
        row.new_address = masked(address)
        row.new_context = loggable(event, notification.context) if event else {}
        return row

    @classmethod
    def of(cls, delivery: Delivery, kind: str, now: datetime, **facts: Any) -> Self:
        """The same, on something that became of one delivery."""
        return cls.about(
            delivery.notification,
            kind,
            now,
            delivery.address,
            recipient_id=delivery.recipient_id,
            recipient_key=delivery.recipient_key,
            delivery_id=delivery.pk,
            channel=delivery.channel,
            attempt=delivery.attempts,
            epoch=delivery.epoch,
            **facts,
        )

    @property
    def is_personal(self) -> bool:
        return bool(self.new_address or self.new_context)

    def new_personal(self) -> "LogPersonal":
        """The side row, not yet written."""
        return LogPersonal(log=self, address=self.new_address, context_data=self.new_context or {})

    @property
    def address(self) -> str:
        """The masked address, or nothing once it was erased."""
        personal = getattr(self, "personal", None)
        return personal.address if personal else ""

    @property
    def context_data(self) -> dict[str, Any]:
        """The loggable part of the context, or nothing once it was erased."""
        personal = getattr(self, "personal", None)
        return personal.context_data if personal else {}


class LogPersonal(models.Model):
    """The erasable side of a log row."""

    log = models.OneToOneField(
        NotificationLog,
        verbose_name=_("log entry"),
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="personal",
    )
    address = models.CharField(_("masked address"), max_length=255, blank=True)
    context_data = models.JSONField(_("context data"), default=dict, blank=True)

    class Meta:
        verbose_name = _("personal part of a log entry")
        verbose_name_plural = _("personal parts of log entries")

    def __str__(self) -> str:
        return self.address

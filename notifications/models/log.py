"""The log: one row for each attempt, drop, resend and note. Rows are added and never changed.

Foreign keys can be followed but have no constraint: a user, a notification or a delivery can be deleted, and the row
stays unchanged. Values that can identify a person (the masked address, the loggable context) are in a separate table,
so that they can be erased without changing the log.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models.base import ModelState
from django.utils.translation import gettext_lazy as _

from notifications.context import select_loggable
from notifications.core.addresses import describe_fault, mask_address
from notifications.events import NOTIFICATION_EVENTS
from notifications.models.append_only import AppendOnly, AppendOnlyQuerySet
from notifications.models.delivery import Delivery
from notifications.models.figure import BAND_NAMES
from notifications.models.notification import Notification
from notifications.models.unconstrained import UnconstrainedForeignKey
from notifications.outcomes import Reason
from notifications.storage.insert import insert_log_rows


class LogQuerySet(AppendOnlyQuerySet["NotificationLog"]):
    def append(self, rows: Iterable["NotificationLog"]) -> None:
        """Insert any number of rows, personal parts and figures: one statement on PostgreSQL, a few on SQLite."""
        insert_log_rows(self.db, list(rows))

    def filter(self, *conditions: Any, **lookups: Any) -> Self:
        """Filter as Django does; ``address`` and ``context_data`` of the personal part can be used as well."""
        expanded = dict(map(expand_personal_lookup, lookups.items()))
        return super().filter(*map(expand_personal_lookup, conditions), **expanded)

    def exclude(self, *conditions: Any, **lookups: Any) -> Self:
        """Exclude as Django does; ``address`` and ``context_data`` of the personal part can be used as well."""
        expanded = dict(map(expand_personal_lookup, lookups.items()))
        return super().exclude(*map(expand_personal_lookup, conditions), **expanded)


def expand_personal_lookup(condition: Any) -> Any:
    """Return a condition, or a pair of lookup and value, in which columns of the personal part have their full path."""
    if isinstance(condition, models.Q):
        copy = condition.copy()
        copy.children = [*map(expand_personal_lookup, condition.children)]
        return copy
    if isinstance(condition, tuple) and condition[0].partition("__")[0] in ("address", "context_data"):
        return f"personal__{condition[0]}", condition[1]
    return condition


@cache
def _get_defaults(model: type[models.Model]) -> dict[str, Any]:
    """Return the default of each column."""
    return {field.attname: field.get_default() for field in model._meta.concrete_fields}


class NotificationLog(AppendOnly):
    """An attempt, a drop or another event that concerns one recipient on one channel."""

    class Kind(models.TextChoices):
        ATTEMPT = "attempt", _("attempt")
        DROP = "drop", _("drop")
        # Reserved for events that a provider reports later, such as a bounce. Nothing writes it yet.
        PROVIDER_EVENT = "provider_event", _("provider event")
        RESENT = "resent", _("sent again")
        NOTE = "note", _("note")

    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    cluster = UnconstrainedForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL,
        verbose_name=_("cluster"),
        null=True,
        db_index=False,
        related_name="notification_logs",
    )
    event = models.CharField(_("event"), max_length=100)
    recipient = UnconstrainedForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("recipient"),
        null=True,
        related_name="received_notifications",
    )
    recipient_key = models.CharField(_("recipient key"), max_length=80)
    notification = UnconstrainedForeignKey(
        Notification,
        verbose_name=_("notification"),
        null=True,
    )
    delivery = UnconstrainedForeignKey(
        Delivery,
        verbose_name=_("delivery"),
        null=True,
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

    objects = LogQuerySet.as_manager()  # type: ignore[misc]

    # append() counts the row in this band and, if it is a sent message, with these seconds of latency.
    band: str = BAND_NAMES[0]
    latency: float = 0.0
    # Set by the caller; append() stores them in the personal part.
    new_address: str = ""
    new_context: dict[str, Any] | None = None

    class Meta:
        verbose_name = _("log entry")
        verbose_name_plural = _("log entries")
        # `user.received_notifications.add()` uses it; Django's base manager would let it change rows.
        base_manager_name = "objects"
        indexes = [
            models.Index(fields=["cluster", "sent_at"], name="klaxon_log_cluster"),
            models.Index(fields=["sent_at"], name="klaxon_log_sent_at"),
            models.Index(fields=["correlation_id"], name="klaxon_log_correlation"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.event} {self.channel}"

    @classmethod
    def for_notification(
        cls, notification: Notification, kind: str, now: datetime, address: str = "", **fields: Any
    ) -> Self:
        """Return an unsaved row about a notification; ``address`` is masked here.

        It does not call the model's ``__init__()``, because a worker makes a row for each attempt.

        :param fields: more columns; a foreign key by its id, such as ``recipient_id``.
        """
        row = cls.__new__(cls)
        row.__dict__.update(
            _get_defaults(cls),
            _state=ModelState(),
            kind=kind,
            cluster_id=notification.cluster_id,
            event=notification.event,
            notification_id=notification.pk,
            correlation_id=str(notification.correlation_id),
            sent_at=now,
            band=BAND_NAMES[notification.priority - 1],
            **fields,
        )
        event = NOTIFICATION_EVENTS.named(notification.event)
        row.new_address = mask_address(address)
        row.new_context = select_loggable(event, notification.context) if event and event.loggable else {}
        return row

    @classmethod
    def for_delivery(cls, delivery: Delivery, kind: str, now: datetime, **fields: Any) -> Self:
        """Return an unsaved row about a delivery."""
        return cls.for_notification(
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
            **fields,
        )

    @classmethod
    def for_rejected_address(
        cls, notification: Notification, now: datetime, address: str, kind: str, channel: str, key: str, **fields: Any
    ) -> Self:
        """Return an unsaved note that an address in a user's settings is unusable, so that the account's is used.

        :param kind: the kind of address, such as ``"email"``.
        :param key: the recipient key.
        """
        return cls.for_notification(
            notification,
            cls.Kind.NOTE,
            now,
            address,
            channel=channel,
            recipient_key=key,
            reason=Reason.ACCOUNT_ADDRESS,
            error_message=f"the {kind} address in the settings is {describe_fault(kind, address)}",
            **fields,
        )

    def copy_for(self, address: str, **fields: Any) -> Self:
        """Return a copy for another recipient.

        It does not call the model's ``__init__()``, because a send may drop thousands of recipients.
        """
        row = type(self).__new__(type(self))
        row.__dict__.update(self.__dict__, _state=ModelState(), new_address=mask_address(address), **fields)
        return row

    @property
    def address(self) -> str:
        """The masked address, or an empty text after it was erased."""
        personal = getattr(self, "personal", None)
        return personal.address if personal else ""

    @property
    def context_data(self) -> dict[str, Any]:
        """The loggable part of the context, or an empty dict after it was erased."""
        personal = getattr(self, "personal", None)
        return personal.context_data if personal else {}


class LogPersonal(AppendOnly):
    """The personal part of a log row, which can be erased within ``allow_log_changes("erase")``."""

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
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.address

"""Notifications: one row for each ``send()``, regardless of the number of recipients."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import connections, models, transaction
from django.db.models.base import ModelState
from django.utils.translation import gettext_lazy as _

from notifications import signals
from notifications.context import decoded, decrypt_context, is_encrypted
from notifications.core.databases import get_current_partition, read_as_routed
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority
from notifications.models.cluster import get_cluster_model
from notifications.models.unconstrained import UnconstrainedForeignKey


class Notification(models.Model):
    """One call of ``send()``: the event, the cluster and the context, with the options that apply to all deliveries.

    It can also be a digest or batch: then ``digest_kind`` contains its kind, and ``merged_into`` of each item is its
    delivery.
    """

    class DigestKind(models.TextChoices):
        BATCH = "batch", _("batch")
        DAILY = "daily", _("daily digest")
        WEEKLY = "weekly", _("weekly digest")

    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL,
        verbose_name=_("cluster"),
        on_delete=models.CASCADE,
        related_name="+",
    )
    event = models.CharField(_("event"), max_length=100)
    priority = models.PositiveSmallIntegerField(
        _("priority"), choices=[(item.value, item.name.lower()) for item in NotificationPriority]
    )
    context = models.JSONField(_("context"), default=dict, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("actor"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    topic = models.CharField(_("topic"), max_length=200, blank=True)
    campaign = models.CharField(_("campaign"), max_length=200, blank=True)
    correlation_id = models.CharField(_("correlation id"), max_length=100, default=uuid4, db_index=True)
    # For a digest or batch, the total of its items. If it is 0, the table of attachments is not read.
    attachment_bytes = models.PositiveIntegerField(_("size of attachments"), default=0)
    digest_kind = models.CharField(_("kind of digest"), max_length=10, choices=DigestKind.choices, blank=True)
    created_at = models.DateTimeField(_("created at"), db_index=True)
    send_at = models.DateTimeField(_("send at"), null=True, blank=True)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    cancel_key = models.CharField(_("cancel key"), max_length=200, null=True, blank=True)
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True, blank=True)
    idempotency_key = models.CharField(_("idempotency key"), max_length=200, null=True, blank=True)
    idempotency_hash = models.CharField(_("idempotency hash"), max_length=64, blank=True)
    # The span of send() as in W3C Trace Context, which the spans of its deliveries link to.
    traceparent = models.CharField(_("trace parent"), max_length=55, null=True, blank=True, editable=False)
    # No constraint, so that deleting notifications does not search for those that escalate them.
    escalates = UnconstrainedForeignKey("self", verbose_name=_("escalates"), null=True, blank=True, db_index=False)

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        permissions = [("send_notification", _("Can send notifications through the HTTP API"))]
        constraints = [
            models.UniqueConstraint(
                fields=["cluster", "event", "idempotency_key"], name="klaxon_notification_idempotency"
            ),
        ]
        indexes = [
            models.Index(
                # This order, because the admin searches for a key in all clusters.
                fields=["cancel_key", "cluster"],
                condition=models.Q(cancel_key__isnull=False),
                name="klaxon_notification_cancel",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} #{self.pk}"

    @property
    def wanted_at(self) -> datetime:
        """The time when it should be sent: ``send_at`` if that is later than ``created_at``."""
        return max(self.created_at, self.send_at or self.created_at)

    @property
    def has_own_time(self) -> bool:
        """Whether ``send_at`` was in the future when it was created."""
        return self.send_at is not None and self.send_at > self.created_at

    @property
    def declared_event(self) -> NotificationEvent | None:
        """The event as it is sent: that of an escalation passes what people can turn off. None if it is unknown."""
        event = NOTIFICATION_EVENTS.named(self.event)
        return event.escalated if event is not None and self.escalates_id is not None else event

    @property
    def values(self) -> dict[str, Any]:
        """The context with dates, decimals, UUIDs and lazy translations restored from JSON.

        :raises DecryptionFailed: if the context is encrypted, and the site does not have the key.
        """
        return decoded(decrypt_context(self.context))

    @property
    def log_ids(self) -> dict[str, Any]:
        """What a line of the log says about it, as ``extra``."""
        return {"correlation_id": str(self.correlation_id), "notification_id": self.pk, "event": self.event}

    @property
    def is_sensitive(self) -> bool:
        """Whether the content may only be shown in the app.

        An encrypted context stays sensitive if its event is no longer declared as sensitive.
        """
        event = NOTIFICATION_EVENTS.named(self.event)
        return (event is not None and event.sensitive) or is_encrypted(self.context)


def load_notifications(ids: Collection[int], using: str) -> dict[int, Notification]:
    """Return notifications with their clusters, by primary key. It takes one query, or none without ids.

    A backlog may have a notification for each of its deliveries. So the function does not call the model's
    ``__init__()``, and notifications of the same cluster share its object.
    """
    if not ids:
        return {}
    cluster_model = get_cluster_model()
    names = [field.attname for field in Notification._meta.concrete_fields]
    cluster_names = [field.attname for field in cluster_model._meta.concrete_fields]
    columns = [*names, *(f"cluster__{name}" for name in cluster_names)]
    found: dict[int, Notification] = {}
    clusters: dict[Any, models.Model] = {}
    for values in Notification.objects.using(using).filter(pk__in=ids).values_list(*columns):
        row = Notification.__new__(Notification)
        row.__dict__.update(zip(names, values, strict=False), _state=ModelState())
        row._state.db, row._state.adding = using, False
        cluster = clusters.get(row.cluster_id)
        if cluster is None:
            cluster = clusters[row.cluster_id] = cluster_model.from_db(using, cluster_names, values[len(names) :])
        row._state.fields_cache["cluster"] = cluster
        found[row.pk] = row
    return found


class Commit:
    """The commit of one transaction. All signals of the transaction have the same instance."""

    has_happened = False


@dataclass(frozen=True)
class QueuedNotifications:
    """The notifications that one call has queued."""

    partition: str
    notification_ids: tuple[int, ...]
    commit: Commit

    @read_as_routed()
    def send_signal(self) -> None:
        """Send ``notifications_queued``."""
        self.commit.has_happened = True
        signals.notifications_queued.send_robust(
            sender=Notification,
            partition=self.partition,
            notification_ids=self.notification_ids,
            commit=self.commit,
        )


def send_signal_on_commit(notification_ids: Iterable[int], using: str) -> None:
    """Send ``notifications_queued`` after the outermost commit, unless it is rolled back, even to a savepoint."""
    connection: Any = connections[using]
    commit: Commit | None = getattr(connection, "klaxon_commit", None)
    # After a rollback, the instance has not been used in a signal, so the next transaction uses it.
    if commit is None or commit.has_happened:
        commit = connection.klaxon_commit = Commit()
    queued = QueuedNotifications(get_current_partition(), tuple(notification_ids), commit)
    transaction.on_commit(queued.send_signal, using=using, robust=True)

"""What Klaxon holds about a person: for each table, which rows are theirs, and which rows only mention them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models, router
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from notifications.models import (
    Acknowledgement,
    AddressConfirmation,
    APIKey,
    AttachedFile,
    CanAlert,
    CanFault,
    Delivery,
    Device,
    EscalationEntry,
    EscalationRun,
    Fingerprint,
    IdempotentRequest,
    InboxFeed,
    InboxItem,
    LiveMessage,
    LogPersonal,
    MagicLink,
    Mute,
    Notification,
    NotificationLog,
    Pause,
    PreferenceChange,
    Presence,
    PushSubscription,
    RotaMember,
    RotaOverride,
    StaffTemplateVersion,
    Suppression,
    TimeOff,
    TopicSubscription,
    TrackedLink,
    TrackingEvent,
    UserSettings,
    WebhookAttempt,
    WebhookEndpoint,
)
from notifications.monitoring.privacy.person import Person
from notifications.storage.chunks import iterate_in_chunks

Find = Callable[[Person], Q]


def _of_user(name: str) -> Find:
    return lambda person: Q(**{name: person.user.pk}) if person.user is not None else Q(pk__in=[])


def _of_recipient(prefix: str = "") -> Find:
    """Return the condition of the rows of a recipient: by the user, or by the keys of the addresses."""

    def find(person: Person) -> Q:
        mine = Q(**{f"{prefix}recipient_key__in": person.keys})
        return mine | Q(**{f"{prefix}recipient": person.user.pk}) if person.user is not None else mine

    return find


def _of_deliveries(person: Person) -> Q:
    """Return the condition of the deliveries to a person, also to their addresses by another key.

    Another account can have one of the addresses too, and its deliveries are its own.
    """
    by_address = Q(address_hash__in=person.address_hashes) & ~Q(address="") & ~Q(recipient__in=list(person.others))
    return _of_recipient()(person) | by_address


def _of_suppressions(person: Person) -> Q:
    return Q(address_hash__in=person.address_hashes)


def _of_changes(person: Person) -> Q:
    return Q(subject__in=person.keys) & ~Q(table="person")


def _by_delivery(name: str) -> Find:
    """Return the condition of rows about the deliveries to a person."""

    def find(person: Person) -> Q:
        rows = Delivery.objects.using(router.db_for_write(Delivery)).filter(_of_deliveries(person))
        return Q(**{f"{name}__in": rows.values("pk")})

    return find


@dataclass(frozen=True)
class Holding:
    """The rows of one table that belong to a person.

    :param without: columns that an export leaves out, because they are secrets of Klaxon, not data about the person.
    """

    model: Any
    find: Find
    without: tuple[str, ...] = ()

    @property
    def using(self) -> str:
        return router.db_for_write(self.model)

    def rows(self, person: Person) -> models.QuerySet[Any]:
        # The plain queryset: that of append-only tables expands conditions.
        return models.QuerySet(self.model, using=self.using).filter(self.find(person)).order_by("pk")


HOLDINGS: tuple[Holding, ...] = (
    Holding(Delivery, _of_deliveries),
    Holding(NotificationLog, _of_recipient()),
    Holding(LogPersonal, _of_recipient("log__")),
    Holding(InboxItem, _of_user("recipient")),
    Holding(InboxFeed, _of_user("user")),
    Holding(Acknowledgement, _of_user("user")),
    Holding(TrackingEvent, _by_delivery("delivery")),
    Holding(UserSettings, _of_user("user")),
    Holding(PreferenceChange, _of_changes),
    Holding(Mute, _of_user("user")),
    Holding(TopicSubscription, _of_user("user")),
    Holding(AddressConfirmation, _of_user("user")),
    Holding(PushSubscription, _of_user("user"), ("p256dh", "auth")),
    Holding(Device, _of_user("user")),
    Holding(MagicLink, _of_user("user"), ("link_hash",)),
    Holding(APIKey, _of_user("user"), ("token_hash",)),
    Holding(LiveMessage, _of_user("user")),
    Holding(Presence, _of_user("user")),
    Holding(RotaMember, _of_user("user")),
    Holding(RotaOverride, _of_user("user")),
    Holding(TimeOff, _of_user("user")),
    Holding(Suppression, _of_suppressions),
    Holding(Fingerprint, lambda person: Q(recipient_key__in=person.keys)),
    Holding(
        EscalationEntry,
        lambda person: _of_user("by")(person) | Q(by_key__in=person.keys),
        # They are whom else it was sent to.
        ("targets",),
    ),
)
"""The tables with rows that belong to a person."""

AUTHORS: tuple[tuple[Any, str], ...] = (
    (Notification, "actor"),
    (InboxItem, "actor"),
    (EscalationRun, "acknowledged_by"),
    (CanFault, "acknowledged_by"),
    (CanAlert, "acknowledged_by"),
    (Suppression, "lifted_by"),
    (WebhookEndpoint, "owner"),
    (PreferenceChange, "by"),
    (StaffTemplateVersion, "author"),
)
"""Columns in rows of others that refer to a user who has done something."""

MENTIONS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (Notification, ("context", "topic", "campaign", "correlation_id", "cancel_key", "idempotency_key")),
    (AttachedFile, ("name",)),
    (NotificationLog, ("error_message", "provider_message_id", "correlation_id")),
    (LogPersonal, ("address", "context_data")),
    (InboxItem, ("title", "body", "url", "actor_name", "group_key", "topic")),
    (EscalationRun, ("pages",)),
    (EscalationEntry, ("targets", "note")),
    (PreferenceChange, ("before", "after")),
    (TrackingEvent, ("detail", "provider_message_id")),
    (TrackedLink, ("url",)),
    (Suppression, ("address", "detail", "lift_note")),
    (WebhookEndpoint, ("description",)),
    (WebhookAttempt, ("url", "request_headers", "request_body", "response_headers", "response_body", "error")),
    (IdempotentRequest, ("body",)),
    (LiveMessage, ("content",)),
    (RotaOverride, ("note",)),
    (TimeOff, ("note",)),
    (Pause, ("note",)),
    (StaffTemplateVersion, ("subject", "html", "inlined_html", "text", "short", "fault", "comment")),
)
"""Columns with texts that can mention a person, in any row."""


def find_mentions(person: Person, model: Any, columns: tuple[str, ...]) -> Iterator[Any]:
    """Yield the rows of a table with a text that mentions a person. It reads the whole table, in pages."""
    if not person.needles:
        return
    rows: Any = models.QuerySet(model, using=router.db_for_write(model))
    texts = {f"{name}_text": Cast(name, TextField()) for name in columns}
    condition = Q()
    for name in texts:
        for spelling in person.iterate_spellings():
            condition |= Q(**{f"{name}__icontains": spelling})
    found = rows.annotate(**texts).filter(condition)
    keys = [pk for (pk,) in iterate_in_chunks(found, "pk")]
    for start in range(0, len(keys), 200):
        yield from rows.filter(pk__in=keys[start : start + 200]).order_by("pk")

"""Validate the arguments of ``send()``, without a query, and return them as a request."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import uuid4

from django.utils import timezone
from django.utils.crypto import salted_hmac

from notifications import conf
from notifications.attachments import Attachment, get_total_size, validate_attachments
from notifications.context import UNSTORABLE, decoded, encoded, encrypt_context, make_comparable, validated
from notifications.core.encryption import check_encryption
from notifications.core.tracing import make_traceparent
from notifications.events import (
    BANDS,
    DIGESTS,
    LEVELS,
    NOTIFICATION_EVENTS,
    NotificationEvent,
    NotificationPriority,
    key_of,
)
from notifications.exceptions import InvalidCluster, InvalidOption
from notifications.models import Cluster, Notification, cluster_or_default, get_cluster_model
from notifications.recipients import Topic, channel_names
from notifications.sending.options import SendOptions
from notifications.sending.permission import check_actor_given, check_is_user

context_logger = logging.getLogger("notifications.context")
score_logger = logging.getLogger("notifications.score")

# The kind of digest by the name of its event. Without items, a digest is sent like any other event.
DIGEST_KIND_BY_EVENT = {event.value: kind for kind, event in DIGESTS.items()}
FINGERPRINT_SALT = "notifications.idempotency"
TEXT_OPTIONS = ("idempotency_key", "topic", "campaign", "correlation_id", "cancel_key")
TIME_OPTIONS = ("send_at", "expires_at")
VALID_YEARS = range(1970, 9000)


@dataclass(frozen=True)
class StoredOptions:
    """The validated :class:`~notifications.sending.options.SendOptions` that are stored with the notification."""

    send_at: datetime | None = None
    expires_at: datetime | None = None
    idempotency_key: str = ""
    actor: Any = None
    topic: str = ""
    campaign: str = ""
    correlation_id: str = ""
    cancel_key: str = ""
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True)
class Request:
    """A validated call.

    :param cluster: None for the default cluster, until a transaction has begun.
    :param not_configured: channels of the call that are not configured or not enabled.
    :param refused_channels: those of them that the call names.
    :param requested_at: the time of the call, if it was spooled; None for a call that is queued at once.
    :param has_dedup_keys: whether the context has all deduplication keys of the event.
    :param problems: what is wrong with the context, if the event is sent anyway.
    :param is_sensitive: whether the context is stored encrypted.
    :param escalates_id: the key of the notification that this one escalates.
    """

    event: NotificationEvent
    cluster: Any
    context: dict[str, Any]
    options: StoredOptions
    channels: tuple[str, ...]
    not_configured: tuple[str, ...]
    refused_channels: tuple[str, ...]
    priority: NotificationPriority
    score: int
    requested_at: datetime | None = None
    has_dedup_keys: bool = True
    problems: tuple[str, ...] = ()
    is_sensitive: bool = False
    escalates_id: int | None = None

    @property
    def stored_context(self) -> dict[str, Any]:
        """The context as it is written to the database or the spool: encrypted if it is sensitive."""
        return encrypt_context(self.context) if self.is_sensitive else self.context

    def with_cluster(self) -> "Request":
        """Return the request with its cluster. The default cluster is read from the database."""
        return replace(self, cluster=cluster_or_default(self.cluster))

    def build_notification(self, now: Any) -> Notification:
        """Return the row to insert. Without ``now`` it has no ``created_at``."""
        options = self.options
        return Notification(
            cluster=self.cluster,
            event=self.event.name,
            priority=self.priority,
            context=self.stored_context,
            digest_kind=DIGEST_KIND_BY_EVENT.get(self.event.name, ""),
            actor=None if getattr(options.actor, "is_anonymous", False) else options.actor,
            topic=options.topic,
            campaign=options.campaign,
            correlation_id=options.correlation_id or str(uuid4()),
            attachment_bytes=get_total_size(options.attachments) if options.attachments else 0,
            escalates_id=self.escalates_id,
            created_at=now and min(self.requested_at or now, now),
            send_at=options.send_at,
            expires_at=options.expires_at,
            cancel_key=options.cancel_key or None,
            idempotency_key=options.idempotency_key or None,
            idempotency_hash=self.fingerprint if options.idempotency_key else "",
            traceparent=make_traceparent(),
        )

    @property
    def fingerprint(self) -> str:
        """A hash of event, context, options and attachments. Calls with the same idempotency key must agree in it."""
        options = self.options
        payload = [
            self.event.name,
            make_comparable(self.context),
            sorted({*self.channels, *self.not_configured}),
            int(self.priority),
            options.topic,
            options.campaign,
        ]
        times = [make_comparable(encoded(time)) for time in (options.send_at, options.expires_at)]
        # Without the MIME types, because another machine may guess them differently.
        files = [[one.name, hashlib.sha256(one.content).hexdigest()] for one in options.attachments]
        text = json.dumps([*payload, *times, options.cancel_key, *files], sort_keys=True)
        if self.is_sensitive:
            # The hash is stored. Without a secret, one could try the possible values of a short code.
            return salted_hmac(FINGERPRINT_SALT, text, algorithm="sha256").hexdigest()
        return hashlib.sha256(text.encode()).hexdigest()


def validate_request(
    event_name: Enum | str, cluster: Any, context: Mapping[str, Any] | None, options: SendOptions
) -> Request:
    """Validate the arguments of a call and return it as a request. Log what is wrong with the context.

    :raises UnknownEvent: if the event is not registered.
    :raises InvalidCluster: if the cluster is missing, unsaved or of another model.
    :raises InvalidContext: if the context is not what the event declares.
    :raises InvalidOption: if an option cannot work.
    :raises NotPermitted: if the event needs an actor with a permission, and there is none.
    """
    event = NOTIFICATION_EVENTS.find(event_name)
    if event.permission or conf.current().critical_message_permission:
        check_actor_given(event, options.get("actor"))
    request = build_request(event, cluster, context, options)
    for problem in request.problems:
        context_logger.error("Event %r is sent with a wrong context. %s", request.event.name, problem)
    return request


def build_request(
    event: NotificationEvent, cluster: Any, context: Mapping[str, Any] | None, options: SendOptions
) -> Request:
    """Do the same as :func:`validate_request`, but neither require an actor nor log anything."""
    if options.get("actor") is not None:
        check_is_user("actor", options["actor"])
    # Before the context, because a caller may have passed the context as the cluster.
    cluster = validate_cluster(cluster)
    requested_channels = options.get("channels")
    names = event.channels if requested_channels is None else _narrow_channels(event, requested_channels)
    enabled, missing = conf.current().enabled_channels, []
    for name in names:
        if name not in enabled:
            missing.append(name)
    priority = event.priority
    if options.get("level") is not None or options.get("priority") is not None:
        priority = _resolve_priority(event, options)
    if event.sensitive:
        _check_sensitive(event, options)
    checked = validated(event, context)
    return Request(
        event=event,
        cluster=cluster,
        context=checked.stored,
        options=_normalize_options(options),
        channels=tuple(name for name in names if name in enabled) if missing else names,
        not_configured=tuple(missing),
        refused_channels=tuple(missing) if requested_channels is not None else (),
        priority=priority,
        score=calculate_score(event, priority, checked.stored),
        has_dedup_keys=checked.has_dedup_keys,
        problems=checked.problems,
        is_sensitive=event.sensitive,
    )


def _narrow_channels(event: NotificationEvent, channels: Iterable[Enum | str]) -> tuple[str, ...]:
    names = channel_names(channels)
    unsupported = [name for name in names if name not in event.channels]
    if unsupported:
        raise InvalidOption(
            f"channels may only narrow what event {event.name!r} supports ({', '.join(event.channels)}); "
            f"it does not support {', '.join(unsupported)}."
        )
    return names


def validate_cluster(cluster: Any) -> Any:
    """Return the cluster, or None for the default cluster of a site that keeps Klaxon's cluster model.

    :raises InvalidCluster: if it is missing, unsaved or of another model than ``NOTIFICATIONS_CLUSTER_MODEL``.
    """
    model = get_cluster_model()
    if cluster is None and model is Cluster:
        return None
    if not isinstance(cluster, model):
        hint = (
            "Write context=… if it is the context."
            if isinstance(cluster, Mapping)
            else f"Pass a saved one, such as {model.__name__}.objects.get(…)."
        )
        raise InvalidCluster(f"cluster must be a {model.__name__}, not {cluster!r:.80}. {hint}")
    if cluster.pk is None:
        raise InvalidCluster(f"The cluster {cluster!r:.80} is not saved yet. Save it first.")
    return cluster


def _check_sensitive(event: NotificationEvent, options: SendOptions) -> None:
    """Check that a sensitive event can be stored.

    :raises EncryptionUnavailable, MissingExtra: if the context cannot be encrypted.
    :raises InvalidOption: if the call has attachments.
    """
    check_encryption()
    if options.get("attachments"):
        raise InvalidOption(
            f"The event {event.name!r} is sensitive, so it cannot have attachments. Put a link to a page behind log-in "
            "into its context."
        )


def _resolve_priority(event: NotificationEvent, options: SendOptions) -> NotificationPriority:
    level, priority = options.get("level"), options.get("priority")
    if level is not None and priority is not None:
        raise InvalidOption("Give level or priority, not both.")
    requested = event.priority
    if level is not None:
        if not isinstance(level, str) or level not in LEVELS:
            raise InvalidOption(f"level must be one of {', '.join(LEVELS)}, not {level!r}.")
        requested = LEVELS[level]
    elif priority is not None:
        # True is equal to 1, but is not meant as a number.
        if isinstance(priority, bool) or priority not in list(NotificationPriority):
            raise InvalidOption(f"priority must be a NotificationPriority, not {priority!r}.")
        requested = NotificationPriority(priority)
    return event.priority if event.priority == NotificationPriority.CRITICAL else requested


def _normalize_options(options: SendOptions) -> StoredOptions:
    """Return the options as they are stored. Naive times are in the current time zone.

    :raises InvalidOption: if a text does not fit its column, a time cannot be right or an attachment is too large.
    """
    stored: dict[str, Any] = {}
    given: Iterable[tuple[str, Any]] = options.items()
    for name, value in given:
        if value is None:
            continue
        if name in TEXT_OPTIONS:
            stored[name] = _validate_text(name, value)
        elif name in TIME_OPTIONS:
            stored[name] = validate_time(name, value)
        elif name == "attachments":
            stored[name] = validate_attachments(value)
        elif name == "actor":
            stored[name] = value
    if "send_at" in stored and "expires_at" in stored and stored["expires_at"] <= stored["send_at"]:
        raise InvalidOption("expires_at must be after send_at; otherwise nothing would be sent.")
    return StoredOptions(**stored)


def _validate_text(name: str, value: Any) -> str:
    """Return a text option as it is stored. A topic is stored as subscriptions and mutes have it.

    :raises InvalidOption: if it does not fit the column.
    """
    if name == "topic":
        value = _normalize_topic(value)
    length = getattr(Notification._meta.get_field(name), "max_length", 0)
    text = str(value)
    if len(text) > length or UNSTORABLE.search(text):
        raise InvalidOption(f"{name} may have {length} plain characters; it is {text!a:.80}.")
    return text


def _normalize_topic(topic: Any) -> str:
    """Return the key of a topic. A text is kept as it is."""
    if isinstance(topic, Topic):
        return topic.key
    if isinstance(topic, Enum):
        return key_of(topic)
    if not isinstance(topic, str):
        raise InvalidOption(f"topic must be a text, a member of an Enum or a Topic, not {topic!r:.80}.")
    return topic


def validate_time(name: str, value: Any) -> datetime | None:
    """Return a time option as an aware datetime. A naive one is in the current time zone.

    :raises InvalidOption: if it is not a datetime, or its year is outside of 1970 to 8999.
    """
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise InvalidOption(f"{name} must be a datetime, not {value!r:.80}.")
    if value.year not in VALID_YEARS:
        raise InvalidOption(f"{name} must be a time from 1970 to 8999, not {value!r}.")
    return timezone.make_aware(value) if timezone.is_naive(value) else value


def calculate_score(event: NotificationEvent, priority: NotificationPriority, context: Mapping[str, Any]) -> int:
    """Return the base score plus the urgency, limited to the band of the priority. It decides the order of sending.

    :param priority: the priority of this call. If it is not the event's own, the base is the middle of the band.
    :param context: in its stored form.
    """
    low, high = BANDS[priority]
    score = event.score if event.score is not None and priority == event.priority else (low + high) // 2
    if event.urgency is not None:
        score += _calculate_urgency(event, context)
    return min(max(score, low), high)


def _calculate_urgency(event: NotificationEvent, context: Mapping[str, Any]) -> int:
    """Return the result of the event's urgency function; 0 if it fails."""
    urgency: Any
    try:
        urgency = event.urgency and event.urgency(decoded(context))
    except Exception:
        # An error in the function must not prevent the notification.
        # The text of the error may quote a value of the context.
        score_logger.exception(
            "The urgency of event %r failed; it is sent with its base score.", event.name, exc_info=not event.sensitive
        )
        return 0
    if isinstance(urgency, bool) or not isinstance(urgency, int):
        shown = type(urgency) if event.sensitive else urgency
        score_logger.error("The urgency of event %r is %.80r, not an int; its base score is used.", event.name, shown)
        return 0
    return urgency

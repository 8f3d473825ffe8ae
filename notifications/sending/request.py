"""A ``send()`` after its arguments were looked at: everything right, or an error in the caller's face."""

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

from notifications import conf
from notifications.attachments import Attachment, get_total_size, validate_attachments
from notifications.context import UNSTORABLE, encoded, make_comparable, validated
from notifications.events import (
    DIGESTS,
    LEVELS,
    NOTIFICATION_EVENTS,
    NotificationEvent,
    NotificationPriority,
    key_of,
)
from notifications.exceptions import InvalidCluster, InvalidOption
from notifications.models import Cluster, Notification, cluster_model, cluster_or_default
from notifications.recipients import Topic, channel_names
from notifications.sending.permission import check_actor_given, check_is_user
from notifications.sending.score import calculate_score

# A digest without items is sent as any other event.
GATHERS = {event.value: kind for kind, event in DIGESTS.items()}
logger = logging.getLogger("notifications.context")
SENSIBLE_YEARS = range(1970, 9000)


@dataclass(frozen=True)
class Options:
    """The keyword options of ``send()``; the manager's docstring tells what they mean."""

    channels: Iterable[Enum | str] | None = None
    level: str | None = None
    priority: NotificationPriority | int | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    idempotency_key: str | None = None
    actor: Any = None
    topic: Any = ""
    campaign: str = ""
    correlation_id: str = ""
    cancel_key: str | None = None
    attachments: Iterable[Any] | None = ()


@dataclass(frozen=True)
class Request:
    """One checked call. ``cluster`` is None for the default one, until a transaction has begun.

    :param has_dedup_keys: whether its context says of what it could be a repeat.
    :param problems: what is wrong with its context, where it is sent all the same.
    """

    event: NotificationEvent
    cluster: Any
    context: dict[str, Any]
    options: Options
    channels: tuple[str, ...]
    not_configured: tuple[str, ...]
    refused_channels: tuple[str, ...]
    priority: NotificationPriority
    score: int
    requested_at: datetime | None = None
    has_dedup_keys: bool = True
    problems: tuple[str, ...] = ()

    @property
    def is_bad_call(self) -> bool:
        """Whether the result must be false because the site has wrong calls logged instead of raised."""
        return bool(self.problems) and conf.current().on_bad_call == "log"

    def with_cluster(self) -> "Request":
        """The same, with its cluster read from the database if it is the default one."""
        return replace(self, cluster=cluster_or_default(self.cluster))

    def notification(self, now: Any) -> Notification:
        """The row to store. Without ``now`` it has no time yet."""
        options = self.options
        return Notification(
            cluster=self.cluster,
            event=self.event.name,
            priority=self.priority,
            context=self.context,
            gathers=GATHERS.get(self.event.name, ""),
            actor=None if getattr(options.actor, "is_anonymous", False) else options.actor,
            topic=options.topic,
            campaign=options.campaign,
            correlation_id=options.correlation_id or str(uuid4()),
            attachment_bytes=get_total_size(self.attachments),
            created_at=now and min(self.requested_at or now, now),
            send_at=options.send_at,
            expires_at=options.expires_at,
            cancel_key=options.cancel_key or None,
            idempotency_key=options.idempotency_key or None,
            idempotency_hash=self.fingerprint if options.idempotency_key else "",
        )

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """Those of its options, which are checked."""
        return tuple(self.options.attachments or ())

    @property
    def fingerprint(self) -> str:
        """A hash over event, context, options and files: two calls with one idempotency key must agree in it."""
        options = self.options
        told = [
            self.event.name,
            make_comparable(self.context),
            sorted({*self.channels, *self.not_configured}),
            int(self.priority),
            options.topic,
            options.campaign,
        ]
        times = [make_comparable(encoded(time)) for time in (options.send_at, options.expires_at)]
        # Not their types: another machine may guess otherwise.
        files = [[one.name, hashlib.sha256(one.content).hexdigest()] for one in self.attachments]
        text = json.dumps([*told, *times, options.cancel_key, *files], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def validate_request(
    event_name: Enum | str, cluster: Any, context: Mapping[str, Any] | None, options: Options
) -> Request:
    """Look at the arguments, without asking the database.

    :raises UnknownEvent: if the event is not registered.
    :raises InvalidCluster: if the cluster is missing, unsaved or of another model.
    :raises InvalidContext: if the context is not what the event declares.
    :raises InvalidOption: if an option cannot work.
    :raises NotPermitted: if the event needs an actor with a permission, and there is none.
    """
    check_actor_given(NOTIFICATION_EVENTS.find(event_name), options.actor)
    request = build_request(event_name, cluster, context, options)
    for problem in request.problems:
        logger.error("Event %r is sent with a wrong context. %s", request.event.name, problem)
    return request


def build_request(event_name: Enum | str, cluster: Any, context: Mapping[str, Any] | None, options: Options) -> Request:
    """The same without a look at who may send; it raises the other errors."""
    event = NOTIFICATION_EVENTS.find(event_name)
    check_is_user("actor", options.actor)
    # Before the context, which may have been given in the place of the cluster.
    cluster = validate_cluster(cluster)
    wanted = _wanted_channels(event, options.channels)
    on = conf.current().enabled_channels
    missing = tuple(channel for channel in wanted if channel not in on)
    priority = _priority(event, options)
    found = validated(event, context)
    return Request(
        event=event,
        cluster=cluster,
        context=found.stored,
        options=_storable(options),
        channels=tuple(channel for channel in wanted if channel in on),
        not_configured=missing,
        refused_channels=missing if options.channels is not None else (),
        priority=priority,
        score=calculate_score(event, priority, found.stored),
        has_dedup_keys=found.has_dedup_keys,
        problems=found.problems,
    )


def _wanted_channels(event: NotificationEvent, channels: Iterable[Enum | str] | None) -> tuple[str, ...]:
    if channels is None:
        return event.channels
    wanted = channel_names(channels)
    beyond = [channel for channel in wanted if channel not in event.channels]
    if beyond:
        raise InvalidOption(
            f"channels may only narrow what event {event.name!r} supports ({', '.join(event.channels)}); "
            f"it does not support {', '.join(beyond)}."
        )
    return wanted


def validate_cluster(cluster: Any) -> Any:
    """The cluster, or ``None`` for the default one of a site that has only one. Asks no database.

    :raises InvalidCluster: if it is missing, unsaved or of another model than ``NOTIFICATIONS_CLUSTER_MODEL``.
    """
    model = cluster_model()
    if cluster is None and model is Cluster:
        return None
    if not isinstance(cluster, model):
        mend = (
            "Write context=… if it is the context."
            if isinstance(cluster, Mapping)
            else f"Pass one that is saved, as from {model.__name__}.objects.get(…)."
        )
        raise InvalidCluster(f"cluster must be a {model.__name__}, not {cluster!r:.80}. {mend}")
    if cluster.pk is None:
        raise InvalidCluster(f"The cluster {cluster!r:.80} is not saved yet.")
    return cluster


def _priority(event: NotificationEvent, options: Options) -> NotificationPriority:
    if options.level is not None and options.priority is not None:
        raise InvalidOption("Give level or priority, not both.")
    wanted = _wanted_priority(options)
    critical = event.priority == NotificationPriority.CRITICAL
    return event.priority if critical or wanted is None else wanted


def _wanted_priority(options: Options) -> NotificationPriority | None:
    if options.level is not None:
        if not isinstance(options.level, str) or options.level not in LEVELS:
            raise InvalidOption(f"level must be one of {', '.join(LEVELS)}, not {options.level!r}.")
        return LEVELS[options.level]
    if options.priority is None:
        return None
    # True is equal to 1, and whoever writes it means no number.
    if isinstance(options.priority, bool) or options.priority not in list(NotificationPriority):
        raise InvalidOption(f"priority must be a NotificationPriority, not {options.priority!r}.")
    return NotificationPriority(options.priority)


def _storable(options: Options) -> Options:
    """Texts that fit their columns, files that are small enough; naive times take the current time zone."""
    changed = {**vars(options), "topic": _topic(options.topic)}
    for name in ("idempotency_key", "cancel_key", "topic", "campaign", "correlation_id"):
        length = getattr(Notification._meta.get_field(name), "max_length", 0)
        text = changed[name] = "" if changed[name] is None else str(changed[name])
        if len(text) > length or UNSTORABLE.search(text):
            raise InvalidOption(f"{name} may have {length} plain characters; it is {text!a:.80}.")
    for name in ("send_at", "expires_at"):
        changed[name] = validate_time(name, changed[name])
    changed["attachments"] = validate_attachments(options.attachments)
    if changed["send_at"] and changed["expires_at"] and changed["expires_at"] <= changed["send_at"]:
        raise InvalidOption("expires_at is not after send_at, so it would never be sent.")
    return Options(**changed)


def _topic(given: Any) -> str | None:
    """By its key, as subscriptions and mutes know it; a text stays as it was written."""
    if isinstance(given, Topic):
        return given.key
    if isinstance(given, Enum):
        return key_of(given)
    if given is not None and not isinstance(given, str):
        raise InvalidOption(f"topic must be a text, a member of an Enum or a Topic, not {given!r:.80}.")
    return given


def validate_time(name: str, value: Any) -> datetime | None:
    """A time that was given by this name; a naive one is of the current time zone.

    :raises InvalidOption: if it is no time, or one that cannot be meant.
    """
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise InvalidOption(f"{name} must be a datetime, not {value!r:.80}.")
    if value.year not in SENSIBLE_YEARS:
        raise InvalidOption(f"{name} is {value!r}, which cannot be meant.")
    return timezone.make_aware(value) if timezone.is_naive(value) else value

"""Validate the arguments of ``send()``, without a query."""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from django.utils import timezone

from notifications import conf
from notifications.attachments import validate_attachments
from notifications.context import UNSTORABLE, validated
from notifications.events import LEVELS, NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority, key_of
from notifications.exceptions import InvalidCluster, InvalidOption
from notifications.models import Cluster, Notification, get_cluster_model
from notifications.recipients import Topic, channel_names
from notifications.sending.options import SendOptions
from notifications.sending.permission import check_actor_given, check_is_user
from notifications.sending.request import TEXT_OPTIONS, TIME_OPTIONS, Request, StoredOptions
from notifications.sending.score import calculate_score

logger = logging.getLogger("notifications.context")
VALID_YEARS = range(1970, 9000)


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
    check_actor_given(NOTIFICATION_EVENTS.find(event_name), options.get("actor"))
    request = build_request(event_name, cluster, context, options)
    for problem in request.problems:
        logger.error("Event %r is sent with a wrong context. %s", request.event.name, problem)
    return request


def build_request(
    event_name: Enum | str, cluster: Any, context: Mapping[str, Any] | None, options: SendOptions
) -> Request:
    """Do the same as :func:`validate_request`, but neither require an actor nor log anything."""
    event = NOTIFICATION_EVENTS.find(event_name)
    check_is_user("actor", options.get("actor"))
    # Before the context, because a caller may have passed the context as the cluster.
    cluster = validate_cluster(cluster)
    requested_channels = options.get("channels")
    channels = _resolve_channels(event, requested_channels)
    enabled = conf.current().enabled_channels
    missing = tuple(channel for channel in channels if channel not in enabled)
    priority = _resolve_priority(event, options)
    checked = validated(event, context)
    return Request(
        event=event,
        cluster=cluster,
        context=checked.stored,
        options=_normalize_options(options),
        channels=tuple(channel for channel in channels if channel in enabled),
        not_configured=missing,
        refused_channels=missing if requested_channels is not None else (),
        priority=priority,
        score=calculate_score(event, priority, checked.stored),
        has_dedup_keys=checked.has_dedup_keys,
        problems=checked.problems,
    )


def _resolve_channels(event: NotificationEvent, channels: Iterable[Enum | str] | None) -> tuple[str, ...]:
    if channels is None:
        return event.channels
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


def _resolve_priority(event: NotificationEvent, options: SendOptions) -> NotificationPriority:
    level, priority = options.get("level"), options.get("priority")
    if level is not None and priority is not None:
        raise InvalidOption("Give level or priority, not both.")
    requested = _priority_of_level(level) if level is not None else _validate_priority(priority)
    is_critical = event.priority == NotificationPriority.CRITICAL
    return event.priority if is_critical or requested is None else requested


def _priority_of_level(level: Any) -> NotificationPriority:
    if not isinstance(level, str) or level not in LEVELS:
        raise InvalidOption(f"level must be one of {', '.join(LEVELS)}, not {level!r}.")
    return LEVELS[level]


def _validate_priority(priority: Any) -> NotificationPriority | None:
    if priority is None:
        return None
    # True is equal to 1, but is not meant as a number.
    if isinstance(priority, bool) or priority not in list(NotificationPriority):
        raise InvalidOption(f"priority must be a NotificationPriority, not {priority!r}.")
    return NotificationPriority(priority)


def _normalize_options(options: SendOptions) -> StoredOptions:
    """Return the options as they are stored. Naive times are in the current time zone.

    :raises InvalidOption: if a text does not fit its column, a time cannot be right or an attachment is too large.
    """
    given: dict[str, Any] = {**options, "topic": _normalize_topic(options.get("topic"))}
    texts: dict[str, Any] = {name: _validate_text(name, given.get(name)) for name in TEXT_OPTIONS}
    times: dict[str, Any] = {name: validate_time(name, given.get(name)) for name in TIME_OPTIONS}
    attachments = validate_attachments(given.get("attachments"))
    stored = StoredOptions(actor=given.get("actor"), attachments=attachments, **texts, **times)
    if stored.send_at and stored.expires_at and stored.expires_at <= stored.send_at:
        raise InvalidOption("expires_at must be after send_at; otherwise nothing would be sent.")
    return stored


def _validate_text(name: str, value: Any) -> str:
    """Return a text option as it is stored.

    :raises InvalidOption: if it does not fit the column.
    """
    if value is None or value == "":
        return ""
    length = getattr(Notification._meta.get_field(name), "max_length", 0)
    text = str(value)
    if len(text) > length or UNSTORABLE.search(text):
        raise InvalidOption(f"{name} may have {length} plain characters; it is {text!a:.80}.")
    return text


def _normalize_topic(topic: Any) -> str | None:
    """Return the key of a topic, as subscriptions and mutes have it. A text is kept as it is."""
    if isinstance(topic, Topic):
        return topic.key
    if isinstance(topic, Enum):
        return key_of(topic)
    if topic is not None and not isinstance(topic, str):
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

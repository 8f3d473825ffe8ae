"""A checked call as a record that needs no database, and back.

What is decided by the call stays decided: its time, its context, its channels, its score and its idempotency key. What
the database knows (members, preferences, addresses of users) is asked when it is queued.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.db.models import QuerySet

from notifications import conf
from notifications.attachments import Attachment
from notifications.context import decoded, encoded
from notifications.core import partitions
from notifications.core.primary import read_from_primary
from notifications.events import NOTIFICATION_EVENTS, NotificationPriority
from notifications.exceptions import InvalidCluster, InvalidRecipient, OutboxFull
from notifications.models import Notification, cluster_model
from notifications.outcomes import Reason, SendResult
from notifications.recipients import Address, GroupNamed, Members, To, Topic
from notifications.sending.audience import group_model
from notifications.sending.enqueue import enqueue
from notifications.sending.request import Options, Request

TEXTS = ("idempotency_key", "topic", "campaign", "correlation_id", "cancel_key")
KINDS = ("users", "addresses", "members", "groups", "group_names", "topics", "to")
TIMES = ("send_at", "expires_at")


def to_record(request: Request, recipients: Any, requested_at: datetime) -> dict[str, Any]:
    """
    :raises InvalidRecipient, InvalidContext: if something can only be known with the database.
    """
    options = request.options
    return {
        "partition": partitions.current(),
        "asked_at": encoded(requested_at),
        "event": request.event.name,
        "cluster": None if request.cluster is None else encoded(request.cluster.pk),
        "context": request.context,
        "channels": [*request.channels, *request.not_configured],
        "priority": int(request.priority),
        "score": request.score,
        "may_repeat": request.may_repeat,
        "actor": encoded(getattr(options.actor, "pk", None)),
        "options": {name: encoded(getattr(options, name)) for name in (*TEXTS, *TIMES)},
        "attachments": [[one.name, b64encode(one.content).decode(), one.mimetype] for one in request.attachments],
        "recipients": _keys(recipients, (*request.channels, *request.not_configured)),
    }


def make_repeatable(recipients: Any) -> Any:
    """The same, with lists for iterators: a second try must find what the first has gone through."""
    if isinstance(recipients, To):
        return To(make_repeatable(recipients.recipients), recipients.channels)
    if isinstance(recipients, Iterator | list | tuple | set | frozenset):
        return [make_repeatable(recipient) for recipient in recipients]
    return recipients


def _keys(recipients: Any, channels: tuple[str, ...]) -> dict[str, list[Any]]:
    """Users, groups and clusters by primary key, addresses as themselves."""
    found: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for recipient in _each(recipients):
        if isinstance(recipient, To):
            narrowed = _keys(recipient.recipients, ())
            found["to"].append({"channels": sorted(recipient.narrowed(channels)), "recipients": narrowed})
        else:
            kind, key = _key(recipient)
            found[kind].append(key)
    return found


def _key(recipient: Any) -> tuple[str, Any]:
    if isinstance(recipient, Address):
        return "addresses", dict(recipient.by_kind)
    if isinstance(recipient, Members):
        return "members", _cluster_key(recipient.cluster)
    if isinstance(recipient, GroupNamed):
        return "group_names", recipient.name
    if isinstance(recipient, Topic):
        return "topics", recipient.key
    if isinstance(recipient, get_user_model()) and recipient.pk is not None:
        return "users", encoded(recipient.pk)
    if isinstance(recipient, group_model()) and recipient.pk is not None:
        return "groups", encoded(recipient.pk)
    raise InvalidRecipient(f"{recipient!r:.80} cannot be known without the database.")


def _each(recipients: Any) -> Iterator[Any]:
    if isinstance(recipients, QuerySet) and recipients._result_cache is None:
        raise InvalidRecipient("A queryset that was not evaluated cannot be known without the database.")
    if isinstance(
        recipients, str | bytes | Address | GroupNamed | Members | Topic | To | get_user_model() | group_model()
    ):
        yield recipients
    elif isinstance(recipients, Iterable):
        for recipient in recipients:
            yield from _each(recipient) if isinstance(recipient, QuerySet) else [recipient]
    else:
        yield recipients


def _cluster_key(cluster: Any) -> Any:
    if cluster is not None and (not isinstance(cluster, cluster_model()) or cluster.pk is None):
        raise InvalidRecipient(f"The members of {cluster!r:.80} cannot be known without the database.")
    return None if cluster is None else encoded(cluster.pk)


@read_from_primary()
def replay(record: Mapping[str, Any]) -> SendResult:
    """Queue what was spooled; a second time it is a duplicate, for every record has an idempotency key.

    :raises OutboxFull: if the outbox has no room for it, or is switched off; it may have later.
    :raises UnknownEvent, InvalidCluster, IdempotencyConflict: if it can no longer be queued.
    """
    with partitions.enter(record["partition"]):
        using = router.db_for_write(Notification)
        with transaction.atomic(using=using):
            result = enqueue(_request(record), _recipients(record["recipients"]), using)
            # Nobody waits for this answer, so it must not be an end.
            if result.reasons[Reason.QUEUE_FULL]:
                raise OutboxFull("The outbox is full.")
            if result.reasons[Reason.SWITCHED_OFF]:
                raise OutboxFull("Notifications are switched off (NOTIFICATIONS['ENABLED']).")
        return result


def _request(record: Mapping[str, Any]) -> Request:
    on = conf.current().enabled_channels
    return Request(
        event=NOTIFICATION_EVENTS.find(record["event"]),
        cluster=_cluster(record["cluster"]),
        context=record["context"],
        options=Options(
            actor=_actor(decoded(record["actor"])),
            attachments=_attachments(record),
            **{name: decoded(value) for name, value in record["options"].items()},
        ),
        channels=tuple(channel for channel in record["channels"] if channel in on),
        not_configured=tuple(channel for channel in record["channels"] if channel not in on),
        refused_channels=(),
        priority=NotificationPriority(record["priority"]),
        score=record["score"],
        requested_at=decoded(record["asked_at"]),
        may_repeat=record.get("may_repeat", True),
    )


def _attachments(record: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """Not measured again: the call has been answered."""
    given = record.get("attachments", ())
    return tuple(Attachment(name, b64decode(content), mimetype) for name, content, mimetype in given)


def _recipients(keys: Mapping[str, list[Any]]) -> list[Any]:
    users = [get_user_model()(pk=decoded(pk)) for pk in keys["users"]]
    addresses = [Address.stored(by_kind) for by_kind in keys["addresses"]]
    members = [Members(_cluster(pk)) for pk in keys["members"]]
    groups = [group_model()(pk=decoded(pk)) for pk in keys["groups"]]
    # A line of an earlier version has no names.
    named = [GroupNamed(name) for name in keys.get("group_names", ())]
    topics = [Topic(key) for key in keys["topics"]]
    narrowed = [To(_recipients(one["recipients"]), one["channels"]) for one in keys["to"]]
    return [*users, *addresses, *members, *groups, *named, *topics, *narrowed]


def _cluster(key: Any) -> Any:
    if key is None:
        return None
    found = cluster_model()._base_manager.filter(pk=decoded(key)).first()
    if found is None:
        raise InvalidCluster(f"There is no {cluster_model().__name__} {decoded(key)!r} any more.")
    return found


def _actor(pk: Any) -> Any:
    """Who was deleted meanwhile is nobody, as the table would have it."""
    return None if pk is None else get_user_model()._base_manager.filter(pk=pk).first()

"""Convert a validated call to a record that needs no database, and queue it from the record.

The record keeps what the call has decided: its time, context, channels, score and idempotency key. What is in the
database (members, preferences, addresses of users) is read when the call is queued.
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
from notifications.context import decoded, decrypt_context, encoded, is_encrypted
from notifications.core.databases import enter_partition, get_current_partition, read_from_primary
from notifications.events import NOTIFICATION_EVENTS, NotificationPriority
from notifications.exceptions import InvalidCluster, InvalidRecipient, OutboxFull
from notifications.models import Notification, get_cluster_model
from notifications.outcomes import Reason, SendResult
from notifications.recipients import Address, GroupNamed, Members, To, Topic
from notifications.sending.audience import get_group_model
from notifications.sending.enqueue import enqueue
from notifications.sending.request import TEXT_OPTIONS, TIME_OPTIONS, Request, StoredOptions

RECIPIENT_KINDS = ("users", "addresses", "members", "groups", "group_names", "topics", "to")


def to_record(request: Request, recipients: Any, requested_at: datetime) -> dict[str, Any]:
    """Return a call as a record for the spool.

    :raises InvalidRecipient, InvalidContext: if the database is needed to do so.
    """
    return {
        "partition": get_current_partition(),
        **encode_request(request, requested_at),
        "recipients": _encode_recipients(recipients, (*request.channels, *request.not_configured)),
    }


def encode_request(request: Request, requested_at: datetime) -> dict[str, Any]:
    """Return a call as JSON values. They contain the primary keys of the cluster and the actor.

    The keys must not change, because files of earlier versions have them.
    """
    options = request.options
    return {
        "asked_at": encoded(requested_at),
        "event": request.event.name,
        "cluster": None if request.cluster is None else encoded(request.cluster.pk),
        "context": request.stored_context,
        "channels": [*request.channels, *request.not_configured],
        "priority": int(request.priority),
        "score": request.score,
        "may_repeat": request.has_dedup_keys,
        "actor": encoded(getattr(options.actor, "pk", None)),
        "options": {name: encoded(getattr(options, name)) for name in (*TEXT_OPTIONS, *TIME_OPTIONS)},
        "attachments": [[one.name, b64encode(one.content).decode(), one.mimetype] for one in options.attachments],
    }


def decode_request(values: Mapping[str, Any]) -> Request:
    """Return the call that :func:`encode_request` was called with. Cluster and actor are read from the database.

    :raises UnknownEvent: if the event is not registered.
    :raises InvalidCluster: if the cluster no longer exists.
    :raises DecryptionFailed: if the context is encrypted, and the site does not have the key.
    """
    enabled, event = conf.current().enabled_channels, NOTIFICATION_EVENTS.find(values["event"])
    return Request(
        event=event,
        cluster=_load_cluster(values["cluster"]),
        context=decrypt_context(values["context"]),
        options=StoredOptions(
            actor=_load_actor(decoded(values["actor"])),
            attachments=_decode_attachments(values),
            **{name: decoded(value) for name, value in values["options"].items()},
        ),
        channels=tuple(channel for channel in values["channels"] if channel in enabled),
        not_configured=tuple(channel for channel in values["channels"] if channel not in enabled),
        refused_channels=(),
        priority=NotificationPriority(values["priority"]),
        score=values["score"],
        requested_at=decoded(values["asked_at"]),
        has_dedup_keys=values.get("may_repeat", True),
        is_sensitive=event.sensitive or is_encrypted(values["context"]),
    )


def _load_cluster(key: Any) -> Any:
    """Return the cluster with this encoded primary key; None if the key is None.

    :raises InvalidCluster: if it no longer exists.
    """
    if key is None:
        return None
    cluster = get_cluster_model()._base_manager.filter(pk=decoded(key)).first()
    if cluster is None:
        raise InvalidCluster(f"The {get_cluster_model().__name__} {decoded(key)!r} no longer exists.")
    return cluster


def _load_actor(pk: Any) -> Any:
    """Return the actor; None if the user was deleted, as in the table of notifications."""
    return None if pk is None else get_user_model()._base_manager.filter(pk=pk).first()


def _decode_attachments(values: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """Return the attachments. Their size is not checked again, because the call has been accepted."""
    rows = values.get("attachments", ())
    return tuple(Attachment(name, b64decode(content), mimetype) for name, content, mimetype in rows)


def make_repeatable(recipients: Any) -> Any:
    """Return the recipients with lists instead of iterators, because a second attempt iterates over them again."""
    if isinstance(recipients, To):
        return To(make_repeatable(recipients.recipients), recipients.channels)
    if isinstance(recipients, Iterator | list | tuple | set | frozenset):
        return [make_repeatable(recipient) for recipient in recipients]
    return recipients


def _encode_recipients(recipients: Any, channels: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the recipients by kind: users, groups and clusters as primary keys, addresses as they are."""
    by_kind: dict[str, list[Any]] = {kind: [] for kind in RECIPIENT_KINDS}
    for recipient in _iterate_recipients(recipients):
        if isinstance(recipient, To):
            narrowed = _encode_recipients(recipient.recipients, ())
            by_kind["to"].append({"channels": sorted(recipient.narrowed(channels)), "recipients": narrowed})
        else:
            kind, key = _encode_recipient(recipient)
            by_kind[kind].append(key)
    return by_kind


def _encode_recipient(recipient: Any) -> tuple[str, Any]:
    if isinstance(recipient, Address):
        return "addresses", dict(recipient.by_kind)
    if isinstance(recipient, Members):
        return "members", _encode_cluster(recipient.cluster)
    if isinstance(recipient, GroupNamed):
        return "group_names", recipient.name
    if isinstance(recipient, Topic):
        return "topics", recipient.key
    if isinstance(recipient, get_user_model()) and recipient.pk is not None:
        return "users", encoded(recipient.pk)
    if isinstance(recipient, get_group_model()) and recipient.pk is not None:
        return "groups", encoded(recipient.pk)
    raise InvalidRecipient(f"The recipient {recipient!r:.80} needs the database.")


def _iterate_recipients(recipients: Any) -> Iterator[Any]:
    if isinstance(recipients, QuerySet) and recipients._result_cache is None:
        raise InvalidRecipient("A queryset that is not evaluated needs the database.")
    if isinstance(
        recipients, str | bytes | Address | GroupNamed | Members | Topic | To | get_user_model() | get_group_model()
    ):
        yield recipients
    elif isinstance(recipients, Iterable):
        for recipient in recipients:
            yield from _iterate_recipients(recipient) if isinstance(recipient, QuerySet) else [recipient]
    else:
        yield recipients


def _encode_cluster(cluster: Any) -> Any:
    if cluster is not None and (not isinstance(cluster, get_cluster_model()) or cluster.pk is None):
        raise InvalidRecipient(f"The members of {cluster!r:.80} need the database.")
    return None if cluster is None else encoded(cluster.pk)


@read_from_primary()
def replay(record: Mapping[str, Any]) -> SendResult:
    """Queue a call from its record. Every record has an idempotency key, so a second replay is a duplicate.

    :raises OutboxFull: if the outbox is full or notifications are switched off. A later replay may succeed.
    :raises UnknownEvent, InvalidCluster, IdempotencyConflict: if the call can no longer be queued.
    """
    with enter_partition(record["partition"]):
        using = router.db_for_write(Notification)
        with transaction.atomic(using=using):
            result = enqueue(decode_request(record), _decode_recipients(record["recipients"]), using)
            # Nobody reads this result, so the record must stay in the spool.
            if result.reasons[Reason.QUEUE_FULL]:
                raise OutboxFull("The outbox is full.")
            if result.reasons[Reason.SWITCHED_OFF]:
                raise OutboxFull("Notifications are switched off (NOTIFICATIONS['ENABLED']).")
        return result


def _decode_recipients(by_kind: Mapping[str, list[Any]]) -> list[Any]:
    users = [get_user_model()(pk=decoded(pk)) for pk in by_kind["users"]]
    addresses = [Address.stored(fields) for fields in by_kind["addresses"]]
    members = [Members(_load_cluster(pk)) for pk in by_kind["members"]]
    groups = [get_group_model()(pk=decoded(pk)) for pk in by_kind["groups"]]
    # Records of earlier versions have no group names.
    named = [GroupNamed(name) for name in by_kind.get("group_names", ())]
    topics = [Topic(key) for key in by_kind["topics"]]
    narrowed = [To(_decode_recipients(one["recipients"]), one["channels"]) for one in by_kind["to"]]
    return [*users, *addresses, *members, *groups, *named, *topics, *narrowed]

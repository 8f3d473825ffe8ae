"""A validated call of ``send()``, and its JSON form."""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self
from uuid import uuid4

from django.contrib.auth import get_user_model

from notifications import conf
from notifications.attachments import Attachment, get_total_size
from notifications.context import decoded, encoded, make_comparable
from notifications.events import DIGESTS, NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority
from notifications.exceptions import InvalidCluster
from notifications.models import Notification, cluster_or_default, get_cluster_model

# The kind of digest by the name of its event. Without items, a digest is sent like any other event.
DIGEST_KIND_BY_EVENT = {event.value: kind for kind, event in DIGESTS.items()}
TEXT_OPTIONS = ("idempotency_key", "topic", "campaign", "correlation_id", "cancel_key")
TIME_OPTIONS = ("send_at", "expires_at")


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

    @property
    def is_bad_call(self) -> bool:
        """Whether the result must be refused, because the site logs wrong calls instead of raising errors."""
        return bool(self.problems) and conf.current().on_bad_call == "log"

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
            context=self.context,
            digest_kind=DIGEST_KIND_BY_EVENT.get(self.event.name, ""),
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
        """The validated attachments of its options."""
        return self.options.attachments

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
        files = [[one.name, hashlib.sha256(one.content).hexdigest()] for one in self.attachments]
        text = json.dumps([*payload, *times, options.cancel_key, *files], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the call as JSON values. They contain the primary keys of the cluster and the actor.

        The keys must not change, because files of earlier versions have them.
        """
        options = self.options
        return {
            "asked_at": encoded(self.requested_at),
            "event": self.event.name,
            "cluster": None if self.cluster is None else encoded(self.cluster.pk),
            "context": self.context,
            "channels": [*self.channels, *self.not_configured],
            "priority": int(self.priority),
            "score": self.score,
            "may_repeat": self.has_dedup_keys,
            "actor": encoded(getattr(options.actor, "pk", None)),
            "options": {name: encoded(getattr(options, name)) for name in (*TEXT_OPTIONS, *TIME_OPTIONS)},
            "attachments": [[one.name, b64encode(one.content).decode(), one.mimetype] for one in self.attachments],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the call that :meth:`to_json` has returned. Cluster and actor are read from the database.

        :raises UnknownEvent: if the event is not registered.
        :raises InvalidCluster: if the cluster no longer exists.
        """
        enabled = conf.current().enabled_channels
        return cls(
            event=NOTIFICATION_EVENTS.find(values["event"]),
            cluster=load_cluster(values["cluster"]),
            context=values["context"],
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
        )


def load_cluster(key: Any) -> Any:
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

"""The door of the asking wing: one call decides who gets what, and writes it down in the caller's transaction."""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from asgiref.sync import sync_to_async
from django.db import router

from notifications import conf
from notifications.attachments import Attachment
from notifications.core.connections import suggest_migrate
from notifications.events import NotificationPriority
from notifications.exceptions import InvalidContext, UnknownEvent
from notifications.explain.explain import explain
from notifications.explain.explanation import Explanation
from notifications.explain.why import why
from notifications.models import Delivery, Notification
from notifications.outcomes import SendResult
from notifications.recipients import Topic
from notifications.sending.acknowledge import acknowledge
from notifications.sending.cancel import cancel
from notifications.sending.enqueue import enqueue
from notifications.sending.message import choose_event, find_recipients
from notifications.sending.request import Options
from notifications.sending.resend import resend
from notifications.sending.synchronous import synchronous
from notifications.sending.validation import build_request, validate_request
from notifications.spool.outage import enqueue_or_spool, may_spool

logger = logging.getLogger("notifications.manager")


class NotificationManager:
    """What host code calls."""

    @staticmethod
    @synchronous
    def send(
        event_name: Enum | str,
        recipients: Any,
        cluster: Any = None,
        context: Mapping[str, Any] | None = None,
        *,
        channels: Iterable[Enum | str] | None = None,
        level: str | None = None,
        priority: NotificationPriority | int | None = None,
        send_at: datetime | None = None,
        expires_at: datetime | None = None,
        idempotency_key: str | None = None,
        actor: Any = None,
        topic: Enum | Topic | str = "",
        campaign: str = "",
        correlation_id: str = "",
        cancel_key: str | None = None,
        attachments: Iterable[Attachment | tuple[Any, ...]] | None = None,
    ) -> SendResult:
        """Queue a notification in the caller's transaction: a rollback leaves nothing, a commit loses nothing.

        :param event_name: a member of an events enum that is registered, or its name.
        :param recipients: a user or group, a queryset of either, ``Members(cluster)``, ``Topic("…")``, ``Address(…)``,
            or an iterable that mixes them; in it ``To(…, channels=[…])`` gives some of them other channels.
        :param cluster: the tenant. A site that keeps Klaxon's own cluster model may leave it out: the default cluster
            is open to all active users.
        :param context: what the event declares.
        :param channels: narrows the event's channels for this call.
        :param level: ``critical``, ``warning``, ``info`` or ``debug``, for the order of sending; ``priority`` is the
            same as a number. Neither lowers a CRITICAL event, nor lets another event past an opt-out.
        :param send_at: not before this time.
        :param expires_at: not after it.
        :param idempotency_key: a second call with the same key, event and cluster queues nothing and returns the first
            call's figures.
        :param cancel_key: a name by which :meth:`cancel` finds it.
        :param attachments: files, each an ``Attachment(name, content, mimetype)`` or such a triple, for the channels
            that can carry them, as email can; stored once, with it.
        :param actor: the user who caused it.
        :param topic: a tag that users can subscribe to or mute.
        :param campaign: a tag, stored with it.
        :param correlation_id: a tag, stored with it; a new one unless given.
        :raises UnknownEvent, InvalidContext, InvalidRecipient, InvalidCluster, InvalidOption: if the call is wrong.
        :raises NotPermitted: if the event names a permission that the actor does not have.
        :raises IdempotencyConflict: if the key was used with another content.

        Where ``ON_BAD_CALL`` is ``"log"``, ``UnknownEvent`` and ``InvalidContext`` are logged as errors instead, the
        event is sent with what exists of the context, and the result is false.

        If the database cannot be reached, outside a transaction, and ``SPOOL_DIR`` is set, it is kept there, and the
        result says *spooled*.
        """
        options = Options(
            channels, level, priority, send_at, expires_at, idempotency_key, actor, topic, campaign, correlation_id,
            cancel_key, attachments,
        )  # fmt: skip
        try:
            request = validate_request(event_name, cluster, context, options)
        except (UnknownEvent, InvalidContext) as error:
            return _not_sent(error)
        using = router.db_for_write(Notification)
        with suggest_migrate():
            return (enqueue_or_spool if may_spool(using) else enqueue)(request, recipients, using)

    @staticmethod
    async def asend(*args: Any, **options: Any) -> SendResult:
        """:meth:`send`, for async code: it runs in the thread in which Django keeps this task's connections.

        There are no async transactions: to queue in one of yours, call ``send()`` in the synchronous function that
        holds it.
        """
        return await sync_to_async(NotificationManager.send, thread_sensitive=True)(*args, **options)

    @staticmethod
    @synchronous
    def send_notification(
        message: str,
        level: str | None = None,
        channels: Iterable[Enum | str] | None = None,
        *,
        title: str | None = None,
        recipients: Any = None,
        cluster: Any = None,
        **options: Any,
    ) -> SendResult:
        """Send free text with the built-in event ``message`` or, at the level ``critical``, ``critical_message``.

        A critical text reaches those who opted out, at any hour. If ``CRITICAL_MESSAGE_PERMISSION`` is set, it needs an
        ``actor`` with that permission.

        :param level: ``critical``, ``warning``, ``info`` or ``debug``; ``info`` unless ``priority`` is given instead.
        :param recipients: as for :meth:`send`, such as ``Members(cluster)`` for everybody; those of
            ``MESSAGE_RECIPIENTS`` where it is left out.
        :param options: the other options of :meth:`send`.
        :raises InvalidOption: if neither the call nor the setting names recipients, or the setting names no group;
            besides what :meth:`send` raises.
        """
        recipients = find_recipients(cluster) if recipients is None else recipients
        context = {"message": message, "title": title}
        event = choose_event(level, options.get("priority"))
        return NotificationManager.send(event, recipients, cluster, context, level=level, channels=channels, **options)

    @staticmethod
    @synchronous
    def cancel(cluster: Any, cancel_key: str) -> int:
        """Cancel what was sent with this key; returns how many deliveries were stopped that no worker had taken yet.

        What a worker has at this moment may still go out; if it does not, it is not tried again.

        :raises InvalidOption, InvalidCluster: without a key, or if the cluster is none.
        """
        return cancel(cluster, cancel_key)

    @staticmethod
    @synchronous
    def explain(
        event_name: Enum | str,
        recipient: Any,
        cluster: Any = None,
        context: Mapping[str, Any] | None = None,
        *,
        channels: Iterable[Enum | str] | None = None,
        level: str | None = None,
        priority: NotificationPriority | int | None = None,
        send_at: datetime | None = None,
        expires_at: datetime | None = None,
        idempotency_key: str | None = None,
        actor: Any = None,
        topic: Enum | Topic | str = "",
        campaign: str = "",
        correlation_id: str = "",
        cancel_key: str | None = None,
        attachments: Iterable[Attachment | tuple[Any, ...]] | None = None,
        at: datetime | None = None,
    ) -> Explanation:
        """What :meth:`send` would make of it for one recipient, gate by gate, and what would have to change.

        It decides by the code of ``send()``, and writes and reserves nothing. A channel that is not configured, a full
        queue, a missing permission and an idempotency key that was used already, be it with another content, are
        explained and not raised.

        :param recipient: one user or one ``Address``.
        :param at: another moment than now.
        :raises UnknownEvent, InvalidContext, InvalidRecipient, InvalidCluster, InvalidOption: as ``send()`` does.
        """
        options = Options(
            channels, level, priority, send_at, expires_at, idempotency_key, actor, topic, campaign, correlation_id,
            cancel_key, attachments,
        )  # fmt: skip
        return explain(build_request(event_name, cluster, context, options), recipient, at)

    @staticmethod
    @synchronous
    def why(subject: Delivery | Notification | SendResult, recipient: Any = None) -> Explanation:
        """Why it did or did not arrive: what happened, and what it waits for.

        :param subject: a delivery, or a notification or the result of its ``send()`` together with a ``recipient``: a
            user or an ``Address``. Then those are told too whom ``send()`` refused.
        :raises InvalidOption, InvalidRecipient: if it is none of these, or gone, or the recipient is missing; or if the
            result is of a call that stored no notification.
        """
        return why(subject, recipient)

    @staticmethod
    @synchronous
    def acknowledge(notification: Notification, user: Any) -> bool:
        """Note that a recipient has taken note of it; returns whether that is new.

        :raises NotPermitted: unless the user is one of its recipients, active, and a member of its cluster.
        :raises InvalidOption: if either is something else than a saved notification and a saved user.
        """
        return acknowledge(notification, user)

    @staticmethod
    @synchronous
    def resend(delivery: Delivery, reason: str, actor: Any = None) -> Delivery:
        """Send a dead or unknown delivery again, with all its tries; returns it as it is now.

        :param reason: why, for the log, in at most 500 characters.
        :param actor: who wants it; without one nobody's permission is asked.
        :raises NotPermitted: if the actor lacks ``klaxon.retry_delivery``.
        :raises InvalidOption: if it is no delivery or in another state, the actor is no saved user, or the reason is
            empty, too long or cannot be stored.
        """
        return resend(delivery, reason, actor)


def _not_sent(error: UnknownEvent | InvalidContext) -> SendResult:
    """What a call comes to that cannot be sent; the error is raised unless the site has it logged."""
    if conf.current().on_bad_call != "log":
        raise error
    logger.error("Nothing is sent. %s", error)
    return SendResult(None, problems=(str(error),), bad_call=True)

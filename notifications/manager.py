"""The public interface for sending, cancelling and explaining notifications."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from enum import Enum
from functools import wraps
from typing import Any, ParamSpec, TypeVar, Unpack

from asgiref.sync import sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import Error, router
from django.db.models import Model

from notifications import conf
from notifications.core.databases import suggest_migrate
from notifications.core.tracing import trace_send
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import CalledFromAsyncCode, InvalidContext, UnknownEvent
from notifications.explain.explain import explain
from notifications.explain.explanation import Explanation
from notifications.explain.why import why
from notifications.models import Delivery, Notification
from notifications.outcomes import SendResult
from notifications.recipients import Address, Recipients
from notifications.sending.acknowledge import acknowledge
from notifications.sending.cancel import cancel
from notifications.sending.enqueue import enqueue
from notifications.sending.message import choose_event, find_recipients
from notifications.sending.options import ExplainOptions, SendOptions, refuse_unknown_options, takes_options
from notifications.sending.request import build_request, validate_request
from notifications.sending.resend import resend
from notifications.spool.outage import enqueue_or_spool, may_spool

__all__ = ["ExplainOptions", "NotificationManager", "SendOptions"]
logger = logging.getLogger("notifications.manager")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def synchronous(call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Raise an error in async code before Django does, with the call to write instead.

    If ``DJANGO_ALLOW_ASYNC_UNSAFE`` is set, Django raises no error in async code, and neither does this.
    """

    @wraps(call)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            _refuse_in_async_code(call.__name__)
        return call(*args, **kwargs)

    return wrapper


def _refuse_in_async_code(name: str) -> None:
    if os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        return
    replacement = f"await sync_to_async(NotificationManager.{name})(…), with sync_to_async of asgiref.sync"
    if name == "send":
        replacement = "await NotificationManager.asend(…)"
    raise CalledFromAsyncCode(
        f"NotificationManager.{name}() was called in async code, where the database cannot be used. "
        f"Write: {replacement}"
    )


class NotificationManager:
    """The public interface for code that sends notifications. All methods are static."""

    @staticmethod
    @synchronous
    @takes_options(SendOptions)
    def send(
        event_name: Enum | str,
        recipients: "Recipients",
        cluster: Model | None = None,
        context: Mapping[str, Any] | None = None,
        **options: Unpack[SendOptions],
    ) -> SendResult:
        """Queue a notification in the caller's transaction. A rollback removes it; after a commit it is not lost.

        :param event_name: a member of an enum of registered events, or the event's name.
        :param recipients: a user or group, a queryset of either, ``Members(cluster)``, ``Topic("…")``, ``Address(…)``,
            or an iterable of these. ``To(…, channels=[…])`` limits some of them to some of the call's channels.
        :param cluster: the tenant. Sites that keep Klaxon's cluster model can omit it: the default cluster is open to
            all active users.
        :param context: the values that the event declares.
        :param options: see :class:`SendOptions`.
        :raises UnknownEvent, InvalidContext, InvalidRecipient, InvalidCluster, InvalidOption: if the call is wrong.
        :raises NotPermitted: if the event names a permission that the actor does not have.
        :raises IdempotencyConflict: if the idempotency key was used with different content.
        :raises TypeError: if an option is unknown.

        If ``ON_BAD_CALL`` is ``"log"``, ``UnknownEvent`` and ``InvalidContext`` are logged as errors instead of raised,
        and ``refused`` of the result is true. Nothing is sent if the event is unknown, or if the context is not a
        mapping and the event is not CRITICAL; otherwise the event is sent with the values that can be stored.

        If the database cannot be reached, ``SPOOL_DIR`` is set and there is no transaction, the call is stored in that
        folder, and ``spooled`` of the result is true.
        """
        if not options.keys() <= SendOptions.__annotations__.keys():
            refuse_unknown_options(NotificationManager.send, options)
        try:
            request = validate_request(event_name, cluster, context, options)
        except (UnknownEvent, InvalidContext) as error:
            return _reject(error)
        using = router.db_for_write(Notification)
        try:
            with trace_send(request.event.name):
                if conf.current().spool_dir and may_spool(using):
                    return enqueue_or_spool(request, recipients, using)
                return enqueue(request, recipients, using)
        except Error as error:
            suggest_migrate(error)
            raise

    @staticmethod
    @takes_options(SendOptions)
    async def asend(
        event_name: Enum | str,
        recipients: "Recipients",
        cluster: Model | None = None,
        context: Mapping[str, Any] | None = None,
        **options: Unpack[SendOptions],
    ) -> SendResult:
        """Do the same as :meth:`send`, for async code.

        It runs ``send()`` in the thread that holds Django's database connections for the current task.

        Django has no async transactions. To queue in a transaction, call ``send()`` in the synchronous function that
        opens it.
        """
        send = sync_to_async(NotificationManager.send, thread_sensitive=True)
        return await send(event_name, recipients, cluster, context, **options)

    @staticmethod
    @synchronous
    def send_notification(
        message: str,
        level: str | None = None,
        channels: Iterable[Enum | str] | None = None,
        *,
        title: str | None = None,
        recipients: "Recipients | None" = None,
        cluster: Model | None = None,
        **options: Any,
    ) -> SendResult:
        """Send free text with the built-in event ``message`` or, at the level ``critical``, ``critical_message``.

        A critical text ignores opt-outs and quiet hours. If ``CRITICAL_MESSAGE_PERMISSION`` is set, it requires an
        ``actor`` with that permission.

        :param level: ``critical``, ``warning``, ``info`` or ``debug``; ``info`` unless ``priority`` is given.
        :param recipients: as for :meth:`send`, such as ``Members(cluster)`` for everybody; by default those of
            ``MESSAGE_RECIPIENTS``.
        :param options: the other options of :meth:`send`.
        :raises InvalidOption: if neither the call nor the setting names recipients, or the group of the setting does
            not exist. It also raises the errors of :meth:`send`.
        """
        recipients = find_recipients(cluster) if recipients is None else recipients
        context = {"message": message, "title": title}
        event = choose_event(level, options.get("priority"))
        return NotificationManager.send(event, recipients, cluster, context, level=level, channels=channels, **options)

    @staticmethod
    @synchronous
    def cancel(cluster: Model | None, cancel_key: str) -> int:
        """Cancel the notifications with this key.

        Return the number of cancelled deliveries; claimed ones are not counted. They may still be sent. If one is not,
        it is not retried.

        :raises InvalidOption: if there is no key.
        :raises InvalidCluster: if the cluster is missing, not saved or of another model.
        """
        return cancel(cluster, cancel_key)

    @staticmethod
    @synchronous
    @takes_options(ExplainOptions)
    def explain(
        event_name: Enum | str,
        recipient: AbstractBaseUser | Address,
        cluster: Model | None = None,
        context: Mapping[str, Any] | None = None,
        **options: Unpack[ExplainOptions],
    ) -> Explanation:
        """Explain what :meth:`send` would do for one recipient, gate by gate, and what would have to change.

        It decides by the same code as ``send()``, but writes and reserves nothing. A channel that is not configured, a
        full queue, a missing permission and an idempotency key that was used before, even with different content,
        raise no error; they are part of the explanation.

        :param recipient: one user or one ``Address``.
        :param options: see :class:`ExplainOptions`.
        :raises UnknownEvent, InvalidContext, InvalidRecipient, InvalidCluster, InvalidOption: as ``send()`` does.
        :raises TypeError: if an option is unknown.
        """
        if not options.keys() <= ExplainOptions.__annotations__.keys():
            refuse_unknown_options(NotificationManager.explain, options)
        request = build_request(NOTIFICATION_EVENTS.find(event_name), cluster, context, options)
        return explain(request, recipient, options.get("at"))

    @staticmethod
    @synchronous
    def why(
        subject: Delivery | Notification | SendResult, recipient: AbstractBaseUser | Address | None = None
    ) -> Explanation:
        """Explain why a notification did or did not arrive: what happened, and what it waits for.

        :param subject: a delivery; or a notification or ``SendResult``, together with a ``recipient``. With a
            recipient, the explanation also covers drops by ``send()``.
        :param recipient: a user or an ``Address``.
        :raises InvalidOption, InvalidRecipient: if the subject is something else or was deleted, the recipient is
            missing, or the call of the result stored no notification.
        """
        return why(subject, recipient)

    @staticmethod
    @synchronous
    def acknowledge(notification: Notification, user: AbstractBaseUser) -> bool:
        """Store that a recipient has taken note of the notification. Return whether this is new.

        :raises NotPermitted: unless the user is one of its recipients, active, and a member of its cluster.
        :raises InvalidOption: if the arguments are not a saved notification and a saved user.
        """
        return acknowledge(notification, user)

    @staticmethod
    @synchronous
    def resend(delivery: Delivery, reason: str, actor: AbstractBaseUser | None = None) -> Delivery:
        """Send a dead or unknown delivery again, and allow it the full number of attempts. Return the updated delivery.

        :param reason: the reason for the log, at most 500 characters.
        :param actor: the user who resends it. Without an actor, no permission is checked.
        :raises NotPermitted: if the actor lacks ``klaxon.retry_delivery``.
        :raises InvalidOption: if ``delivery`` is not a saved delivery or is neither dead nor unknown, the actor is not
            a saved user, or the reason is empty, too long or cannot be stored.
        """
        return resend(delivery, reason, actor)


def _reject(error: UnknownEvent | InvalidContext) -> SendResult:
    """Raise the error or, if the site logs wrong calls, log it and return the result of a call that is not sent."""
    if conf.current().on_bad_call != "log":
        raise error
    logger.error("Nothing is sent. %s", error)
    return SendResult(None, problems=(str(error),), bad_call=True)

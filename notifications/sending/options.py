"""The options of ``send()``, ``asend()`` and ``explain()``: their names, their types and what they mean."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, TypedDict, TypeVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser

from notifications.attachments import Attachment
from notifications.conf.problem import suggest
from notifications.events import NotificationPriority
from notifications.recipients import Topic

Method = TypeVar("Method", bound=Callable[..., Any])
OPTIONS_FIELD = re.compile(r"^( *):param options:.*\n", re.MULTILINE)


class SendOptions(TypedDict, total=False):
    """The options of ``send()``. Each is None by default. Wrong values raise ``InvalidOption``.

    :param channels: members of an enum or names, at least one; they narrow the event's channels for this call. By
        default, the call uses all channels of the event.
    :param level: ``critical``, ``warning``, ``info`` or ``debug``; it determines the sending order, and whether the
        deliveries can wait for a digest or batch. It cannot lower the priority of a CRITICAL event, and it does not
        make another event ignore opt-outs. By default, the priority of the event.
    :param priority: the level as a ``NotificationPriority`` or its number; give one of the two.
    :param send_at: do not send before this time. The year must be from 1970 to 8999. A naive time is in the current
        time zone. By default, the notification is sent immediately.
    :param expires_at: do not send after this time. It must be after ``send_at``. By default, it does not expire.
    :param idempotency_key: a string of at most 200 characters. A second call with the same key, event and cluster
        queues nothing and returns the present counts of the first notification (see ``SendResult``). If its content
        differs, it raises ``IdempotencyConflict``.
    :param actor: the saved user whose action the notification reports. An anonymous user counts as None. If the event
        or a critical text requires a permission that the actor does not have, the call raises ``NotPermitted``.
    :param topic: a tag that users can mute: a string of at most 200 characters, a member of an enum or a ``Topic``. It
        selects no recipients; pass ``Topic(…)`` as a recipient for that. By default, none.
    :param campaign: a tag of at most 200 characters that is stored with the notification. By default, none.
    :param correlation_id: a tag of at most 100 characters that is stored with the notification; by default a new UUID.
    :param cancel_key: a name of at most 200 characters by which ``cancel()`` finds the notification. By default,
        none.
    :param attachments: files, each an ``Attachment(name, content, mimetype)`` or such a tuple, for channels that
        can send them, such as email. They are stored once, with the notification. At most 100 files, and together
        at most ``ATTACHMENT_BYTES`` bytes. By default, none.
    """

    channels: Iterable[Enum | str] | None
    level: str | None
    priority: NotificationPriority | int | None
    send_at: datetime | None
    expires_at: datetime | None
    idempotency_key: str | None
    actor: AbstractBaseUser | AnonymousUser | None
    topic: Enum | Topic | str | None
    campaign: str | None
    correlation_id: str | None
    cancel_key: str | None
    attachments: Iterable[Attachment | tuple[Any, ...]] | None


class ExplainOptions(SendOptions, total=False):
    """The options of ``explain()``: those of ``send()``, and the time of the call.

    :param at: the time of the call, of the years 1970 to 8999; by default now. A naive time is in the current time
        zone.
    """

    at: datetime | None


def takes_options(options: Any) -> Callable[[Method], Method]:
    """Show the options in the signature of a function, and in its docstring, in place of the field ``options``.

    The function declares them as ``**options: Unpack[…]``, which type checkers read. ``help()`` and the reference show
    what this decorator sets.

    :param options: the TypedDict with the options.
    """

    def decorate(method: Method) -> Method:
        signature = inspect.signature(method)
        *arguments, _ = signature.parameters.values()
        named = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in options.__annotations__.items()
        ]
        vars(method)["__signature__"] = signature.replace(parameters=[*arguments, *named])
        method.__doc__ = OPTIONS_FIELD.sub(lambda field: _get_fields(options, field[1]), method.__doc__ or "")
        return method

    return decorate


def _get_fields(options: Any, indent: str) -> str:
    """Return the lines of the docstring that describe the options, indented."""
    lines = inspect.getdoc(options) or ""
    fields = lines[lines.index(":param") :].splitlines()
    return "".join(f"{indent}{line}\n" for line in fields)


def refuse_unknown_options(method: Callable[..., Any], options: Mapping[str, object]) -> None:
    """Raise a TypeError for the first option that a method does not have. It suggests the most similar argument."""
    known = inspect.signature(method).parameters
    for name in options:
        if name not in known:
            raise TypeError(
                f"NotificationManager.{method.__name__}() has no option {name!r}. {suggest(name, known, 'arguments')}"
            )

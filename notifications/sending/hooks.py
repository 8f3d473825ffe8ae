"""Functions that do more when a notification is sent or acknowledged, in the same transaction.

Features register them when Django starts, so the sending wing does not import them.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from notifications.models import Notification
from notifications.outcomes import SendResult
from notifications.sending.request import Request

AcknowledgementHook = Callable[[Notification, Any, str, datetime], None]
"""A function that gets the notification, the user, the alias of the database and the time.

It is called for every acknowledgement, also for one that the user repeats. An exception prevents it.
"""


class SendHook(NamedTuple):
    """What a feature does when a notification is queued.

    :param applies: whether it does anything for a request. It is called for each ``send()``, so it must be fast.
    :param run: gets the request, the result and the alias of the database. It is not called for a duplicate
        by idempotency key. An exception prevents the notification.
    """

    applies: Callable[[Request, str], bool]
    run: Callable[[Request, SendResult, str], None]


SEND_HOOKS: dict[str, SendHook] = {}
ACKNOWLEDGEMENT_HOOKS: dict[str, AcknowledgementHook] = {}


def register_send_hook(name: str, hook: SendHook) -> None:
    """Register what a feature does when a notification is queued."""
    SEND_HOOKS[name] = hook


def register_acknowledgement_hook(name: str, hook: AcknowledgementHook) -> None:
    """Register what a feature does when a user acknowledges a notification."""
    ACKNOWLEDGEMENT_HOOKS[name] = hook


def find_send_hooks(request: Request, using: str) -> list[SendHook]:
    """Return the hooks that do something for a request."""
    return [hook for hook in SEND_HOOKS.values() if hook.applies(request, using)]

"""Check that an actor is a user and has the permission that an event requires."""

from typing import Any

from django.contrib.auth import get_user_model

from notifications import conf
from notifications.core.databases import reload_from_primary
from notifications.events import BuiltInEvents, NotificationEvent
from notifications.exceptions import InvalidOption, NotPermitted


def check_is_user(name: str, value: Any) -> None:
    """Check that the value is a saved user. None and anonymous users pass; permissions are checked elsewhere.

    :param name: the name of the argument, for the error message.
    :raises InvalidOption: if it is anything else.
    """
    if value is None or getattr(value, "is_anonymous", False):
        return
    if not isinstance(value, get_user_model()) or value.pk is None:
        raise InvalidOption(f"{name} must be a saved user, not {value!r:.80}.")


def get_required_permission(event: NotificationEvent) -> str:
    """Return the permission that the actor of a ``send()`` must have; empty if none is required."""
    if not event.permission and event.name == BuiltInEvents.CRITICAL_MESSAGE.value:
        return conf.current().critical_message_permission
    return event.permission


def check_actor_given(event: NotificationEvent, actor: Any) -> None:
    """Check that there is an actor if the event requires a permission. It makes no query, so it works in an outage.

    :raises NotPermitted: if there is none.
    """
    permission = get_required_permission(event)
    if permission and (actor is None or getattr(actor, "is_anonymous", False)):
        raise NotPermitted(
            f"Event {event.name!r} may only be sent by an actor with the permission {permission!r}, and no "
            "actor was given. Pass the user who causes it as actor."
        )


def has_permission(actor: Any, permission: str) -> bool:
    """Return whether the actor has the permission in the primary database.

    A user who was read from a replica is read again, because their permissions may have changed since.
    """
    user = actor if getattr(actor, "is_anonymous", False) else reload_from_primary(actor)
    return user is not None and bool(user.has_perm(permission))


def check_permission(event: NotificationEvent, actor: Any) -> None:
    """Check that the actor has the permission that the event requires.

    :raises NotPermitted: if they do not.
    """
    check_actor_given(event, actor)
    permission = get_required_permission(event)
    if permission and not has_permission(actor, permission):
        raise NotPermitted(
            f"Event {event.name!r} may only be sent by an actor with the permission {permission!r}, and "
            f"{str(actor)!r:.80} does not have it."
        )

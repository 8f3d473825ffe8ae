"""Who may do it: somebody at all, and for an event that names a permission, somebody who has it."""

from typing import Any

from django.contrib.auth import get_user_model

from notifications import conf
from notifications.core.primary import reload_from_primary
from notifications.events import BuiltInEvents, NotificationEvent
from notifications.exceptions import InvalidOption, NotPermitted


def check_is_user(name: str, value: Any) -> None:
    """Nobody, and who has not logged in, pass: whether they may is another question.

    :param name: of the argument, for the sentence.
    :raises InvalidOption: if it is something else than a saved user.
    """
    if value is None or getattr(value, "is_anonymous", False):
        return
    if not isinstance(value, get_user_model()) or value.pk is None:
        raise InvalidOption(f"{name} must be a saved user, not {value!r:.80}.")


def get_required_permission(event: NotificationEvent) -> str:
    """The permission that the actor of a ``send()`` must have; empty if none is needed."""
    if not event.permission and event.name == BuiltInEvents.CRITICAL_MESSAGE.value:
        return conf.current().critical_message_permission
    return event.permission


def check_actor_given(event: NotificationEvent, actor: Any) -> None:
    """Asks no database, so that it can be told in the caller's face even while there is none.

    :raises NotPermitted: if the event needs an actor with a permission, and there is none.
    """
    permission = get_required_permission(event)
    if permission and (actor is None or getattr(actor, "is_anonymous", False)):
        raise NotPermitted(
            f"Event {event.name!r} may only be sent by an actor with the permission {permission!r}, and no "
            "actor was given. Pass the user who causes it as actor."
        )


def has_permission(actor: Any, permission: str) -> bool:
    """Whether the actor has it, according to the database that is written.

    A user whom the host read from a replica is read anew, for they may have been given or have lost it since.
    """
    known = actor if getattr(actor, "is_anonymous", False) else reload_from_primary(actor)
    return known is not None and bool(known.has_perm(permission))


def check_permission(event: NotificationEvent, actor: Any) -> None:
    """
    :raises NotPermitted: if the event needs a permission that the actor does not have.
    """
    check_actor_given(event, actor)
    permission = get_required_permission(event)
    if permission and not has_permission(actor, permission):
        raise NotPermitted(
            f"Event {event.name!r} may only be sent by an actor with the permission {permission!r}, and "
            f"{str(actor)!r:.80} does not have it."
        )

"""Who may send: an event can name a permission that the actor must have."""

from typing import Any

from notifications.events import NotificationEvent
from notifications.exceptions import NotPermitted


def check_actor_named(event: NotificationEvent, actor: Any) -> None:
    """Asks no database, so that it can be told in the caller's face even while there is none.

    :raises NotPermitted: if the event needs an actor with a permission, and there is none.
    """
    if event.permission and (actor is None or getattr(actor, "is_anonymous", False)):
        raise NotPermitted(
            f"Event {event.name!r} may only be sent by an actor with the permission {event.permission!r}, and no "
            "actor was given. Pass the user who causes it as actor."
        )


def check_permission(event: NotificationEvent, actor: Any) -> None:
    """
    :raises NotPermitted: if the event needs a permission that the actor does not have.
    """
    check_actor_named(event, actor)
    if event.permission and not actor.has_perm(event.permission):
        raise NotPermitted(
            f"Event {event.name!r} may only be sent by an actor with the permission {event.permission!r}, and "
            f"{str(actor)!r:.80} does not have it."
        )

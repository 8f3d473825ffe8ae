"""Rules: the site's function that returns notifications for a change. ``NOTIFICATIONS["CAN_RULES"]`` names it.

::

    def rules(change: FaultChange) -> Iterator[Send]:
        if change.kind == "raised" and "red" in change.lamps:
            yield Send(CoachEvents.FAULT, Members(coach), coach, {"problem": change.problem})
"""

from typing import cast

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from notifications import conf
from notifications.can.sender import Rules


def load_rules() -> Rules:
    """Return the callable that ``CAN_RULES`` names.

    :raises ImproperlyConfigured: if the setting is empty or cannot be imported.
    """
    path = conf.current().can_rules
    if not path:
        raise ImproperlyConfigured(
            "NOTIFICATIONS['CAN_RULES'] is not set, so no notifications would be sent. Set it to the dotted path of a "
            "callable(FaultChange) that returns an iterable of Send, or try the bridge with --dry-run."
        )
    try:
        return cast("Rules", import_string(path))
    except ImportError as error:
        raise ImproperlyConfigured(
            f"NOTIFICATIONS['CAN_RULES'] is {path!r}, which cannot be imported: {error}"
        ) from error

"""Free text: which of the two events it is, and to whom it goes where the call names nobody."""

import re
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from notifications import conf
from notifications.events import LEVELS, BuiltInEvents, NotificationPriority
from notifications.exceptions import InvalidOption
from notifications.recipients import GroupNamed

CRITICAL = NotificationPriority.CRITICAL
DOTTED_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
UNSET = (
    "send_notification() was given no recipients, and NOTIFICATIONS['MESSAGE_RECIPIENTS'] is not set. Pass recipients, "
    "such as Members(cluster) for everybody, or set it to the name of a group or the dotted path of a "
    "callable(cluster) that returns recipients."
)


def choose_event(level: Any, priority: Any) -> BuiltInEvents:
    """The event that sends a text: one that is critical must reach those who opted out, and wait for nothing."""
    is_critical = (isinstance(level, str) and LEVELS.get(level) == CRITICAL) or (
        priority == CRITICAL and not isinstance(priority, bool)
    )
    return BuiltInEvents.CRITICAL_MESSAGE if is_critical else BuiltInEvents.MESSAGE


def is_dotted_path(text: str) -> bool:
    """Whether ``MESSAGE_RECIPIENTS`` names a callable; anything else is the name of a group."""
    return DOTTED_PATH.fullmatch(text) is not None


def find_recipients(cluster: Any) -> Any:
    """Those whom ``MESSAGE_RECIPIENTS`` names.

    :raises InvalidOption: if the setting is empty, or its callable returns None.
    :raises ImproperlyConfigured: if its callable cannot be imported.
    """
    named = conf.current().message_recipients
    if not named:
        raise InvalidOption(UNSET)
    if not is_dotted_path(named):
        return GroupNamed(named)
    try:
        function = import_string(named)
    except ImportError as error:
        raise ImproperlyConfigured(f"NOTIFICATIONS['MESSAGE_RECIPIENTS'] names {named!r}: {error}") from error
    found = function(cluster)
    if found is None:
        raise InvalidOption(
            f"{named}, which NOTIFICATIONS['MESSAGE_RECIPIENTS'] names, returned None. Let it return recipients, or an "
            "empty list for nobody."
        )
    return found

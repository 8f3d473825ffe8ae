"""Free text messages: their event, and their recipients if the call names none."""

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
NO_RECIPIENTS = (
    "send_notification() was given no recipients, and NOTIFICATIONS['MESSAGE_RECIPIENTS'] is not set. Pass recipients, "
    "such as Members(cluster) for everybody, or set it to the name of a group or the dotted path of a "
    "callable(cluster) that returns recipients."
)


def choose_event(level: Any, priority: Any) -> BuiltInEvents:
    """Return the event for a text. A critical text has its own event, which ignores opt-outs and quiet hours."""
    is_critical = (isinstance(level, str) and LEVELS.get(level) == CRITICAL) or (
        priority == CRITICAL and not isinstance(priority, bool)
    )
    return BuiltInEvents.CRITICAL_MESSAGE if is_critical else BuiltInEvents.MESSAGE


def is_dotted_path(text: str) -> bool:
    """Return whether ``MESSAGE_RECIPIENTS`` is the path of a callable. Otherwise it is the name of a group."""
    return DOTTED_PATH.fullmatch(text) is not None


def find_recipients(cluster: Any) -> Any:
    """Return the recipients of ``MESSAGE_RECIPIENTS``.

    :raises InvalidOption: if the setting is empty, or its callable returns None.
    :raises ImproperlyConfigured: if its callable cannot be imported.
    """
    setting = conf.current().message_recipients
    if not setting:
        raise InvalidOption(NO_RECIPIENTS)
    if not is_dotted_path(setting):
        return GroupNamed(setting)
    try:
        function = import_string(setting)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"NOTIFICATIONS['MESSAGE_RECIPIENTS'] is {setting!r}, which cannot be imported: {error}"
        ) from error
    recipients = function(cluster)
    if recipients is None:
        raise InvalidOption(
            f"{setting}, which NOTIFICATIONS['MESSAGE_RECIPIENTS'] names, returned None. It must return recipients, or "
            "an empty list for nobody."
        )
    return recipients

"""The context of a notification: validated against its event and stored as JSON that keeps types."""

from notifications.context.storage import UNSTORABLE, decoded, encoded, make_comparable, select_loggable
from notifications.context.validation import ValidatedContext, validated
from notifications.events.annotations import Fields

__all__ = [
    "UNSTORABLE",
    "ValidatedContext",
    "Fields",
    "make_comparable",
    "decoded",
    "encoded",
    "select_loggable",
    "validated",
]

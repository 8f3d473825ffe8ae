"""The context of a notification: checked against what its event declares, and stored as JSON that keeps its types."""

from notifications.context.logged import select_loggable
from notifications.context.storage import UNSTORABLE, decoded, encoded, make_comparable
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

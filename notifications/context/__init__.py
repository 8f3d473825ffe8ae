"""The context of a notification: checked against what its event declares, and stored as JSON that keeps its types."""

from notifications.context.logged import loggable
from notifications.context.storage import UNSTORABLE, comparable, decoded, encoded
from notifications.context.validation import CheckedContext, validated
from notifications.events.annotations import Fields

__all__ = [
    "UNSTORABLE",
    "CheckedContext",
    "Fields",
    "comparable",
    "decoded",
    "encoded",
    "loggable",
    "validated",
]

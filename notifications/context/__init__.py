"""The context of a notification: validated against its event and stored as JSON that keeps types."""

from notifications.context.encryption import decrypt_context, encrypt_context, is_encrypted
from notifications.context.storage import UNSTORABLE, decoded, encoded, make_comparable, select_loggable
from notifications.context.validation import ValidatedContext, validated
from notifications.events.annotations import Fields

__all__ = [
    "UNSTORABLE",
    "ValidatedContext",
    "Fields",
    "make_comparable",
    "decoded",
    "decrypt_context",
    "encoded",
    "encrypt_context",
    "is_encrypted",
    "select_loggable",
    "validated",
]

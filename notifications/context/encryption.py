"""The stored form of the context of a sensitive event: ``{"$encrypted": token}``.

A mapping of a host with a key that begins with ``$`` is stored as ``{"$dict": …}``, so it cannot look like this.
"""

import json
from collections.abc import Mapping
from typing import Any

from notifications.core.encryption import decrypt, encrypt

TAG = "$encrypted"


def encrypt_context(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the encrypted form of a context in its stored form.

    :raises EncryptionUnavailable, MissingExtra: if this site cannot encrypt.
    """
    return {TAG: encrypt(json.dumps(stored))}


def is_encrypted(stored: Any) -> bool:
    """Return whether a context from the database is encrypted."""
    return isinstance(stored, dict) and TAG in stored


def decrypt_context(stored: Any) -> Any:
    """Return a context from the database in its stored form, decrypted if it is encrypted.

    :raises DecryptionFailed, MissingExtra: if this site cannot decrypt it.
    """
    return json.loads(decrypt(stored[TAG])) if is_encrypted(stored) else stored

"""Encryption of what the database stores, with the keys of ``NOTIFICATIONS["ENCRYPTION_KEYS"]``.

The first key encrypts, and every key decrypts. A token is the id of its key, a colon and a Fernet token (AES-128-CBC
with HMAC-SHA256). The id is a part of a hash of the key, so the token says which key it needs.
"""

import hashlib
from functools import lru_cache
from typing import Any

from notifications import conf
from notifications.core import extras
from notifications.exceptions import DecryptionFailed, EncryptionUnavailable

KEY_ID_LENGTH = 8
KEYS_SETTING = "NOTIFICATIONS['ENCRYPTION_KEYS']"
SEPARATOR = ":"


def encrypt(text: str) -> str:
    """Return a token that only this site's keys can decrypt.

    :raises EncryptionUnavailable: if the site has no key.
    :raises MissingExtra: if ``cryptography`` is not installed.
    """
    key_id = get_current_key_id()
    token: bytes = _get_fernets()[key_id].encrypt(text.encode())
    return f"{key_id}{SEPARATOR}{token.decode()}"


def decrypt(token: str) -> str:
    """Return the text that :func:`encrypt` was called with.

    :raises DecryptionFailed: if the site does not have the key, or the token was changed.
    :raises MissingExtra: if ``cryptography`` is not installed.
    """
    key_id, _, encrypted = token.partition(SEPARATOR)
    fernet = _get_fernets().get(key_id)
    if fernet is None:
        raise DecryptionFailed(
            f"The content was encrypted with the key {key_id!r:.20}, which {KEYS_SETTING} does not contain. Add that "
            "key to the end of the list."
        )
    try:
        text: bytes = fernet.decrypt(encrypted.encode())
    except extras.import_optional("cryptography.fernet").InvalidToken as error:
        raise DecryptionFailed(
            f"The encrypted content was changed or damaged: the key {key_id!r} does not fit."
        ) from error
    return text.decode()


def get_current_key_id() -> str:
    """Return the id of the key that encrypts.

    :raises EncryptionUnavailable: if the site has no key.
    """
    for key in conf.current().encryption_keys:
        return get_key_id(key)
    raise EncryptionUnavailable(
        f"{KEYS_SETTING} is empty, so the content of a sensitive event cannot be encrypted. Add a key, made with: "
        'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
    )


def get_key_id(key: str) -> str:
    """Return the id of a key. It reveals nothing about the key."""
    return hashlib.sha256(key.encode()).hexdigest()[:KEY_ID_LENGTH]


def get_token_key_id(token: str) -> str:
    """Return the id of the key with which a token was encrypted."""
    return token.partition(SEPARATOR)[0]


def check_encryption() -> None:
    """Check that content can be encrypted.

    :raises EncryptionUnavailable, MissingExtra: if not.
    """
    get_current_key_id()
    _get_fernets()


def _get_fernets() -> dict[str, Any]:
    return _make_fernets(conf.current().encryption_keys)


@lru_cache(maxsize=10)
def _make_fernets(keys: tuple[str, ...]) -> dict[str, Any]:
    fernet: Any = extras.import_optional("cryptography.fernet")
    return {get_key_id(key): fernet.Fernet(key) for key in keys}

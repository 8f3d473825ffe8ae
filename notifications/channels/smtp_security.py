"""The rule that SMTP outside of this machine requires TLS, unless the channel's options allow it without."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.mail.backends.smtp import EmailBackend

LOCAL_NAMES = {"", "localhost", "localhost.localdomain", "ip6-localhost"}
OPTION = "allow_smtp_without_tls"
"""The option of the email channel that allows SMTP without TLS."""


@dataclass(frozen=True)
class EncryptionFault:
    """Why a backend must not send, and what to do about it."""

    sentence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.sentence} {self.advice}"


def find_encryption_fault(connection: Any, tls_setting: str) -> EncryptionFault | None:
    """Return why a backend must not send because it does not encrypt; None if it may.

    Backends that do not use SMTP are not judged.

    :param tls_setting: the name of the site's setting that turns TLS on.
    """
    if not isinstance(connection, EmailBackend) or uses_tls(connection) or is_loopback(connection.host):
        return None
    return EncryptionFault(
        f"The SMTP connection to {connection.host!r} has no TLS, so others can read and change the emails.",
        f"Set {tls_setting} to True. Only if the network up to that server is private, set {OPTION!r} in OPTIONS of "
        "the email channel to True.",
    )


def uses_tls(connection: EmailBackend) -> bool:
    """Return whether an SMTP backend encrypts, from the start or with STARTTLS."""
    return bool(connection.use_tls or connection.use_ssl)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address certainly means this machine. Names are not looked up."""
    name = str(host).strip("[]").rstrip(".").lower()
    if name in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def get_setting_name(
    option: str, backend: str | None, options: Mapping[str, Any], mailer: str | None, uses_mailers: bool
) -> str:
    """Return where the site sets an option of its SMTP backend, such as ``EMAIL_USE_TLS``.

    :param option: the keyword argument of the backend, such as ``"use_tls"``.
    :param backend: the option ``backend`` of the email channel.
    :param options: its option ``backend_options``.
    :param mailer: its option ``mailer``.
    :param uses_mailers: whether the site has the setting ``MAILERS``.
    """
    if option in options or (backend and uses_mailers):
        return f"{option!r} in 'backend_options' of the email channel"
    if uses_mailers:
        return f"MAILERS[{mailer or 'default'!r}]['OPTIONS'][{option!r}]"
    return {"username": "EMAIL_HOST_USER", "password": "EMAIL_HOST_PASSWORD"}.get(option, f"EMAIL_{option.upper()}")

"""The SMTP server of a provider: its TLS version and its certificate, and whether it lets this site log in."""

import errno
import smtplib
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.mail.backends.smtp import EmailBackend
from django.utils.formats import date_format

from notifications.channels import anymail_errors
from notifications.channels.email import EmailChannel
from notifications.channels.smtp_security import is_loopback
from notifications.email_setup.findings import Finding, Status

EXPIRY_WARNING = timedelta(days=14)
"""A certificate that expires within this time is reported."""
OLD_VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1")
UNKNOWN_NAME_CODES = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def check_server(channel: EmailChannel, now: datetime) -> Iterator[Finding]:
    """Connect as the channel does, and examine the connection. Nothing is sent."""
    connection = channel.connection
    if isinstance(connection, anymail_errors.BACKENDS):
        name = f"Email service {connection.esp_name}"
        yield Finding(Status.OK, name, "Emails are handed over by HTTPS, so there is no SMTP connection to examine.")
        return
    if not isinstance(connection, EmailBackend):
        kind = type(connection)
        sentence = f"{kind.__module__}.{kind.__qualname__} does not use SMTP, so its connection is not examined."
        yield Finding(Status.WARNING, "Email backend", sentence, "Check that it is the backend that you mean.")
        return
    subject = f"SMTP server {connection.host}:{connection.port}"
    if channel.encryption_fault:
        # Not opened, because that would send the password unencrypted.
        fault = channel.encryption_fault
        yield Finding(Status.ERROR, subject, fault.sentence, fault.advice)
        return
    try:
        connection.open()
    except Exception as error:  # noqa: BLE001 - the finding contains the error
        yield _describe_failure(subject, channel, error)
    else:
        yield from _describe_connection(subject, connection, now)
    finally:
        channel.close()


def _describe_connection(subject: str, connection: Any, now: datetime) -> Iterator[Finding]:
    sock = connection.connection.sock
    if not isinstance(sock, ssl.SSLSocket):
        if is_loopback(connection.host):
            yield Finding(Status.OK, subject, "The server can be used. It is on this machine, so TLS is not required.")
        else:
            sentence = "The connection has no TLS, which the option 'allow_smtp_without_tls' allows."
            yield Finding(Status.WARNING, subject, sentence, "Remove the option unless the network is private.")
        return
    expiry = _get_expiry(sock)
    if sock.version() in OLD_VERSIONS:
        sentence = f"The connection uses {sock.version()}, which is no longer secure."
        advice = "Let the SSL context of your email backend require TLS 1.2 or newer."
        yield Finding(Status.ERROR, subject, sentence, advice)
    elif expiry is None:
        sentence = f"The connection uses {sock.version()}, but the certificate is not verified."
        yield Finding(Status.WARNING, subject, sentence, "Let the SSL context of your email backend verify it.")
    elif expiry - now < EXPIRY_WARNING:
        sentence = f"The certificate of the server expires on {date_format(expiry, 'Y-m-d')}."
        yield Finding(Status.WARNING, subject, sentence, "Renew it.")
    else:
        until = date_format(expiry, "Y-m-d")
        yield Finding(Status.OK, subject, f"The server can be used, with {sock.version()}; certificate until {until}.")


def _get_expiry(sock: ssl.SSLSocket) -> datetime | None:
    """Return the end of the validity of the peer's certificate; None if it was not verified."""
    certificate = sock.getpeercert()
    if not certificate:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)


def _describe_failure(subject: str, channel: EmailChannel, error: Exception) -> Finding:
    status, sentence, options = _classify_failure(error)
    names = " and ".join(channel.name_setting(option) for option in options)
    advice = f"Check {names}." if names else "Run the command again later."
    return Finding(status, subject, f"{sentence} ({type(error).__name__}: {error})", advice)


def _classify_failure(error: Exception) -> tuple[Status, str, tuple[str, ...]]:
    """Return the status, a sentence and the options of the backend that may be wrong."""
    tls_option = ("use_tls", "use_ssl", "port")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Status.ERROR, f"The certificate of the server is not valid: {error.verify_message}.", ("host",)
    if isinstance(error, ssl.SSLError):
        return Status.ERROR, "No connection with TLS 1.2 or newer can be made.", tls_option
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return Status.ERROR, "The server refuses the login.", ("username", "password")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Status.ERROR, "The server does not offer what the settings require.", ("use_tls", "username")
    if isinstance(error, smtplib.SMTPResponseException):
        return Status.ERROR, "The server refuses the connection.", ("host", "port")
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return Status.ERROR, "The server closes the connection.", tls_option
    if _is_wrong_address(error):
        return Status.ERROR, "There is no server at this address.", ("host", "port")
    return Status.UNCHECKED, "The server cannot be reached from here.", ("host", "port")


def _is_wrong_address(error: Exception) -> bool:
    code = error.errno if isinstance(error, OSError) else None
    return code == errno.ECONNREFUSED or code in UNKNOWN_NAME_CODES

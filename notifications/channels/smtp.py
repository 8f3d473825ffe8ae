"""Django's SMTP backend, knowing how far a conversation had come when it broke off.

Before the server has asked for the content of a mail (reply 354 to DATA, RFC 5321, 4.1.1.4) nothing can have been
accepted; afterwards nobody can tell.
"""

import smtplib
from typing import Any

from django.core.mail.backends.smtp import EmailBackend as DjangoBackend


class Phased(smtplib.SMTP):
    """Remembers the last command of the envelope, and whether content was asked for."""

    content_asked_for = False

    def mail(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        self.content_asked_for = False
        return super().mail(*args, **kwargs)

    def getreply(self) -> tuple[int, bytes]:
        code, words = super().getreply()
        self.content_asked_for = self.content_asked_for or code == 354
        return code, words


class PhasedOverTLS(Phased, smtplib.SMTP_SSL):
    """The same with TLS from the first byte."""


class EmailBackend(DjangoBackend):
    """Takes the same settings as Django's own."""

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return PhasedOverTLS if self.use_ssl else Phased

    @property
    def content_asked_for(self) -> bool:
        """Whether the mail that failed may have been accepted."""
        return getattr(self.connection, "content_asked_for", False)

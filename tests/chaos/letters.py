"""Mails to the witness: the real email channel and a real SMTP conversation, with one more header."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.test import override_settings

from notifications.channels.base import Rendered
from notifications.channels.email import EmailChannel
from notifications.models import Delivery
from tests.chaos.smtp import HEADER

SMTP = "django.core.mail.backends.smtp.EmailBackend"


class WitnessedMail(EmailChannel):
    """Tells the witness which delivery a mail is of, and who sends it."""

    def prepare(self, delivery: Delivery, rendered: Rendered) -> EmailMultiAlternatives:
        message = super().prepare(delivery, rendered)
        message.extra_headers[HEADER] = f"{delivery.pk} {delivery.epoch} {delivery.fence} {os.getpid()}"
        return message


def carrier(name: str, port: int, host: str = "127.0.0.1", **options: Any) -> dict[str, Any]:
    """An entry of ``PROVIDERS``; ``options`` are more of the email backend's, such as ``timeout``."""
    backend_options = {"host": host, "port": port, **options}
    # Otherwise a host that is not this machine would be refused before anybody looks its name up.
    return {
        "NAME": name,
        "OPTIONS": {"backend": SMTP, "backend_options": backend_options, "allow_smtp_without_tls": True},
    }


@contextmanager
def posted(*carriers: dict[str, Any]) -> Iterator[None]:
    """Inside, mails are sent, by these providers in this order; for workers that are started inside."""
    email = {"BACKEND": "tests.chaos.letters.WitnessedMail", "PROVIDERS": list(carriers)}
    channels = {**settings.NOTIFICATIONS["CHANNELS"], "email": email}
    with override_settings(NOTIFICATIONS={**settings.NOTIFICATIONS, "CHANNELS": channels}):
        yield

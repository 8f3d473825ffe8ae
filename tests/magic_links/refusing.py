"""A backend of email that keeps what it got, and then fails with an error that quotes the mail."""

from django.core.mail.backends.base import BaseEmailBackend

seen = []


class EmailBackend(BaseEmailBackend):
    def send_messages(self, messages):
        seen.extend(message.body for message in messages)
        raise ValueError(f"refused: {seen[-1]}")

"""SMS by Twilio."""

from typing import Any

from notifications.channels.base import Rendered
from notifications.channels.http import HTTPMessage
from notifications.channels.sms_text import clean, fit, transliterate
from notifications.channels.twilio import TwilioChannel
from notifications.models import Delivery

MAX_SEGMENTS = 10
"""Twilio accepts 1600 characters."""


class TwilioSMSChannel(TwilioChannel):
    """Send SMS by Twilio.

    Options: those of :class:`TwilioChannel`; ``sender``, a number or a name, or ``messaging_service``, the SID of a
    messaging service; ``max_segments``, the segments after which a text is cut; ``transliterate``, whether characters
    that GSM-7 does not have are replaced by similar ones; ``help_text``, the answer to HELP.

    :raises ValueError: if an option is invalid.
    """

    resource = "Messages"
    date_filter = "DateSent"

    def __init__(
        self,
        account_sid: str = "",
        auth_token: str = "",
        api_key: str = "",
        api_secret: str = "",
        sender: str = "",
        messaging_service: str = "",
        max_segments: int = 3,
        transliterate: bool = False,
        callbacks: bool = False,
        help_text: str = "",
        api_url: str = "https://api.twilio.com",
        timeout: float = 10,
    ) -> None:
        super().__init__(account_sid, auth_token, api_key, api_secret, callbacks, api_url, timeout)
        if bool(sender) == bool(messaging_service):
            raise ValueError("Set either the option 'sender' or the option 'messaging_service'.")
        self.sender = {"From": sender} if sender else {"MessagingServiceSid": messaging_service}
        self.max_segments = check_max_segments(max_segments)
        self.transliterate = transliterate

    def prepare(self, delivery: Delivery, rendered: Rendered) -> HTTPMessage:
        text = write_text(rendered, self.max_segments, self.transliterate)
        return self.build_message(delivery, {**self.sender, "Body": text})


def check_max_segments(value: Any) -> int:
    """Return the option ``max_segments``.

    :raises ValueError: if it is invalid.
    """
    if type(value) is not int or not 1 <= value <= MAX_SEGMENTS:
        raise ValueError(f"The option 'max_segments' must be a whole number from 1 to {MAX_SEGMENTS}.")
    return value


def write_text(rendered: Rendered, max_segments: int, replaces_characters: bool) -> str:
    """Return the text of an SMS.

    :raises ValueError: if it is empty, or only a link that is too long.
    """
    text = clean(rendered.text)
    if not text:
        raise ValueError("The text of the SMS is empty.")
    return fit(transliterate(text) if replaces_characters else text, max_segments)

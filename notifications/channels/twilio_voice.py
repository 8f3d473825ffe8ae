"""Calls by Twilio, which read the text. A recipient with an account can acknowledge by a key."""

import re
from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from notifications.channels.base import Rendered
from notifications.channels.characters import find_boundary, find_limit
from notifications.channels.http import HTTPMessage
from notifications.channels.sms_text import clean
from notifications.channels.twilio import KEY_PURPOSE, KEY_VIEW, TwilioChannel
from notifications.models import Delivery

MAX_TWIML = 4000
"""The characters of TwiML that a call can contain (Twilio's error 32018)."""
ACKNOWLEDGE_KEY = "1"
LINK = re.compile(r"https?://\S+")
ANNOUNCED_LINK = re.compile(r":\s+https?://\S+(?=\s*$)", re.MULTILINE)
"""A link at the end of a line, after a colon that announces it."""
# A character that XML 1.0 does not allow, and that is not a control character.
NO_XML = re.compile("[\ufffe\uffff]")
# The languages that Twilio's default voices speak, with the region for those that have several.
SPOKEN = {
    "ca": "ca-ES", "da": "da-DK", "de": "de-DE", "en": "en-US", "en-au": "en-AU", "en-gb": "en-GB", "en-in": "en-IN",
    "es": "es-ES", "es-mx": "es-MX", "fi": "fi-FI", "fr": "fr-FR", "fr-ca": "fr-CA", "it": "it-IT", "ja": "ja-JP",
    "ko": "ko-KR", "nb": "nb-NO", "nl": "nl-NL", "pl": "pl-PL", "pt": "pt-PT", "pt-br": "pt-BR", "ru": "ru-RU",
    "sv": "sv-SE", "zh": "zh-CN", "zh-hans": "zh-CN", "zh-hant": "zh-TW",
}  # fmt: skip


class TwilioVoiceChannel(TwilioChannel):
    """Call recipients and read the text. Every notification of an event that names the channel is a call.

    Options: those of :class:`TwilioChannel`; ``sender``, the number that calls; ``repeat``, how often the text is read;
    ``voice``, one of Twilio's voices; ``languages``, the language of the voice for each language code of the site, such
    as ``{"ar": "arb"}``.

    :raises ValueError: if an option is invalid.
    """

    resource = "Calls"
    date_filter = "StartTime"
    can_show_links = False

    def __init__(
        self,
        account_sid: str = "",
        auth_token: str = "",
        api_key: str = "",
        api_secret: str = "",
        sender: str = "",
        repeat: int = 2,
        voice: str = "",
        languages: Mapping[str, str] | None = None,
        callbacks: bool = False,
        api_url: str = "https://api.twilio.com",
        timeout: float = 10,
    ) -> None:
        super().__init__(account_sid, auth_token, api_key, api_secret, callbacks, api_url, timeout)
        if not sender:
            raise ValueError("Set the option 'sender' to the number that calls.")
        if type(repeat) is not int or not 1 <= repeat <= 10:
            raise ValueError("The option 'repeat' must be a whole number from 1 to 10.")
        self.sender, self.repeat, self.voice = sender, repeat, voice
        self.languages = {**SPOKEN, **{code.lower(): name for code, name in (languages or {}).items()}}

    def prepare(self, delivery: Delivery, rendered: Rendered) -> HTTPMessage:
        written = ANNOUNCED_LINK.sub(".", NO_XML.sub("", clean(rendered.text)))
        text = " ".join(LINK.sub("", written).split())
        if not text:
            raise ValueError("The text of the call is empty. Links are not read.")
        spoken = find_language(rendered.language, self.languages)
        twiml = write_call(text, self._build_key_url(delivery, rendered.language), spoken, self.voice, self.repeat)
        return self.build_message(delivery, {"From": self.sender, "Twiml": twiml})

    def _build_key_url(self, delivery: Delivery, language: str) -> str:
        """Return the URL that Twilio calls with the pressed key; empty if nobody can acknowledge."""
        url = self.build_callback(KEY_VIEW, KEY_PURPOSE, delivery) if delivery.recipient_id is not None else ""
        # Signed by Twilio together with the rest of the URL.
        spoken = find_language(language, self.languages)
        return f"{url}?{urlencode({'language': language, 'spoken': spoken, 'voice': self.voice})}" if url else ""


def find_language(code: str, languages: Mapping[str, str]) -> str:
    """Return the language of the voice for a language code of Django; empty if there is none."""
    return languages.get(code.lower()) or languages.get(code.lower().partition("-")[0], "")


def write_call(text: str, key_url: str, language: str, voice: str, repeat: int) -> str:
    """Return the TwiML of a call, which is cut to :data:`MAX_TWIML` characters.

    The language of the recipient must be active.

    :param key_url: the URL that Twilio calls with the pressed key; empty if no key is asked for.
    """
    hint = " " + ask_for_key() if key_url else ""

    def write(words: str) -> str:
        said = say(words + hint, language, voice, repeat)
        return f"<Response>{gather(said, key_url) if key_url else said}</Response>"

    twiml = write(text)
    return twiml if len(twiml) <= MAX_TWIML else write(_cut(text, MAX_TWIML - len(write("…"))) + "…")


def ask_for_key() -> str:
    """Return the sentence that asks for the key, in the active language."""
    return _("Press {key} to acknowledge this message.").format(key=ACKNOWLEDGE_KEY)


def say(words: str, language: str, voice: str, repeat: int = 1) -> str:
    """Return the TwiML that reads words."""
    attributes = {"language": language, "voice": voice, "loop": str(repeat) if repeat > 1 else ""}
    written = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items() if value)
    return f"<Say{written}>{escape(words)}</Say>"


def gather(said: str, key_url: str) -> str:
    """Return the TwiML that waits for a key while something is said, and for ten seconds after it."""
    return f'<Gather numDigits="1" timeout="10" method="POST" action="{escape(key_url)}">{said}</Gather>'


def _cut(text: str, room: int) -> str:
    """Return the beginning of a text whose escaped form has at most ``room`` characters, without a part of a word."""
    cut = text[: find_boundary(text, find_limit(min(room, len(text)), lambda end: len(escape(text[:end])) <= room))]
    return cut.rpartition(" ")[0] or cut

"""The rendered text of a delivery, which channels receive."""

from collections.abc import Mapping
from dataclasses import dataclass

from notifications.attachments import Attachment

SUBJECT = "subject.txt"


@dataclass(frozen=True)
class Rendered:
    """The rendered parts of one delivery. The subject is one line, and text parts are not HTML-escaped.

    ``attachments`` is empty unless the channel takes attachments.
    """

    parts: Mapping[str, str]
    language: str = ""
    attachments: tuple[Attachment, ...] = ()

    @property
    def subject(self) -> str:
        return self.parts.get(SUBJECT, "")

    @property
    def text(self) -> str:
        return self.parts.get("txt", "")

    @property
    def html(self) -> str:
        return self.parts.get("html", "")

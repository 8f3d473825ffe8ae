"""The text of a delivery, as rendering makes it and channels take it."""

from collections.abc import Mapping
from dataclasses import dataclass

from notifications.attachments import Attachment

SUBJECT = "subject.txt"


@dataclass(frozen=True)
class Rendered:
    """The text of one delivery, by part. The subject is one line; text parts are not HTML-escaped.

    ``attachments`` are there only for a channel that takes them.
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

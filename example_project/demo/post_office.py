"""A real SMTP server on loopback that keeps what it accepts, so that a demonstration can show it."""

import itertools
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from django.conf import settings

FOLDER: Path = settings.VAR / "mail"


class KeepEveryMail:
    """A handler for aiosmtpd: one file for each accepted mail."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = itertools.count(1)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        (self.folder / f"{next(self.numbers):05}.eml").write_bytes(envelope.content)
        return "250 Kept"


def emptied() -> Path:
    """The folder of received mails, with nothing in it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.eml"):
        old.unlink()
    return FOLDER


def received() -> list[tuple[str, EmailMessage]]:
    """Every mail, newest first, with the name of its file."""
    files = sorted(FOLDER.glob("*.eml"), reverse=True)
    return [(file.stem, message_from_bytes(file.read_bytes(), policy=policy.default)) for file in files]

"""A real SMTP server on loopback that keeps what it accepts, so that a demonstration can show it."""

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP
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


@contextmanager
def open_for_mail() -> Iterator[int]:
    """The server on a free port of loopback, in a thread of its own; yields the port."""
    loop = asyncio.new_event_loop()
    handler = KeepEveryMail(emptied())
    server = loop.run_until_complete(loop.create_server(lambda: SMTP(handler), "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
        server.close()
        loop.close()


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

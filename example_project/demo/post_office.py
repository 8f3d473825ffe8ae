"""A real SMTP server on loopback that stores the mails it accepts, so that the demonstration can show them."""

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


class StoreHandler:
    """A handler for aiosmtpd that writes each accepted mail to a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = itertools.count(1)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        (self.folder / f"{next(self.numbers):05}.eml").write_bytes(envelope.content)
        return "250 Stored"


@contextmanager
def run_smtp_server() -> Iterator[int]:
    """Run the server on a free port of loopback, in its own thread, and yield the port."""
    loop = asyncio.new_event_loop()
    handler = StoreHandler(empty_folder())
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


def empty_folder() -> Path:
    """Delete all received mails and return their folder."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.eml"):
        old.unlink()
    return FOLDER


def read_mails() -> list[tuple[str, EmailMessage]]:
    """Return the name of the file and the message of each received mail, newest first."""
    files = sorted(FOLDER.glob("*.eml"), reverse=True)
    return [(file.stem, message_from_bytes(file.read_bytes(), policy=policy.default)) for file in files]

"""Before a race: all sides send the same mails, or one of them would have less to do."""

from collections.abc import Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

# What the sink writes above each mail, and what differs from mail to mail.
IGNORED = {"x-client-addr", "x-client-proto", "x-helo-args", "x-mail-args", "x-rcpt-args", "received"}
OF_EACH = {"date", "message-id", "content-type"}


def compare(names: Sequence[str], folders: Sequence[Path]) -> None:
    """Each folder holds the one mail that one side has sent.

    :raises RuntimeError: if a header or a body differs from the first side's.
    """
    first, *others = [looks(next(folder.iterdir())) for folder in folders]
    for name, other in zip(names[1:], others, strict=True):
        if other != first:
            raise RuntimeError(f"{name} does not send what {names[0]} sends: {other} and {first}")


def looks(file: Path) -> dict[str, Any]:
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    headers = {name.lower(): str(value) for name, value in mail.items() if name.lower() not in IGNORED}
    return {
        "headers": sorted((name, value) for name, value in headers.items() if name not in OF_EACH),
        "of each": sorted(OF_EACH & set(headers)),
        "parts": [part_of(part) for part in mail.walk()],
    }


def part_of(part: EmailMessage) -> tuple[str, str]:
    return part.get_content_type(), "" if part.is_multipart() else part.get_content().strip()

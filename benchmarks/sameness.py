"""A check that all sides send the same mail, because otherwise one of them would have less work."""

from collections.abc import Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

# Headers that the sink adds, and headers that differ from mail to mail.
IGNORED = {"x-client-addr", "x-client-proto", "x-helo-args", "x-mail-args", "x-rcpt-args", "received"}
VARYING = {"date", "message-id", "content-type"}
# Headers that only Klaxon adds. They are more work for Klaxon than for the others.
ADDITIONAL = {"feedback-id", "list-id", "list-unsubscribe", "list-unsubscribe-post", "references"}


def compare(names: Sequence[str], folders: Sequence[Path]) -> None:
    """Compare the mails in these folders, one for each side.

    :raises RuntimeError: if a header or a body differs from the first side's.
    """
    first, *others = [describe_mail(next(folder.iterdir())) for folder in folders]
    for name, other in zip(names[1:], others, strict=True):
        if other != first:
            raise RuntimeError(f"{name} does not send what {names[0]} sends: {other} and {first}")


def describe_mail(file: Path) -> dict[str, Any]:
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    headers = {name.lower(): str(value) for name, value in mail.items() if name.lower() not in IGNORED}
    return {
        "headers": sorted((name, value) for name, value in headers.items() if name not in VARYING | ADDITIONAL),
        "of each": sorted(VARYING & set(headers)),
        "parts": [describe_part(part) for part in mail.walk()],
    }


def describe_part(part: EmailMessage) -> tuple[str, str]:
    return part.get_content_type(), "" if part.is_multipart() else part.get_content().strip()

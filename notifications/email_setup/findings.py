"""What an examination of the email setup has found."""

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """OK: nothing to do. WARNING: emails are sent, but could be treated better. ERROR: emails are refused, filtered or
    not protected. UNCHECKED: the answer is not known, for example because DNS cannot be reached."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    UNCHECKED = "not checked"


@dataclass(frozen=True)
class Finding:
    """One result.

    :param subject: what was examined, such as ``"SPF of example.com"``.
    :param sentence: what was found.
    :param advice: what to do; empty if there is nothing to do.
    """

    status: Status
    subject: str
    sentence: str
    advice: str = ""


class DNSUnavailable(Exception):
    """A DNS query has no answer: there is no name server, or it does not reply or fails."""


def make_unchecked(subject: str, error: Exception) -> Finding:
    """Return the finding that DNS could not be asked."""
    advice = "Run the command where DNS can be reached, or name a server with --nameserver."
    return Finding(Status.UNCHECKED, subject, str(error), advice)

"""Read returned mails and complaints from a mailbox, or one mail from the standard input."""

import mailbox
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from notifications.management.base import DatabaseCommand
from notifications.management.counts import format_count
from notifications.tracking.bounce_mails import MAX_BYTES
from notifications.tracking.mails import UNREADABLE, UNREADABLE_HINT, record_mail

STDIN = "-"
MBOX_START = b"From "
TEMPORARY_FAILURE = 75
"""EX_TEMPFAIL of sysexits.h. A mail server that runs the command then tries again later; others return the mail."""


class Command(DatabaseCommand):
    help = (
        "Read returned mails and complaints, and suppress the addresses that no longer exist or that do not want mail. "
        "Reading a mail twice changes nothing."
    )

    def execute(self, *args: Any, **options: Any) -> str | None:
        """
        :raises CommandError: if a mail cannot be recorded. With a mail from stdin, a mail server reads the exit code.
        """
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            if options["mailbox"] == STDIN:
                error.returncode = TEMPORARY_FAILURE
            raise

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "mailbox", help="the path of an mbox file or a Maildir folder, or - for one mail from stdin"
        )
        parser.add_argument("--delete", action="store_true", help="delete the reports that were read from the mailbox")

    def handle(self, *args: Any, **options: Any) -> None:
        counts = self.read(options)
        unreadable = counts.pop(UNREADABLE, 0)
        if unreadable and options["mailbox"] == STDIN:
            raise CommandError(f"The mail cannot be read. {UNREADABLE_HINT}")
        self.stdout.write(summarize(counts))
        if unreadable:
            mails = format_count(unreadable, "returned mail")
            self.stderr.write(self.style.WARNING(f"{mails} could not be read, and stay unchanged. {UNREADABLE_HINT}"))

    def read(self, options: Any) -> Counter[str]:
        if options["mailbox"] == STDIN:
            return read_mail(sys.stdin.buffer.read(MAX_BYTES))
        counts: Counter[str] = Counter()
        for found in iterate_mailbox(open_mailbox(options["mailbox"]), options["delete"]):
            counts.update(found)
        return counts


def read_mail(raw: bytes) -> Counter[str]:
    """Record what a mail reports; return the number of its reports by what became of them."""
    return Counter(mails=1) + record_mail(raw)


def open_mailbox(path: str) -> mailbox.Mailbox[Any]:
    """Open a Maildir or an mbox file.

    :raises CommandError: if it is neither.
    """
    if Path(path, "cur").is_dir():
        return mailbox.Maildir(path, create=False)
    if not Path(path).is_file():
        raise CommandError(f"{path} is neither an mbox file nor a Maildir folder. Name one of them, or - for stdin.")
    with Path(path).open("rb") as file:
        first = next((line for line in file if line.strip()), MBOX_START)
    if not first.startswith(MBOX_START):
        raise CommandError(
            f"{path} is not an mbox file, because its first line does not begin with 'From '. If it contains one mail, "
            f"read it with: manage.py read_bounces - < {path}"
        )
    return mailbox.mbox(path, create=False)


def iterate_mailbox(box: mailbox.Mailbox[Any], deletes: bool) -> Iterator[Counter[str]]:
    """Read all mails, and yield the counts of each. A mail is deleted only after it was recorded.

    Mails that are no report about a delivery stay. Those that another program removes in the meantime are skipped.
    """
    try:
        if deletes:
            box.lock()
        for key in list(box.keys()):
            try:
                raw = box.get_bytes(key)
            except (KeyError, FileNotFoundError):
                continue
            counts = read_mail(raw)
            yield counts
            if deletes and counts.keys() & {"recorded", "known"}:
                box.discard(key)
    except mailbox.ExternalClashError as error:
        raise CommandError(f"Another process uses the mailbox: {error}. Try again later.") from error
    finally:
        box.close()


def summarize(counts: Counter[str]) -> str:
    mails, reports = counts["mails"], counts.total() - counts["mails"]
    parts = f"{counts['recorded']} recorded, {counts['known']} known already, {counts['unmatched']} unmatched"
    return f"Read {format_count(mails, 'mail')} with {format_count(reports, 'report')}: {parts}."

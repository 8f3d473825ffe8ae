"""Encrypt the content of sensitive events again with the first key."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import router

from notifications import conf
from notifications.core.databases import read_from_primary
from notifications.core.encryption import KEYS_SETTING, check_encryption
from notifications.exceptions import EncryptionUnavailable, MissingExtra
from notifications.management.base import DatabaseCommand
from notifications.management.counts import format_count
from notifications.management.progress import Progress
from notifications.models import Notification
from notifications.sensitive.rotation import count_spooled, get_outdated, reencrypt

FAILED, NOT_FINISHED = 1, 2


class Command(DatabaseCommand):
    help = (
        "Encrypt the content of sensitive events again with the first of ENCRYPTION_KEYS, so that the others can be "
        "removed. It can be interrupted and repeated. Exit codes: 0 everything is encrypted with the first key, 1 some "
        "content cannot be decrypted, 2 an older key is still needed: for spooled calls, or because another process "
        "uses it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count what would be encrypted again")

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            check_encryption()
        except (EncryptionUnavailable, MissingExtra) as error:
            raise CommandError(str(error)) from error
        outdated = get_outdated(router.db_for_write(Notification))
        counts = [rows.count() for rows in outdated]
        words = f"{format_count(counts[0], 'notification')} and {format_count(counts[1], 'inbox item')}"
        if counts[2]:
            words += f" and {format_count(counts[2], 'webhook endpoint')}"
        if options["dry_run"]:
            self.stdout.write(
                f"Not encrypted with the first key: {words}, {format_count(count_spooled(), 'spooled call')}."
            )
            return
        progress = Progress(self.stdout, sum(counts))
        try:
            failed = sum(reencrypt(rows, conf.current().chunk_size, progress.advance) for rows in outdated)
        finally:
            progress.end()
        self._report(words, failed, sum(rows.count() for rows in outdated))

    def _report(self, words: str, failed: int, left: int) -> None:
        """
        :param left: how many are not encrypted with the first key now.
        :raises CommandError: if older keys are still needed.
        """
        if failed:
            raise CommandError(
                f"Of {words}, {failed} cannot be decrypted. Add their keys to {KEYS_SETTING}, and do not remove any.",
                returncode=FAILED,
            )
        self.stdout.write(f"Encrypted again: {words}.")
        if left:
            raise CommandError(
                f"Another process has stored {left} rows without the first key during the run. Restart every process "
                f"with the same {KEYS_SETTING}, then run this command again.",
                returncode=NOT_FINISHED,
            )
        if spooled := count_spooled():
            calls = format_count(spooled, "spooled call")
            raise CommandError(
                f"The spool contains {calls} not encrypted with the first key. Run replay_spool, then this command "
                f"again, before you remove a key from {KEYS_SETTING}.",
                returncode=NOT_FINISHED,
            )
        self.stdout.write(f"The keys after the first can be removed from {KEYS_SETTING}.")

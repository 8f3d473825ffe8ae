"""Send what is due in escalations."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import router

from notifications.conf import OFF_MESSAGE, is_off
from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.escalation.engine import Report, run_due
from notifications.management.base import DatabaseCommand
from notifications.management.counts import format_count
from notifications.models import EscalationRun

LISTED = 20
NOTHING_DUE = "No escalation is due."


class Command(DatabaseCommand):
    help = (
        "Send the steps of escalations that are due. dispatch_notifications does this automatically; this command is "
        "for cron, on sites without a worker that always runs. The exit code is 1 if an escalation could not go on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only list what is due")

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        if is_off():
            self.stdout.write(OFF_MESSAGE)
            return
        if options["dry_run"]:
            self.list_due()
            return
        report = run_due()
        self.stdout.write(describe(report))
        if report.failed:
            runs = format_count(len(report.failed), "escalation")
            raise CommandError(f"{runs} could not go on. The log contains the errors. They are tried again.")

    def list_due(self) -> None:
        """Print what is due, without doing it."""
        using = router.db_for_write(EscalationRun)
        due = EscalationRun.objects.using(using).due(clock.now(using))
        for run in due[:LISTED]:
            page = run.next_page
            what = f"step {page.step}, to {', '.join(page.targets)}" if page else "its end, because nobody has answered"
            self.stdout.write(f"{run}: {what}.")
        count = due.count()
        self.stdout.write(f"Due: {format_count(count, 'escalation')}." if count else NOTHING_DUE)


def describe(report: Report) -> str:
    """Return a sentence about what was done."""
    parts = [
        f"{format_count(report.sent, 'step')} sent",
        f"{format_count(report.unreachable, 'step')} without anybody to reach",
        f"{format_count(report.exhausted, 'escalation')} exhausted",
        f"{format_count(report.cancelled, 'escalation')} cancelled",
    ]
    done = [part for part in parts if not part.startswith("0 ")]
    return f"{', '.join(done)}." if done else NOTHING_DUE

"""Send a test message as every notification is sent, and wait for the answers of the providers."""

import sys
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import CommandError

from notifications.exceptions import KlaxonError
from notifications.management import arguments
from notifications.management.base import DatabaseCommand
from notifications.management.diagnoses import find_exit_code, print_diagnosis, summarize
from notifications.monitoring.doctor.diagnosis import Status
from notifications.monitoring.doctor.trial import start_trial


class Command(DatabaseCommand):
    help = (
        "Send a test message to a user or an address, wait until the site's workers have handed it over, and print the "
        "answer of each provider. Exit codes: 0 accepted, 1 a channel has not accepted it, 2 it still waits."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "recipient",
            metavar="USER|ADDRESS",
            help="a user, by login name or primary key, or an address such as ann@example.com or phone=+4930123456",
        )
        parser.add_argument(
            "--channel", action="append", default=[], help="use only this channel; can be repeated (default: all)"
        )
        parser.add_argument("--cluster", metavar="PK", help="the cluster (default: the default cluster)")
        parser.add_argument(
            "--wait",
            type=float,
            default=30.0,
            metavar="SECONDS",
            help="the time that the workers have (default: 30)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["wait"] >= 0:
            raise CommandError("--wait must be a number of seconds, 0 or more.")
        recipient = arguments.parse_recipient(options["recipient"], "The recipient")
        cluster = None if options["cluster"] is None else arguments.get_cluster(options["cluster"])
        try:
            trial = start_trial(recipient, options["channel"], cluster)
        except KlaxonError as error:
            raise CommandError(str(error)) from error
        tally: Counter[Status] = Counter()
        for diagnosis in trial.wait(options["wait"]):
            tally[diagnosis.status] += 1
            print_diagnosis(self, diagnosis)
        self.stdout.write(summarize(tally))
        if code := find_exit_code(tally):
            sys.exit(code)

"""Examine the site, and say what to do about each fault."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from notifications.conf.problem import suggest
from notifications.core.connections import use_own_connections
from notifications.exceptions import KlaxonError
from notifications.management import arguments
from notifications.management.diagnoses import find_exit_code, print_diagnosis, summarize
from notifications.monitoring.doctor.diagnosis import Diagnosis, Report, Status
from notifications.monitoring.doctor.examinations import Examination, list_examinations, run
from notifications.monitoring.doctor.site import Site
from notifications.monitoring.doctor.trial import start_trial

TEST_AREA = "Test message"


class Command(BaseCommand):
    help = (
        "Examine the settings, the database, services, channels, templates, escalations and the running system, and "
        "say what to do about each fault. Nothing is changed, and nothing is sent without --send-test. Exit codes: 0 "
        "no error, 1 an error, 2 no error, but something could not be examined."
    )
    # The command reports wrong settings itself, with the other results.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--only", action="append", default=[], metavar="NAME", help="run only this examination; can be repeated"
        )
        parser.add_argument("--list", action="store_true", help="list the names of the examinations")
        parser.add_argument("--json", action="store_true", help="print the results as JSON")
        parser.add_argument(
            "--fail-level",
            choices=["ERROR", "WARNING"],
            default="ERROR",
            help="the level from which on the exit code is 1 (default: ERROR)",
        )
        parser.add_argument(
            "--timeout",
            type=float,
            default=15.0,
            metavar="SECONDS",
            help="the time that each provider has to answer (default: 15)",
        )
        parser.add_argument("--nameserver", default="", metavar="IP[:PORT]", help="ask this DNS server")
        parser.add_argument(
            "--send-test",
            metavar="USER|ADDRESS",
            help="also send a test message to a user, or to an address such as ann@example.com or phone=+4930123456",
        )

    # The doctor must not open a pool of connections to look at one.
    @use_own_connections()
    def handle(self, *args: Any, **options: Any) -> None:
        examinations = list_examinations()
        if options["list"]:
            self.stdout.write("\n".join(f"{one.name} ({one.area})" for one in examinations))
            return
        if not options["timeout"] > 0:
            raise CommandError("--timeout must be a number of seconds above 0.")
        site = Site(seconds=options["timeout"], nameserver=options["nameserver"])
        report = Report(list(self._examine(site, select(examinations, options["only"]), options)))
        if options["json"]:
            self.stdout.write(json.dumps(report.to_json(), indent=2))
        else:
            self.stdout.write(f"\n{summarize(report.tally)}")
        if code := find_exit_code(report.tally, options["fail_level"] == "WARNING"):
            sys.exit(code)

    def _examine(
        self, site: Site, examinations: list[Examination], options: dict[str, Any]
    ) -> Iterator[tuple[str, str, Diagnosis]]:
        """Run examinations and print each result at once, unless it is printed as JSON later."""
        shown_area = ""
        for name, area, diagnosis in _run(site, examinations, options["send_test"]):
            yield name, area, diagnosis
            if options["json"] or (options["verbosity"] == 0 and diagnosis.status is Status.OK):
                continue
            if area != shown_area:
                self.stdout.write(self.style.MIGRATE_HEADING(f"\n{area}" if shown_area else area))
                shown_area = area
            print_diagnosis(self, diagnosis)


def _run(site: Site, examinations: list[Examination], recipient: str | None) -> Iterator[tuple[str, str, Diagnosis]]:
    # The test message is an examination too, so its errors are results, and the others are shown.
    test = [Examination("test", TEST_AREA, partial(send_test, recipient), needs_database=True)] if recipient else []
    for examination in (*examinations, *test):
        for diagnosis in run(examination, site):
            yield examination.name, examination.area, diagnosis


def select(examinations: list[Examination], names: list[str]) -> list[Examination]:
    """Return the examinations with these names, or all.

    :raises CommandError: if a name is unknown.
    """
    known = [examination.name for examination in examinations]
    for name in names:
        if name not in known:
            raise CommandError(f"--only: there is no examination {name!r}. {suggest(name, known, 'examinations')}")
    return [examination for examination in examinations if not names or examination.name in names]


def send_test(text: str, site: Site) -> Iterator[Diagnosis]:
    """Send a test message on all channels of a recipient, and wait for the answers of the providers."""
    try:
        trial = start_trial(arguments.parse_recipient(text, "--send-test"))
    except (CommandError, KlaxonError) as error:
        detail = f"Nothing was sent. {error}"
        yield Diagnosis(Status.ERROR, "test message", detail, "Correct --send-test, or the user.")
    else:
        yield from trial.wait(site.seconds)

"""Look whether notifications work, and call the hook of alarms if they do not."""

import json
import logging
import sys
import threading
import time
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from notifications import conf
from notifications.delivering.workers.stop_signals import stop_on_signals
from notifications.management.base import to_line
from notifications.monitoring.alarm.watchdog import Look, Watchdog

logger = logging.getLogger("notifications.alarm")

WELL, DEGRADED, FAILED = 0, 1, 2


class Command(BaseCommand):
    """It does not inherit from DatabaseCommand, because it must also work without the database."""

    help = (
        "Examine the system as workers do, and call the hook of NOTIFICATIONS['ALARM'] if no worker is alive, if the "
        "database cannot be used, or for any other cause. For cron, with --for 55. The exit code is 0 if all is well, "
        "1 if there is an alarm, and 2 if the database cannot be used, or a call or the watchdog itself has failed."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--for", type=float, default=0.0, dest="duration", help="look again and again for so many seconds")
        add("--watch", action="store_true", help="look again and again until stopped")
        add("--every", type=float, default=5.0, help="the seconds between two looks (default: 5)")
        add("--timeout", type=float, default=10.0, help="the seconds that the database may take (default: 10)")
        add("--json", action="store_true", help="print JSON, one line for each look")

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("every", "timeout"):
            if options[name] <= 0:
                raise CommandError(f"--{name} must be more than 0 seconds.", returncode=FAILED)
        if conf.is_off():
            self.stdout.write(json.dumps({"off": conf.OFF_MESSAGE}) if options["json"] else conf.OFF_MESSAGE)
            return
        until = float("inf") if options["watch"] else time.monotonic() + options["duration"]
        watchdog, watch, last = Watchdog(options["timeout"]), Watch(), ""
        with stop_on_signals(watch):
            while True:
                found = self.look(watchdog)
                text = json.dumps(asdict(found)) if options["json"] else "\n".join(describe(found))
                # With several looks, only what has changed is news.
                if options["json"] or text != last:
                    self.stdout.write(text)
                    self.stdout.flush()
                last = text
                is_over = time.monotonic() + options["every"] > until and not watchdog.is_undecided
                if is_over or watch.stopped.wait(options["every"]):
                    break
        if code := get_exit_code(found):
            sys.exit(code)

    def look(self, watchdog: Watchdog) -> Look:
        """
        :raises CommandError: if the tables are missing, a setting is wrong, or the examination itself fails.
        """
        try:
            return watchdog.look()
        except ImproperlyConfigured as error:
            raise CommandError(to_line(error), returncode=FAILED) from error
        except Exception as error:
            # An error that nothing handles would end with the exit code 1, which means an alarm.
            logger.exception("The watchdog has failed.")
            raise CommandError(f"The watchdog has failed: {error!r}", returncode=FAILED) from error


class Watch:
    """The end of the looks, which a signal sets."""

    forks = False

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def stop(self) -> None:
        self.stopped.set()

    def stop_now(self) -> None:
        self.stopped.set()


def describe(found: Look) -> list[str]:
    """Return sentences about what was found."""
    sentences = [f"The database cannot be used. {found.database_fault}"] if found.database_fault else []
    for cause in found.alarms:
        sentences.append(" ".join(filter(None, (f"{cause['name']}: {cause['detail']}", cause["remedy"]))))
    sentences += [f"The hook or the heartbeat has failed. {fault}" for fault in found.faults]
    return sentences or ["All is well."]


def get_exit_code(found: Look) -> int:
    if found.database_fault or found.faults:
        return FAILED
    return DEGRADED if found.alarms else WELL

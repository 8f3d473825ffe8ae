"""The options of SQLite, as they are in effect."""

from collections.abc import Iterator

from notifications.monitoring.doctor.diagnosis import Diagnosis, Status
from notifications.monitoring.doctor.settings import SQLITE_CHECKS, report_messages, select_messages
from notifications.monitoring.doctor.site import Site
from notifications.storage.engine import get_engine

SYNCHRONOUS_OFF = 0
LEAST_BUSY_MS = 5000
USE_TUNED = "Create its entry in DATABASES with notifications.sqlite.tuned(path)."


def examine_sqlite(site: Site) -> Iterator[Diagnosis]:
    """Compare the options with those of ``notifications.sqlite``. There is no result for another database."""
    faults = [*report_messages(select_messages(site, SQLITE_CHECKS)), *_find_faults(site.using)]
    yield from faults
    options = get_engine(site.using).read_options()
    if options and not faults:
        shown = ", ".join(f"{name} {value}" for name, value in options.items())
        yield Diagnosis(Status.OK, "sqlite", f"The options suit several processes: {shown}.")


def _find_faults(using: str) -> Iterator[Diagnosis]:
    options = get_engine(using).read_options()
    if not options:
        return
    if options["journal_mode"] != "wal":
        detail = f"journal_mode is {options['journal_mode']!r} and not 'wal', so readers and writers block each other."
        remedy = f"{USE_TUNED} If it is, the file is on a network drive, which has no write-ahead logging: move it."
        yield Diagnosis(Status.ERROR, "sqlite journal_mode", detail, remedy)
    if options["synchronous"] == SYNCHRONOUS_OFF:
        detail = "synchronous is OFF, so a power failure can damage the file."
        yield Diagnosis(Status.ERROR, "sqlite synchronous", detail, USE_TUNED)
    if options["busy_timeout"] < LEAST_BUSY_MS:
        detail = f"A writer waits for another one for {options['busy_timeout']} ms, and then fails: database is locked."
        remedy = f"{USE_TUNED} Or set its 'timeout' in OPTIONS to at least {LEAST_BUSY_MS // 1000} seconds."
        yield Diagnosis(Status.WARNING, "sqlite busy_timeout", detail, remedy)
    if not options["foreign_keys"]:
        detail = "foreign_keys is off, so rows can refer to rows that do not exist."
        remedy = "Remove 'PRAGMA foreign_keys' from the init_command and from your code. Django turns it on."
        yield Diagnosis(Status.ERROR, "sqlite foreign_keys", detail, remedy)

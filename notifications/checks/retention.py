"""Checks of the retention: whether the archive can be used, and whether the ages fit together."""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error, Warning

from notifications import conf
from notifications.monitoring.retention import archive

Messages = Iterator[CheckMessage]


def check_archive() -> Messages:
    if fault := archive.find_fault():
        yield Error(
            f"The archive cannot be used. {fault}",
            hint=f"Create the folder for every process that archives or purges, or correct {archive.SETTING}. "
            "Without it, nothing is purged.",
            id="klaxon.E046",
        )


def check_ages() -> Messages:
    notifications, log = (conf.current().get_retention(name) for name in ("NOTIFICATIONS", "LOG"))
    if log is not None and (notifications is None or log < notifications):
        kept = "for ever" if notifications is None else f"for {notifications:g} days"
        yield Warning(
            f"The rows of the log are deleted after {log:g} days, but notifications are kept {kept}. What happened to "
            "the older ones cannot be explained then.",
            hint="Set NOTIFICATIONS['RETENTION']['LOG'] to at least the age NOTIFICATIONS.",
            id="klaxon.W025",
        )

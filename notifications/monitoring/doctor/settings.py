"""Django's system checks of Klaxon."""

from collections.abc import Collection, Iterable, Iterator

from django.core.checks import ERROR, CheckMessage

from notifications.monitoring.doctor.diagnosis import Diagnosis, Status
from notifications.monitoring.doctor.site import Site

TEMPLATE_CHECKS = frozenset({"klaxon.E002", "klaxon.E032", "klaxon.E033", "klaxon.W007"})
SQLITE_CHECKS = frozenset({"klaxon.E009", "klaxon.W002"})
POOL_CHECKS = frozenset({"klaxon.W004"})
OTHER_EXAMINATIONS = TEMPLATE_CHECKS | SQLITE_CHECKS | POOL_CHECKS
"""The checks that belong to an examination of their own."""


def examine_settings(site: Site) -> Iterator[Diagnosis]:
    """Run ``manage.py check --tag klaxon --deploy``, without the checks that belong to another examination."""
    found = [message for message in site.check_messages if message.id not in OTHER_EXAMINATIONS]
    yield from report_messages(found)
    if not found:
        yield Diagnosis(Status.OK, "system checks", "The settings are valid, and every event can be sent.")


def select_messages(site: Site, ids: Collection[str]) -> list[CheckMessage]:
    """Return the messages of these checks."""
    return [message for message in site.check_messages if message.id in ids]


def report_messages(messages: Iterable[CheckMessage]) -> Iterator[Diagnosis]:
    """Yield messages of system checks as results."""
    for message in messages:
        status = Status.ERROR if message.level >= ERROR else Status.WARNING
        yield Diagnosis(status, f"check {message.id}", str(message.msg), str(message.hint or ""))

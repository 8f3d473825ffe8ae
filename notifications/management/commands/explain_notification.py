"""Explain why a recipient is or is not reached: before anything is sent, or afterwards."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from notifications.core.databases import read_from_primary
from notifications.exceptions import InvalidContext, KlaxonError
from notifications.explain.explanation import Explanation
from notifications.management import arguments
from notifications.management.base import DatabaseCommand
from notifications.management.times import parse_time
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification

NOT_REACHED, NOT_UNDERSTOOD = 1, 2
RECIPIENT_OPTIONS = ("user", "address")
CALL_OPTIONS = ("cluster", "context", "channel", "actor", "topic", "level", "at", "send_at", "expires_at")


class Command(DatabaseCommand):
    help = (
        "Explain, gate by gate, whether an event would reach a recipient, or why a notification or a delivery was or "
        "was not sent, and what would have to change. The command sends and writes nothing. Exit codes: 0 the "
        "recipient is reached on at least one channel, 1 the recipient is not reached, 2 an option is wrong or the "
        "site is not ready."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("event", nargs="?", help="the name of an event")
        parser.add_argument("--notification", metavar="ID", help="a notification that was sent, instead of an event")
        parser.add_argument("--delivery", metavar="ID", help="a delivery, instead of an event and a recipient")
        parser.add_argument("--user", metavar="NAME|PK", help="the recipient, by login name or primary key")
        parser.add_argument(
            "--address",
            action="append",
            default=[],
            metavar="KIND=ADDRESS",
            help="a recipient without an account, such as email=contact@example.com; can be repeated",
        )
        _add_options(parser)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            # Exit code 1 would mean that the recipient is not reached.
            error.returncode = NOT_UNDERSTOOD
            raise

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            explanation = _explain(options)
        except InvalidContext as error:
            raise CommandError(f'{error} In --context, write a date as {{"$date": "2026-11-20"}}.') from error
        except KlaxonError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(str(explanation))
        if not explanation.reaches:
            sys.exit(NOT_REACHED)


def _explain(options: dict[str, Any]) -> Explanation:
    subjects = [name for name in ("event", "notification", "delivery") if options[name]]
    if len(subjects) != 1:
        raise CommandError("Give exactly one of: an event, --notification or --delivery.")
    [subject] = subjects
    _check_unused(subject, options)
    if subject == "delivery":
        return NotificationManager.why(arguments.get_row(Delivery, options["delivery"], "--delivery"))
    recipient = _get_recipient(options)
    if subject == "notification":
        notification = arguments.get_row(Notification, options["notification"], "--notification")
        return NotificationManager.why(notification, recipient)
    return NotificationManager.explain(options["event"], recipient, **_get_call_arguments(options))


def _check_unused(subject: str, options: dict[str, Any]) -> None:
    """A notification that was sent has its own options, and a delivery also has a recipient."""
    unused = {"event": (), "notification": CALL_OPTIONS, "delivery": (*RECIPIENT_OPTIONS, *CALL_OPTIONS)}[subject]
    given = [f"--{name.replace('_', '-')}" for name in unused if options[name] not in (None, [])]
    if given:
        raise CommandError(f"--{subject} does not use {', '.join(given)}. Remove {'them' if given[1:] else 'it'}.")


def _get_recipient(options: dict[str, Any]) -> Any:
    if bool(options["user"]) == bool(options["address"]):
        raise CommandError("Name the recipient with either --user or --address.")
    if options["user"]:
        return arguments.get_user(options["user"], "--user")
    return arguments.parse_address(options["address"])


def _add_options(parser: ArgumentParser) -> None:
    """Add the options of a call of ``send()``."""
    add = parser.add_argument
    add("--cluster", metavar="PK", help="the cluster of the event (default: the default cluster)")
    add("--context", metavar="JSON", help='the context, such as \'{"order_number": "1017"}\'')
    add("--channel", action="append", help="explain only this channel; can be repeated")
    add("--actor", metavar="NAME|PK", help="the user who causes the event, by login name or primary key")
    add("--topic", help="the topic of the notification")
    add("--level", help="its level: critical, warning, info or debug (default: the event's level)")
    add("--at", metavar="TIME", help="the time of the call, such as 2026-11-20T23:00 (default: now)")
    add("--send-at", metavar="TIME", help="the notification's send_at")
    add("--expires-at", metavar="TIME", help="the notification's expires_at")


def _get_call_arguments(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "cluster": None if options["cluster"] is None else arguments.get_cluster(options["cluster"]),
        "context": arguments.parse_context(options["context"]),
        "channels": options["channel"],
        "actor": options["actor"] and arguments.get_user(options["actor"], "--actor"),
        "topic": options["topic"] or "",
        "level": options["level"],
        "at": parse_time(options["at"], "--at"),
        "send_at": parse_time(options["send_at"], "--send-at"),
        "expires_at": parse_time(options["expires_at"], "--expires-at"),
    }

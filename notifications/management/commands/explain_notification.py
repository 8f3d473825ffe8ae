"""Tell why somebody is or is not reached: before anything is sent, or afterwards."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from notifications.core.primary import read_from_primary
from notifications.exceptions import InvalidContext, KlaxonError
from notifications.explain.explanation import Explanation
from notifications.management import arguments as asked
from notifications.management.base import DatabaseCommand
from notifications.management.times import moment
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification

NOT_REACHED, NOT_UNDERSTOOD = 1, 2
OF_A_RECIPIENT = ("user", "address")
OF_A_CALL = ("cluster", "context", "channel", "actor", "topic", "level", "at", "send_at", "expires_at")


class Command(DatabaseCommand):
    help = (
        "Tell in sentences, gate by gate, whether an event would reach somebody, or why a notification or a delivery "
        "did or did not arrive, and what would have to change. It sends and writes nothing. "
        "Exit codes: 0 they are reached on at least one channel, 1 they are not, 2 the question was not understood."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("event", nargs="?", help="the name of an event")
        parser.add_argument("--notification", metavar="ID", help="one that was sent, instead of an event")
        parser.add_argument("--delivery", metavar="ID", help="one delivery, instead of an event and a recipient")
        parser.add_argument("--user", metavar="NAME|PK", help="the recipient: a login name or a primary key")
        parser.add_argument(
            "--address",
            action="append",
            default=[],
            metavar="KIND=ADDRESS",
            help="the recipient without an account, such as email=contact@example.com; may be repeated",
        )
        _add_options(parser)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            # Neither of a mistaken question nor of a site that is not ready is it said that they are not reached.
            error.returncode = NOT_UNDERSTOOD
            raise

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            explanation = _explanation(options)
        except InvalidContext as error:
            raise CommandError(f'{error} In --context write a date as {{"$date": "2026-11-20"}}.') from error
        except KlaxonError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(str(explanation))
        if not explanation.reaches:
            sys.exit(NOT_REACHED)


def _explanation(options: dict[str, Any]) -> Explanation:
    subjects = [name for name in ("event", "notification", "delivery") if options[name]]
    if len(subjects) != 1:
        raise CommandError("Name an event, or --notification, or --delivery; one of them.")
    [subject] = subjects
    _check_unused(subject, options)
    if subject == "delivery":
        return NotificationManager.why(asked.found(Delivery, options["delivery"], "--delivery"))
    recipient = _recipient(options)
    if subject == "notification":
        sent = asked.found(Notification, options["notification"], "--notification")
        return NotificationManager.why(sent, recipient)
    return NotificationManager.explain(options["event"], recipient, **_arguments(options))


def _check_unused(subject: str, options: dict[str, Any]) -> None:
    """What was sent is told as it was sent, and a delivery has its recipient."""
    needless = {"event": (), "notification": OF_A_CALL, "delivery": (*OF_A_RECIPIENT, *OF_A_CALL)}[subject]
    given = [f"--{name.replace('_', '-')}" for name in needless if options[name] not in (None, [])]
    if given:
        raise CommandError(f"--{subject} does not use {', '.join(given)}. Leave that out.")


def _recipient(options: dict[str, Any]) -> Any:
    if bool(options["user"]) == bool(options["address"]):
        raise CommandError("Name the recipient by --user or by --address.")
    return asked.user(options["user"], "--user") if options["user"] else asked.address(options["address"])


def _add_options(parser: ArgumentParser) -> None:
    """Those of a call that is not made yet."""
    parser.add_argument("--cluster", metavar="PK", help="the cluster of the event (the default one)")
    parser.add_argument("--context", metavar="JSON", help='the context, such as \'{"order_number": "1017"}\'')
    parser.add_argument("--channel", action="append", help="only on this channel; may be repeated")
    parser.add_argument("--actor", metavar="NAME|PK", help="the user who would cause it")
    parser.add_argument("--topic", help="its topic")
    parser.add_argument("--level", help="its level: critical, warning, info or debug (that of the event)")
    parser.add_argument("--at", metavar="TIME", help="at this time, such as 2026-11-20T23:00 (now)")
    parser.add_argument("--send-at", metavar="TIME", help="its send_at")
    parser.add_argument("--expires-at", metavar="TIME", help="its expires_at")


def _arguments(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "cluster": None if options["cluster"] is None else asked.cluster(options["cluster"]),
        "context": asked.context(options["context"]),
        "channels": options["channel"],
        "actor": options["actor"] and asked.user(options["actor"], "--actor"),
        "topic": options["topic"] or "",
        "level": options["level"],
        "at": moment(options["at"], "--at"),
        "send_at": moment(options["send_at"], "--send-at"),
        "expires_at": moment(options["expires_at"], "--expires-at"),
    }

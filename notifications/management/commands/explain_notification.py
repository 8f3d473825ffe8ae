"""Tell why somebody is or is not reached: before anything is sent, or afterwards."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from notifications.context import decoded
from notifications.exceptions import KlaxonError
from notifications.management.moment import moment
from notifications.manager import NotificationManager
from notifications.manager.explaining.explanation import Explanation
from notifications.models import Delivery, Notification, cluster_model
from notifications.recipients import Address

NOT_REACHED, NOT_UNDERSTOOD = 1, 2


class Command(BaseCommand):
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

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            explanation = self._explanation(options)
        except (KlaxonError, CommandError) as error:
            raise CommandError(str(error), returncode=NOT_UNDERSTOOD) from error
        self.stdout.write(str(explanation))
        if not explanation.reaches:
            sys.exit(NOT_REACHED)

    def _explanation(self, options: dict[str, Any]) -> Explanation:
        asked = [name for name in ("event", "notification", "delivery") if options[name]]
        if len(asked) != 1:
            raise CommandError("Name an event, or --notification, or --delivery; one of them.")
        if options["delivery"]:
            return NotificationManager.why(_found(Delivery, options["delivery"], "--delivery"))
        recipient = _recipient(options)
        if options["notification"]:
            return NotificationManager.why(_found(Notification, options["notification"], "--notification"), recipient)
        return NotificationManager.explain(options["event"], recipient, **_arguments(options))


def _add_options(parser: ArgumentParser) -> None:
    """Those of a call that is not made yet."""
    parser.add_argument("--cluster", metavar="PK", help="the cluster of the event (the default one)")
    parser.add_argument("--context", metavar="JSON", help='the context, such as \'{"order_number": "1017"}\'')
    parser.add_argument("--channel", action="append", help="only on this channel; may be repeated")
    parser.add_argument("--actor", metavar="NAME|PK", help="the user who would cause it")
    parser.add_argument("--topic", default="", help="its topic")
    parser.add_argument("--at", metavar="TIME", help="at this time, such as 2026-11-20T23:00 (now)")
    parser.add_argument("--send-at", metavar="TIME", help="its send_at")
    parser.add_argument("--expires-at", metavar="TIME", help="its expires_at")


def _arguments(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "cluster": options["cluster"] and _found(cluster_model(), options["cluster"], "--cluster"),
        "context": _context(options["context"]),
        "channels": options["channel"],
        "actor": options["actor"] and _user(options["actor"], "--actor"),
        "topic": options["topic"],
        "at": moment(options["at"], "--at"),
        "send_at": moment(options["send_at"], "--send-at"),
        "expires_at": moment(options["expires_at"], "--expires-at"),
    }


def _context(text: str | None) -> Any:
    try:
        # Dates and the like as they are stored: {"$date": "2026-11-20"}.
        return None if text is None else decoded(json.loads(text))
    except ValueError as error:
        raise CommandError(f"--context must be JSON: {error}") from error


def _recipient(options: dict[str, Any]) -> Any:
    if bool(options["user"]) == bool(options["address"]):
        raise CommandError("Name the recipient by --user or by --address.")
    if options["user"]:
        return _user(options["user"], "--user")
    pairs = [text.partition("=") for text in options["address"]]
    if not all(kind and address for kind, _equals, address in pairs):
        raise CommandError("--address takes a kind and an address: email=contact@example.com.")
    return Address(**{kind: address for kind, _equals, address in pairs})


def _user(name: str, option: str) -> Any:
    users = get_user_model()
    found = users._default_manager.filter(**{users.USERNAME_FIELD: name}).first()
    return found or _found(users, name, option)


def _found(model: Any, key: str, option: str) -> Any:
    try:
        return model._default_manager.get(pk=key)
    except (model.DoesNotExist, ValueError, ValidationError) as error:
        raise CommandError(f"{option}: there is no {model._meta.verbose_name} {key!r}.") from error

"""What the commands about a person share: the options that say who it is."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from notifications.management.arguments import get_user, parse_address
from notifications.monitoring.privacy.person import DeletedUser, Person, find_person


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--user", metavar="NAME|PK", help="the user, by login name or primary key")
    parser.add_argument("--deleted-user", metavar="PK", help="a user whose account does not exist any more")
    parser.add_argument(
        "--address",
        action="append",
        default=[],
        metavar="KIND=ADDRESS",
        help="an address without an account, or a further one of the user, such as email=ada@example.com; can be "
        "repeated",
    )


def read_person(options: Mapping[str, Any]) -> Person:
    """
    :raises CommandError: if the options name nobody, two users, a user who does not exist, or as a deleted one a user
        who does.
    """
    if options["user"] and options["deleted_user"]:
        raise CommandError("Give --user or --deleted-user, not both.")
    if not (options["user"] or options["deleted_user"] or options["address"]):
        raise CommandError("Say who it is: with --user, --deleted-user or --address.")
    user: Any = None
    if options["user"]:
        user = get_user(options["user"], "--user")
    elif options["deleted_user"]:
        user = _parse_deleted_user(options["deleted_user"])
    addresses = parse_address(options["address"]).by_kind if options["address"] else ()
    return find_person(user, addresses, options.get("also") or ())


def _parse_deleted_user(text: str) -> DeletedUser:
    model = get_user_model()
    try:
        pk = model._meta.pk.to_python(text)
        is_there = model._base_manager.filter(pk=pk).exists()
    except (ValueError, OverflowError, ValidationError) as error:
        raise CommandError(f"--deleted-user: {text!r} cannot be a primary key of a user.") from error
    if is_there:
        # The rows of the account say by which names and addresses the person is known.
        raise CommandError(f"--deleted-user: the account {text!r} exists. Use --user.")
    return DeletedUser(pk)

"""Revoke keys of the HTTP API."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import router

from notifications.core import clock
from notifications.management.base import DatabaseCommand
from notifications.models import APIKey


class Command(DatabaseCommand):
    help = "Revoke keys of the HTTP API. The next request with one of them is refused, in every process."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prefix", nargs="+", help="the 12 characters after klx_")

    def handle(self, *args: Any, **options: Any) -> None:
        using = router.db_for_write(APIKey)
        for prefix in options["prefix"]:
            rows = APIKey.objects.using(using).filter(prefix=prefix.removeprefix("klx_"))
            if not rows.exists():
                raise CommandError(f"There is no key with the prefix {prefix!r}.")
            is_new = rows.revoke(clock.now(using))
            self.stdout.write(f"The key {prefix} {'is revoked' if is_new else 'was revoked before'}.")

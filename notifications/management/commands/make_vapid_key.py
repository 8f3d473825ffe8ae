"""Make a key with which push services recognise the site."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from notifications.channels.push_services import encode_public_key, make_private_key
from notifications.exceptions import MissingExtra


class Command(BaseCommand):
    help = (
        "Print a new VAPID key for the push channel. Keep it secret and do not replace it: browsers must subscribe "
        "again for a new key."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            text, key = make_private_key()
        except MissingExtra as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"private_key: {text}")
        self.stdout.write(f"public key:  {encode_public_key(key)}")

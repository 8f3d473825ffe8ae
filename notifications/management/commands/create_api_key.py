"""Create a key of the HTTP API, and show it once."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import router

from notifications.core import clock
from notifications.core.databases import read_from_primary
from notifications.management.base import DatabaseCommand
from notifications.management.times import parse_time
from notifications.models import APIKey, APIScope, Cluster, get_cluster_model


class Command(DatabaseCommand):
    help = "Create a key with which a program uses the HTTP API as a user. The key is shown once and not stored."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the login name of the user")
        parser.add_argument("name", help="the program that uses the key")
        parser.add_argument(
            "--scope", action="append", required=True, choices=APIScope.values, help="what it may do; repeatable"
        )
        reach = parser.add_mutually_exclusive_group(required=True)
        reach.add_argument("--cluster", action="append", help="the primary key of a cluster it reaches; repeatable")
        reach.add_argument("--all-clusters", action="store_true", help="all clusters that the user can reach")
        parser.add_argument("--expires", help="when it becomes invalid, such as 2027-01-31")

    @read_from_primary()
    def handle(self, *args: Any, **options: Any) -> None:
        users: Any = get_user_model()
        user = users._default_manager.filter(**{users.USERNAME_FIELD: options["user"]}).first()
        if user is None:
            raise CommandError(f"There is no user {options['user']!r}.")
        clusters = None if options["all_clusters"] else [_find_cluster(key) for key in options["cluster"]]
        using = router.db_for_write(APIKey)
        keys = APIKey.objects.using(using)
        expires_at = parse_time(options["expires"], "--expires")
        try:
            row, token = keys.issue(user, options["name"], options["scope"], clock.now(using), clusters, expires_at)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stderr.write(f"The key {row} is only shown now:")
        self.stdout.write(token)


def _find_cluster(key: str) -> Any:
    model = get_cluster_model()
    if model is Cluster and not Cluster.objects.exists():
        # A site without tenants has no cluster before the first notification.
        Cluster.objects.default()
    try:
        found = model._default_manager.filter(pk=key).first()
    except (ValueError, ValidationError):
        found = None
    if found is None:
        raise CommandError(f"There is no cluster with the primary key {key!r}.")
    return found

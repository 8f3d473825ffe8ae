"""The users of a residency programme. Each is named after their part."""

from collections.abc import Sequence
from datetime import time
from typing import Any

from django.contrib.auth.models import User

from notifications.models import Cluster, UserSettings

ZONE = "America/Chicago"
RESIDENTS = ("pgy1-01", "pgy1-02", "pgy2-01")


def create_people() -> Cluster:
    """Create a programme with three residents and two users who run it, all with quiet hours at night."""
    program = Cluster.objects.create(name="Internal Medicine Residency", slug="internal-medicine")
    for name in (*RESIDENTS, "coordinator", "program-director"):
        user = User.objects.create_user(name, f"{name}@scheduler.example")
        program.members.add(user)
        UserSettings.objects.create(
            user=user,
            cluster=program,
            time_zone=ZONE,
            quiet_from=time(22),
            quiet_until=time(7),
            addresses={"sms": f"+1555010{user.pk % 10000:04}"},
        )
    return program


def residents() -> Any:
    """Return all residents."""
    return User.objects.filter(username__in=RESIDENTS)


def get_user(name: str) -> User:
    """Return the user with this name."""
    return User.objects.get(username=name)


def choose_weekly_digest(names: Sequence[str], program: Cluster) -> None:
    """Choose a weekly digest for these users, on Mondays at 08:00."""
    for settings in UserSettings.objects.filter(user__username__in=names, cluster=program):
        settings.digest, settings.digest_hour, settings.digest_day = UserSettings.Digest.WEEKLY, 8, 0
        settings.save()

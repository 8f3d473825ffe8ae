"""The users of a residency programme. Each is named after their part."""

from collections.abc import Sequence
from datetime import date, time
from typing import Any

from django.contrib.auth.models import User

from notifications.models import Cluster, Rota, UserSettings

ZONE = "America/Chicago"
ATTENDING = ("attending-1", "attending-2")
RESIDENTS = ("pgy1-01", "pgy1-02", "pgy2-01")


def create_people() -> Cluster:
    """Create a programme with three residents and two users who run it, all with quiet hours at night, and a rota."""
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
    create_rota(program)
    return program


def create_rota(program: Cluster) -> Rota:
    """Create the rota of the attending physicians, who take turns of a week from Monday at 07:00."""
    rota = Rota.objects.create(cluster=program, key="attending", name="Attending physicians", time_zone=ZONE)
    layer = rota.layers.create(starts_on=date(2026, 1, 5), hand_over=time(7))
    for order, name in enumerate(ATTENDING):
        user = User.objects.create_user(name, f"{name}@scheduler.example")
        program.members.add(user)
        layer.members.create(user=user, order=order)
    return rota


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

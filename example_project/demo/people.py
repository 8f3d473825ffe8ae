"""The users of the demonstration. Each is named after their part."""

from django.contrib.auth.models import User

from notifications.models import Cluster, UserSettings

PASSWORD = "demo"  # noqa: S105 - printed on the screen, for a site on loopback
ESTATE_SLUG = "rosewood"


def create_people() -> tuple[Cluster, Cluster]:
    """Create an estate with residents, a coach with its driver, and a user who belongs to neither.

    The residents have different preferences.
    """
    estate = Cluster.objects.create(name="Rosewood Estate", slug=ESTATE_SLUG)
    coach = Cluster.objects.create(name="The coach", slug="coach")
    estate.members.set([_user("resident"), _user("without-email"), _user("opted-out")])
    coach.members.add(_user("driver"))
    _user("neighbour")
    User.objects.create_superuser("staff", "staff@estate.example", PASSWORD)
    resident = User.objects.get(username="resident")
    UserSettings.objects.create(user=resident, cluster=estate, addresses={"sms": "+15550100017"})
    _opt_out("without-email", estate, "email")
    _opt_out("opted-out", estate, "email", "app", "sms")
    return estate, coach


def _user(name: str) -> User:
    return User.objects.create_user(name, f"{name}@estate.example", PASSWORD, first_name=name.replace("-", " ").title())


def _opt_out(name: str, cluster: Cluster, *channels: str) -> None:
    disabled = dict.fromkeys(channels, False)
    UserSettings.objects.create(user=User.objects.get(username=name), cluster=cluster, channels=disabled)

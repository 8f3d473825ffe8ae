"""The users of the laboratory. Each is named after their part."""

from typing import Any

from django.contrib.auth.models import Group, User

from example_project.quality.roles import PROJECT_MANAGERS, QUALITY_ENGINEERS, SYSTEM_ADMINISTRATORS, runs_of
from notifications.models import Cluster, TopicSubscription, UserSettings

SUITE = "Checkout"


def create_people() -> Cluster:
    """Create a laboratory with users of every role, some of whom have opted out of email."""
    laboratory = Cluster.objects.create(name="Test laboratory", slug="test-laboratory")
    staff = {name: _user(name) for name in ("test-creator", "qa-manager", "qa-manager-who-left")}
    staff |= _with_role(SYSTEM_ADMINISTRATORS, "administrator", "administrator-who-wants-no-mail")
    staff |= _with_role(QUALITY_ENGINEERS, "quality-engineer", "quality-engineer-who-left")
    staff |= _with_role(PROJECT_MANAGERS, "project-manager")
    laboratory.members.set(user for name, user in staff.items() if not name.endswith("who-left"))
    for name in ("qa-manager", "qa-manager-who-left", "test-creator"):
        TopicSubscription.objects.create(user=staff[name], cluster=laboratory, topic=runs_of(SUITE).key)
    for name in ("administrator-who-wants-no-mail", "project-manager"):
        UserSettings.objects.create(user=staff[name], cluster=laboratory, channels={"email": False})
    return laboratory


def _with_role(role: str, *names: str) -> dict[str, Any]:
    group, _ = Group.objects.get_or_create(name=role)
    users = {name: _user(name) for name in names}
    group.user_set.add(*users.values())
    return users


def _user(name: str) -> User:
    return User.objects.create_user(name, f"{name}@quality.example")

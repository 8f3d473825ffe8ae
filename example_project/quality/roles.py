"""The roles that receive notifications, and the addresses of two systems that receive them too."""

from django.contrib.auth.models import Group
from django.db.models import QuerySet

from notifications.recipients import Address, Topic

SYSTEM_ADMINISTRATORS = "system administrators"
QUALITY_ENGINEERS = "quality engineers"
PROJECT_MANAGERS = "project managers"

MONITORING = Address(url="https://monitoring.quality.example/hooks/klaxon")
TEAM_ROOM = Address(url="https://slack.quality.example/services/team-room")


def role(*names: str) -> QuerySet[Group]:
    """Return the groups of these roles."""
    return Group.objects.filter(name__in=names)


def runs_of(suite: str) -> Topic:
    """Return the topic of the runs of a test suite."""
    return Topic(f"runs of {suite}")

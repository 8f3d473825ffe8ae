"""Who hears of what, by role, and the two machines that hear of it too."""

from django.contrib.auth.models import Group
from django.db.models import QuerySet

from notifications.recipients import Address, Topic

SYSTEM_ADMINISTRATORS = "system administrators"
QUALITY_ENGINEERS = "quality engineers"
PROJECT_MANAGERS = "project managers"

MONITORING = Address(url="https://monitoring.quality.example/hooks/klaxon")
TEAM_ROOM = Address(url="https://slack.quality.example/services/team-room")


def role(*names: str) -> QuerySet[Group]:
    """All who have one of these roles."""
    return Group.objects.filter(name__in=names)


def runs_of(suite: str) -> Topic:
    """All who have subscribed to the runs of a test suite."""
    return Topic(f"runs of {suite}")

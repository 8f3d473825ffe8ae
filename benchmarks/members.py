"""Members of two clusters: in one they have preferences, in the other every gate has something to check."""

from collections.abc import Iterable
from datetime import time

from django.contrib.auth.models import Group, User
from django.db import connection
from django.utils import timezone

from notifications.models import Cluster, Mute, SharedPreference, Suppression, UserSettings

PEOPLE = """
    WITH RECURSIVE seat(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM seat WHERE number < %s)
    INSERT INTO auth_user (
        password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined
    )
    SELECT '', FALSE, %s || number, '', '', %s || number || '@example.com', FALSE, TRUE, CURRENT_TIMESTAMP FROM seat"""
MEMBERS = """
    INSERT INTO klaxon_cluster_members (cluster_id, user_id) SELECT %s, id FROM auth_user WHERE username LIKE %s"""
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Sydney", "Asia/Kolkata", "UTC")
TOPIC = "road works"
# One in this many members has opted out of email, has muted the topic or has a suppressed address.
OPTED_OUT, MUTED, SUPPRESSED = 20, 25, 50


def create_simple_cluster(name: str, count: int) -> Cluster:
    """Create a cluster whose members have settings. Some have opted out of email."""
    cluster = _create_cluster(name, count)
    _store(UserSettings(cluster=cluster, user_id=pk, channels=_make_channels(pk)) for pk in _find_ids(name))
    return cluster


def create_busy_cluster(name: str, count: int) -> Cluster:
    """Create a cluster whose members have everything that gates check.

    In addition to preferences, they have quiet hours, delivery windows and digests in six time zones, roles, mutes and
    suppressed addresses.
    """
    cluster = _create_cluster(name, count)
    ids = _find_ids(name)
    _store(_make_settings(cluster, pk) for pk in ids)
    roles = [Group.objects.create(name=f"{name} {role}") for role in ("night", "day")]
    for number, role in enumerate(roles):
        role.user_set.set([pk for pk in ids if pk % 2 == number])
        SharedPreference.objects.create(cluster=cluster, group=role, categories={"works": {"email": True}})
    SharedPreference.objects.create(cluster=cluster, channels={"sms": False})
    Mute.objects.bulk_create(
        Mute(cluster=cluster, user_id=pk, kind=Mute.Kind.TOPIC, value=TOPIC) for pk in ids if pk % MUTED == 1
    )
    bad = User.objects.filter(pk__in=[pk for pk in ids if pk % SUPPRESSED == 2]).values_list("email", flat=True)
    Suppression.objects.suppress((("email", email) for email in bad), Suppression.Cause.HARD_BOUNCE, timezone.now())
    return cluster


def _create_cluster(name: str, count: int) -> Cluster:
    cluster = Cluster.objects.create(name=name, slug=name)
    with connection.cursor() as cursor:
        cursor.execute(PEOPLE, [count, name, name])
        cursor.execute(MEMBERS, [cluster.pk, f"{name}%"])
    return cluster


def _find_ids(name: str) -> list[int]:
    return list(User.objects.filter(username__startswith=name).values_list("pk", flat=True))


def _store(rows: Iterable[UserSettings]) -> None:
    UserSettings.objects.bulk_create(rows, batch_size=5000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _make_channels(pk: int) -> dict[str, bool]:
    return {"email": False} if pk % OPTED_OUT == 0 else {}


def _make_settings(cluster: Cluster, pk: int) -> UserSettings:
    return UserSettings(
        cluster=cluster,
        user_id=pk,
        channels=_make_channels(pk),
        time_zone=ZONES[pk % len(ZONES)],
        quiet_from=time(21 + pk % 3),
        quiet_until=time(6 + pk % 2),
        delivery_windows={"email": [["08:00", "12:00"], ["14:00", "20:00"]]} if pk % 2 else {},
        digest=UserSettings.Digest.DAILY if pk % 4 == 0 else UserSettings.Digest.NONE,
    )

"""Role and cluster preferences, mutes, and the record of who changed them."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from notifications.models import Cluster, Mute, PreferenceChange, SharedPreference, UserSettings
from tests.admin.conftest import customers


def url(name: str, *args: Any) -> str:
    return reverse(f"admin:klaxon_{name}", args=args)


def list_changes() -> list[tuple[Any, ...]]:
    rows = PreferenceChange.objects.order_by("pk")
    return list(rows.values_list("by__username", "action", "table"))


def test_additions_changes_and_deletions_are_recorded(boss: Client, cluster: Cluster) -> None:
    typed = {"cluster": cluster.pk, "group": "", "rank": 0, "channels-0:email": "off"}
    assert boss.post(url("sharedpreference_add"), typed).status_code == 302
    row = SharedPreference.objects.get()
    assert row.channels == {"email": False}
    boss.post(url("sharedpreference_change", row.pk), {**typed, "channels-0:email": "inherit"})
    boss.post(url("sharedpreference_delete", row.pk), {"post": "yes"})
    assert list_changes() == [("boss", action, "sharedpreference") for action in ("added", "changed", "deleted")]


def test_each_row_of_a_bulk_deletion_is_recorded(boss: Client, cluster: Cluster) -> None:
    for user in customers(3):
        Mute.objects.create(user=user, cluster=cluster, kind="topic", value="sale")
    selected = list(Mute.objects.values_list("pk", flat=True))
    boss.post(url("mute_changelist"), {"action": "delete_selected", "_selected_action": selected, "post": "yes"})
    assert not Mute.objects.exists()
    assert list_changes()[3:] == [("boss", "deleted", "mute")] * 3


def test_a_users_settings_are_recorded_too(boss: Client, cluster: Cluster) -> None:
    [user] = customers(1)
    chosen = {"digest": "daily", "digest_hour": "8", "digest_day": "0"}
    boss.post(url("usersettings_add"), {"user": user.pk, "cluster": cluster.pk, **chosen})
    assert UserSettings.objects.exists()
    assert list_changes() == [("boss", "added", "usersettings")]


def test_a_second_row_for_the_same_role_or_cluster_is_refused(boss: Client, cluster: Cluster) -> None:
    nurses = Group.objects.create(name="Nurses")
    for group in (nurses.pk, ""):
        typed = {"cluster": cluster.pk, "group": group, "rank": 0}
        assert [boss.post(url("sharedpreference_add"), typed).status_code for _ in range(2)] == [302, 200]


@pytest.mark.parametrize(
    ("kind", "value", "fault"),
    [("event", "no_such", "no event"), ("sender", "0", "no user"), ("sender", "ann", "no user")],
)
def test_a_mute_of_an_unknown_name_is_refused(
    kind: str, value: str, fault: str, boss: Client, cluster: Cluster
) -> None:
    typed = {"user": customers(1)[0].pk, "cluster": cluster.pk, "kind": kind, "value": value}
    assert fault in boss.post(url("mute_add"), typed).content.decode()
    assert not Mute.objects.exists()


def test_a_valid_mute_is_accepted(boss: Client, cluster: Cluster) -> None:
    [user] = customers(1)
    for kind, value in [("event", "Order_Shipped"), ("sender", user.pk), ("topic", "anything")]:
        typed = {"user": user.pk, "cluster": cluster.pk, "kind": kind, "value": value}
        assert boss.post(url("mute_add"), typed).status_code == 302
    assert Mute.objects.count() == 3


def test_changes_by_deleted_users_are_shown(boss: Client, cluster: Cluster) -> None:
    [user] = customers(1)
    UserSettings(user=user, cluster=cluster, addresses={"email": "ann@example.com"}).save(by=user)
    User.objects.filter(pk=user.pk).delete()
    page = boss.get(url("preferencechange_change", PreferenceChange.objects.get().pk)).content.decode()
    assert "a***@example.com" in page
    assert f"{user.pk} (deleted)" in page

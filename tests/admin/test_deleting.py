"""Deleting in the admin: a user is deleted with related rows, and the log remains."""

from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from notifications.core.addresses import user_key
from notifications.models import Cluster, Delivery, InboxItem, Notification, NotificationLog, UserSettings
from tests.admin.conftest import customers, send

DELETE_USER = "admin:auth_user_delete"


def make_user_with_related_rows(cluster: Cluster) -> User:
    """Create a user who is a recipient and an actor, with log rows, an inbox, preferences and a cluster."""
    [user] = customers(1)
    cluster.members.add(user)
    send([user], actor=user)
    UserSettings.objects.create(user=user, cluster=cluster)
    assert InboxItem.objects.filter(recipient=user).exists()
    return user


def test_a_user_is_deleted_and_the_log_remains(boss: Client, cluster: Cluster) -> None:
    user = make_user_with_related_rows(cluster)
    key = user_key(user.pk)
    assert boss.get(reverse(DELETE_USER, args=[user.pk])).status_code == 200
    assert boss.post(reverse(DELETE_USER, args=[user.pk]), {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=user.pk).exists()
    assert not InboxItem.objects.exists()
    assert not UserSettings.objects.exists()
    assert list(Delivery.objects.values_list("recipient", "recipient_key")) == [(None, key)] * 2
    assert list(NotificationLog.objects.values_list("recipient_id", "recipient_key")) == [(user.pk, key)] * 2
    assert Notification.objects.get().actor is None


def test_every_page_renders_after_the_user_is_deleted(boss: Client, cluster: Cluster) -> None:
    user = make_user_with_related_rows(cluster)
    boss.post(reverse(DELETE_USER, args=[user.pk]), {"post": "yes"})
    for model in (Notification, Delivery, NotificationLog):
        name = f"admin:klaxon_{model._meta.model_name}"
        assert boss.get(reverse(f"{name}_changelist")).status_code == 200
        for row in model.objects.all():
            assert boss.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200
    text = boss.get(reverse("admin:klaxon_notificationlog_changelist")).content.decode()
    assert f"{user_key(user.pk)} (deleted)" in text


def test_deliveries_of_a_deleted_user_are_found_by_key(boss: Client, cluster: Cluster) -> None:
    user = make_user_with_related_rows(cluster)
    boss.post(reverse(DELETE_USER, args=[user.pk]), {"post": "yes"})
    for model in ("delivery", "notificationlog"):
        url = reverse(f"admin:klaxon_{model}_changelist", query={"q": user_key(user.pk)})
        assert boss.get(url).context["cl"].result_count == 2


def test_many_users_are_deleted_by_the_action_of_the_list(boss: Client, cluster: Cluster) -> None:
    user = make_user_with_related_rows(cluster)
    data = {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
    boss.post(reverse("admin:auth_user_changelist"), data)
    assert not User.objects.filter(pk=user.pk).exists()


def test_deleting_a_user_requires_permissions_for_related_rows(staff_with: Any, cluster: Cluster) -> None:
    user = make_user_with_related_rows(cluster)
    url = reverse(DELETE_USER, args=[user.pk])
    permissions = ("view_user", "delete_user", "delete_inboxitem", "delete_usersettings")
    clerk = staff_with(*permissions)
    assert clerk.post(url, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=user.pk).exists()


def test_deleting_a_user_requires_permission_for_inbox_items(staff_with: Any, cluster: Cluster) -> None:
    user = make_user_with_related_rows(cluster)
    url = reverse(DELETE_USER, args=[user.pk])
    assert staff_with("view_user", "delete_user").post(url, {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=user.pk).exists()


def test_a_cluster_can_be_deleted_only_while_nothing_was_sent_in_it(boss: Client, cluster: Cluster) -> None:
    url = reverse("admin:klaxon_cluster_delete", args=[cluster.pk])
    send(customers(1))
    assert boss.post(url, {"post": "yes"}).status_code == 403
    empty = Cluster.objects.create(name="Empty", slug="empty")
    boss.post(reverse("admin:klaxon_cluster_delete", args=[empty.pk]), {"post": "yes"})
    assert list(Cluster.objects.all()) == [cluster]

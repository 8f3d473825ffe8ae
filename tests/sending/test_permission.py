"""Events that require a permission."""

from enum import Enum

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import PermissionDenied

from notifications.events import NotificationEvent, NotificationPriority
from notifications.exceptions import NotPermitted
from notifications.manager import NotificationManager
from notifications.models import Notification
from notifications.testing import temporary_events
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


class Alarms(Enum):
    ALARM = "alarm"


def event(permission: str) -> NotificationEvent:
    return NotificationEvent("alarm", NotificationPriority.CRITICAL, ["log"], permission=permission)


def send_as(actor: object, **options: object) -> int:
    with temporary_events() as events:
        events[Alarms.ALARM] = event("auth.change_group")
        return NotificationManager.send(Alarms.ALARM, [UserFactory()], None, {}, actor=actor, **options).queued


def permitted_user(**fields: object) -> User:
    user = UserFactory(**fields)
    user.user_permissions.add(Permission.objects.get(content_type__app_label="auth", codename="change_group"))
    return user


def test_an_actor_with_the_permission_sends():
    assert send_as(permitted_user()) == 1


def test_superusers_may_send():
    assert send_as(UserFactory(is_superuser=True)) == 1


def test_an_actor_without_the_permission_is_refused_and_nothing_is_written():
    with pytest.raises(NotPermitted, match=r"'alarm' .* 'auth.change_group', and 'mallory' does not have it") as error:
        send_as(UserFactory(username="mallory"))
    assert isinstance(error.value, PermissionDenied)
    assert not Notification.objects.exists()


@pytest.mark.parametrize("superuser", [True, False])
def test_an_inactive_actor_is_refused(superuser):
    with pytest.raises(NotPermitted):
        send_as(permitted_user(is_active=False, is_superuser=superuser))


@pytest.mark.parametrize("nobody", [None, AnonymousUser()])
def test_a_call_without_an_actor_is_refused(nobody):
    with pytest.raises(NotPermitted, match="no actor was given"):
        send_as(nobody)


def test_a_repeated_call_is_checked_too():
    send_as(permitted_user(), idempotency_key="once")
    with pytest.raises(NotPermitted):
        send_as(UserFactory(), idempotency_key="once")


@pytest.mark.parametrize("wrong", ["change_group", "auth.", ".change_group", "auth change", "2auth.x", None, 5])
def test_a_malformed_permission_is_an_error_at_registration(wrong):
    with pytest.raises(ValueError, match=r"'alarm' must be written as \"app_label.codename\""):
        event(wrong)

"""The phones and tablets of users."""

import pytest
from django.urls import reverse

from notifications.devices import register_device, unregister_device
from notifications.models import Device
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
TOKEN = "c-K9device:APA91bExample"


@pytest.fixture
def user():
    return UserFactory()


def test_a_device_is_stored_once(user):
    first = register_device(user, TOKEN, "android", "Pixel")
    again = register_device(user, TOKEN, "android", "Pixel 9")
    assert first.pk == again.pk
    device = Device.objects.get()
    assert (device.user, device.platform, str(device)) == (user, "android", "Pixel 9")
    assert device.registered_at > first.registered_at


def test_a_device_belongs_to_whoever_signs_in_there(user):
    register_device(user, TOKEN, "ios")
    other = UserFactory()
    register_device(other, TOKEN, "ios")
    assert Device.objects.get().user == other


def test_only_its_user_unregisters_a_device(user):
    register_device(user, TOKEN, "ios")
    assert not unregister_device(UserFactory(), TOKEN)
    assert unregister_device(user, TOKEN)
    assert not unregister_device(user, TOKEN)
    assert not Device.objects.exists()


def test_the_device_that_was_registered_longest_ago_makes_room(user):
    for number in range(10):
        register_device(user, f"device-{number}", "android")
    register_device(UserFactory(), "of-another", "android")
    register_device(user, "device-0", "android")
    register_device(user, "device-10", "android")
    kept = set(Device.objects.of(user).values_list("token", flat=True))
    assert kept == {f"device-{number}" for number in range(11) if number != 1}
    assert Device.objects.count() == 11


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "ä", "x" * 1001, None, 7])
def test_a_wrong_token_is_refused(user, token):
    with pytest.raises(ValueError, match="token"):
        register_device(user, token, "android")


def test_a_wrong_platform_is_refused(user):
    with pytest.raises(ValueError, match="android, ios, web"):
        register_device(user, TOKEN, "symbian")


def test_a_name_is_made_printable(user):
    assert register_device(user, TOKEN, "web", "My\x00 phone" + "x" * 200).name == "My phone" + "x" * 92


def test_the_admin_does_not_show_the_whole_token(user, admin_client):
    device = register_device(user, TOKEN, "android", "Pixel")
    for url in (
        reverse("admin:klaxon_device_changelist"),
        reverse("admin:klaxon_device_change", args=[device.pk]),
        reverse("admin:klaxon_device_delete", args=[device.pk]),
    ):
        page = admin_client.get(url)
        assert page.status_code == 200
        assert TOKEN not in page.text
    assert "c-K9de…" in admin_client.get(reverse("admin:klaxon_device_change", args=[device.pk])).text
    assert admin_client.get(reverse("admin:klaxon_device_add")).status_code == 403
    found = admin_client.get(reverse("admin:klaxon_device_changelist"), {"q": user.username})
    assert "Pixel" in found.text

"""Register the phones and tablets that the channel ``fcm`` sends to. The site's app calls this through a view."""

from typing import Any

from django.db import router

from notifications.channels.push_targets import MAX_TARGETS
from notifications.core import clock
from notifications.models import Device
from notifications.models.device import NAME_LENGTH, TOKEN_LENGTH, DeviceQuerySet, Platform


def register_device(user: Any, token: str, platform: str, name: str = "") -> Device:
    """Store a device of a user, or that the user still has it.

    If somebody else was signed in on the device before, it now belongs to this user only. A user has at most ten
    devices; the one that was registered longest ago makes room.

    :param token: the registration token that the app gets from Firebase.
    :param platform: ``"android"``, ``"ios"`` or ``"web"``.
    :param name: what the user calls the device, such as ``"Pixel 9"``. It is cut after 100 characters.
    :raises ValueError: if the token or the platform is invalid.
    """
    if not isinstance(token, str) or not 0 < len(token) <= TOKEN_LENGTH or not _is_plain(token):
        raise ValueError(f"A token consists of 1 to {TOKEN_LENGTH} ASCII characters without spaces.")
    if platform not in Platform.values:
        raise ValueError(f"The platform must be one of {', '.join(Platform.values)}.")
    printable = "".join(letter for letter in name if letter.isprintable()).strip()
    rows = _get_devices()
    device = rows.store(user, token, platform, printable[:NAME_LENGTH], clock.now(rows.db))
    rows.forget_oldest(user, MAX_TARGETS)
    return device


def unregister_device(user: Any, token: str) -> bool:
    """Forget a device when its user signs out there. Return whether it was this user's."""
    return _get_devices().of(user).filter(token=token).delete()[0] > 0


def _get_devices() -> DeviceQuerySet:
    return Device.objects.using(router.db_for_write(Device))


def _is_plain(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token

"""The channel classes that the settings of the site configure, by name.

Delivering instantiates them. Sending reads only the attributes that a class declares, such as the kind of address.
"""

from typing import Any

from django.utils.module_loading import import_string

from notifications import conf
from notifications.conf.channels import ChannelConf
from notifications.exceptions import ChannelNotConfigured


def get_channel_conf(name: str) -> ChannelConf:
    """Return the settings of a channel.

    :raises ChannelNotConfigured: if the settings do not have the channel, or it is disabled.
    """
    channel = conf.current().channel(name)
    if channel is None:
        raise ChannelNotConfigured(
            f"The channel {name!r} is not configured. Add it to NOTIFICATIONS['CHANNELS'], or set its ENABLED to True."
        )
    return channel


def get_channel_class(name: str) -> type[Any]:
    """Return the class of a configured channel.

    :raises ChannelNotConfigured: if the settings do not have the channel, or it is disabled.
    """
    return import_string(get_channel_conf(name).backend)


def get_address_kind(name: str) -> str:
    """Return the kind of address that a channel sends to.

    It is ``"email"``, ``"phone"``, …, ``"user"`` for a user account or ``""`` for no address.
    """
    return get_channel_class(name).address_kind


def get_site_address_kinds() -> frozenset[str]:
    """Return the kinds of addresses that the enabled channels send to."""
    return frozenset(map(get_address_kind, conf.current().enabled_channels)) - {"", "user"}

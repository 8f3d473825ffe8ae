"""The channel classes that this site has configured, by name.

Both wings read here: the delivering wing makes channels of them, the asking wing looks only at the facts that a class
declares, such as the kind of address that it needs.
"""

from typing import Any

from django.utils.module_loading import import_string

from notifications import conf
from notifications.conf.channels import ChannelConf
from notifications.exceptions import ChannelNotConfigured


def get_channel_conf(name: str) -> ChannelConf:
    """The settings of a channel.

    :raises ChannelNotConfigured: if the settings do not have it, or have switched it off.
    """
    channel = conf.current().channel(name)
    if channel is None:
        raise ChannelNotConfigured(
            f"The channel {name!r} is not configured. Add it to NOTIFICATIONS['CHANNELS'], or set its ENABLED to True."
        )
    return channel


def get_channel_class(name: str) -> type[Any]:
    """The class of a configured channel; raises as :func:`channel_conf` does."""
    return import_string(get_channel_conf(name).backend)


def get_address_kind(name: str) -> str:
    """What a channel sends to: ``"email"``, ``"phone"``, …; ``"user"`` for an account, ``""`` for nothing."""
    return get_channel_class(name).address_kind


def get_address_kinds() -> frozenset[str]:
    """The kinds of addresses to which the channels of the site send."""
    return frozenset(map(get_address_kind, conf.current().enabled_channels)) - {"", "user"}

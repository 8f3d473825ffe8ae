"""How long the channels of the site may take for one call."""

from notifications import conf
from notifications.channels import create_channel
from notifications.conf import get_channel_conf
from notifications.conf.channels import ProviderConf


def get_longest_send_seconds() -> float:
    """Return the longest time until a delivering thread asks again whether to stop."""
    return max(
        (
            _get_send_seconds(name, provider)
            for name in conf.current().enabled_channels
            for provider in get_channel_conf(name).providers
        ),
        default=0.0,
    )


def _get_send_seconds(name: str, provider: ProviderConf) -> float:
    """Return the longest time until a channel checks for a stop. Interrupting a transaction loses nothing."""
    try:
        channel = create_channel(name, provider)
        return channel.timeout * (1 if channel.one_by_one or channel.transactional else channel.group_size)
    except Exception:  # noqa: BLE001 - a channel whose constructor fails sends nothing
        return 0.0

"""What browsers need to know of the push channel: its public key, and which push services it accepts."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from django.utils.module_loading import import_string

from notifications import conf
from notifications.channels.push_services import DEFAULT_SERVICES, encode_public_key, load_private_key
from notifications.channels.web_push import WebPushChannel
from notifications.conf import get_channel_conf
from notifications.conf.channels import ProviderConf


class PushConfiguration(NamedTuple):
    """The public key of the site as browsers take it, and the push services that subscriptions may name."""

    public_key: str
    services: Sequence[str]


def has_push_channel() -> bool:
    """Return whether the site has a push channel."""
    return _find_provider() is not None


def find_push_configuration() -> PushConfiguration | None:
    """Return the configuration of the push channel, or None if the site has none."""
    provider = _find_provider()
    if provider is None:
        return None
    services = tuple(provider.options.get("services", DEFAULT_SERVICES))
    return PushConfiguration(_get_public_key(provider.options.get("private_key", "")), services)


def _find_provider() -> ProviderConf | None:
    for name in sorted(conf.current().enabled_channels):
        provider = get_channel_conf(name).providers[0]
        backend = import_string(provider.backend)
        if isinstance(backend, type) and issubclass(backend, WebPushChannel):
            return provider
    return None


@cache
def _get_public_key(private_key: str) -> str:
    return encode_public_key(load_private_key(private_key))

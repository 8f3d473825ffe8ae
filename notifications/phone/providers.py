"""The SMS and voice services of the site, as its settings name them."""

from collections.abc import Iterator
from typing import Any

from django.utils.module_loading import import_string

from notifications import conf
from notifications.conf import get_channel_conf
from notifications.conf.channels import ProviderConf


def iterate_providers(base: type[Any]) -> Iterator[tuple[str, ProviderConf]]:
    """Yield the channel and the provider of each enabled channel whose class inherits from ``base``.

    A class that cannot be imported is left out. The check ``klaxon.E006`` reports it.
    """
    for name in sorted(conf.current().enabled_channels):
        for provider in get_channel_conf(name).providers:
            try:
                backend = import_string(provider.backend)
            except ImportError:
                continue
            if isinstance(backend, type) and issubclass(backend, base):
                yield name, provider

"""DNS queries for TXT records, with dnspython (the extra ``dns``)."""

from typing import Any

from notifications.core import extras
from notifications.email_setup.findings import DNSUnavailable

TIMEOUT = 5.0
"""The seconds for one query, including repetitions."""


class Resolver:
    """Looks up TXT records.

    :param nameserver: the IP address of a name server, with a port if it is not 53, as in ``"127.0.0.1:5353"`` or
        ``"[::1]:5353"``; by default, those of the system.
    :raises MissingExtra: if dnspython is not installed.
    :raises DNSUnavailable: if the system has no name server.
    :raises ValueError: if ``nameserver`` is not an IP address.
    """

    def __init__(self, nameserver: str = "") -> None:
        self._dns: Any = extras.import_optional("dns.resolver")
        self._exceptions: Any = extras.import_optional("dns.exception")
        try:
            self._resolver = self._dns.Resolver(configure=not nameserver)
        except self._dns.NoResolverConfiguration as error:
            raise DNSUnavailable("This system has no DNS server configured.") from error
        if nameserver:
            address, port = split_port(nameserver)
            self._resolver.nameservers, self._resolver.port = [address], port
        self._resolver.lifetime = TIMEOUT

    def load_texts(self, name: str) -> list[str]:
        """Return the TXT records of a name, each as one text; empty if it has none or does not exist.

        :raises DNSUnavailable: if there is no answer.
        """
        try:
            answer = self._resolver.resolve(f"{name.rstrip('.')}.", "TXT")
        except (self._dns.NXDOMAIN, self._dns.NoAnswer):
            return []
        except (self._exceptions.DNSException, OSError) as error:
            raise DNSUnavailable(f"The TXT records of {name} cannot be looked up: {error}") from error
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]


def split_port(text: str) -> tuple[str, int]:
    """Return the address and the port of a name server; the port is 53 if the text has none."""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        return address, int(port.lstrip(":") or 53)
    if text.count(":") == 1:
        address, _, port = text.partition(":")
        return address, int(port)
    return text, 53

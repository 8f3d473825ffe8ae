"""Requests to addresses that users enter, without letting them reach into the site's own network (SSRF).

The host of each request is resolved once. Every address of the answer is checked, and the connection is made to one of
exactly these addresses, so a name that resolves to another address a moment later (DNS rebinding) gains nothing. There
are no redirects and no proxies. The library ``requests-hardened`` provides the adapter, and the networks that Python
does not know as special. Its adapter checks only the first address and knows no lists of the site, so a subclass
replaces that step.
"""

import ipaddress
import re
import socket
import threading
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from notifications.core.extras import import_optional
from notifications.exceptions import AddressForbidden

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA_NETWORKS = tuple(
    map(
        ipaddress.ip_network,
        # AWS, its containers, Google, Azure and most others; Azure's wire server; Alibaba; Oracle; AWS, Google and
        # Scaleway over IPv6.
        (
            "169.254.0.0/16",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::/32",
            "fd20:ce::254",
            "fd00:42::42",
        ),
    )
)
"""The services from which a server in a cloud gets its credentials. No setting allows them."""
GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
"""All global unicast addresses of IPv6 are in this network (RFC 4291, 2.4)."""
HOST_PATTERN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
# Parsers disagree about these: some read 0177.1, 0x7f.1 and 2130706433 as 127.0.0.1.
NUMBER_PATTERN = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
DOTTED_PATTERN = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.|\Z)){4}")
SEPARATOR_PATTERN = re.compile(r"[\s\\]")
MAX_URL_LENGTH = 2000
INVALID_URL = _("This is not a valid URL.")
INVALID_HOST = _("The host of the URL is not a valid name or address.")
TOO_LONG = format_lazy(_("Enter a URL of at most {number} characters."), number=MAX_URL_LENGTH)
HTTPS_NEEDED = _("The URL must begin with https://.")
HTTP_NEEDED = _("The URL must begin with https:// or http://.")
REFUSED_HOST = _("This site sends nothing to {host}.")


def parse_places(places: Iterable[str], option: str) -> tuple[tuple[IPNetwork, ...], tuple[str, ...]]:
    """Return networks, and hosts, of a list such as ``["10.0.5.0/24", "hooks.example.com", "*.example.org"]``.

    :raises ValueError: if an entry is neither. The message names the option.
    """
    networks: list[IPNetwork] = []
    hosts: list[str] = []
    if isinstance(places, str):
        raise ValueError(f"The option {option!r} must be a list of networks and hosts.")  # noqa: TRY004
    for place in places:
        name = str(place).lower()
        try:
            networks.append(ipaddress.ip_network(name))
            continue
        except ValueError:
            pass
        if not HOST_PATTERN.fullmatch(name.removeprefix("*.")) or NUMBER_PATTERN.fullmatch(name.rpartition(".")[2]):
            raise ValueError(
                f"The option {option!r} contains {place!r}. Write a network such as '10.0.5.0/24' (without bits after "
                "the prefix), a host, or '*.' and a domain."
            )
        hosts.append(name)
    return tuple(networks), tuple(hosts)


class AddressGuard:
    """Decides which URLs and addresses may be requested.

    :param allow: networks and hosts that may be reached although their addresses are private.
    :param deny: networks and hosts that may never be reached.
    :param allow_http: whether ``http:`` is allowed as well as ``https:``.
    :raises ValueError: if a list is invalid.
    :raises MissingExtra: if ``requests-hardened`` is not installed.
    """

    def __init__(self, allow: Sequence[str] = (), deny: Sequence[str] = (), allow_http: bool = False) -> None:
        self._allowed_networks, self._allowed_hosts = parse_places(allow, "allow")
        self._denied_networks, self._denied_hosts = parse_places(deny, "deny")
        self._schemes = ("https", "http") if allow_http else ("https",)
        self._special_networks: Sequence[IPNetwork] = import_optional(
            "requests_hardened.ip_filter"
        ).EXTRA_BLOCKED_NET_RANGES

    def check_url(self, url: str) -> str:
        """Return a URL in the form in which it is requested; a host with other letters becomes ASCII (IDNA).

        It does not resolve the host, except if that is an address.

        :raises AddressForbidden: if the URL may not be requested. The message is for the user.
        """
        if not isinstance(url, str) or not 0 < len(url) <= MAX_URL_LENGTH:
            raise AddressForbidden(TOO_LONG)
        if not url.isprintable() or SEPARATOR_PATTERN.search(url):
            raise AddressForbidden(_("A URL must not contain spaces, control characters or backslashes."))
        self._check_parts(url)
        try:
            prepared = str(import_optional("requests").Request("POST", url).prepare().url)
            # The host of what is requested, not of what was entered.
            host = urlsplit(prepared).hostname or ""
        except (ValueError, UnicodeError):
            raise AddressForbidden(INVALID_URL) from None
        self.check_host(host)
        if len(prepared) > MAX_URL_LENGTH:
            raise AddressForbidden(TOO_LONG)
        return prepared

    def _check_parts(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise AddressForbidden(INVALID_URL) from None
        if parts.scheme not in self._schemes:
            raise AddressForbidden(HTTP_NEEDED if "http" in self._schemes else HTTPS_NEEDED)
        if "@" in parts.netloc:
            raise AddressForbidden(_("A URL must not contain a user name or password."))
        if "#" in url:
            raise AddressForbidden(_("A URL must not contain a fragment (#…)."))
        if port == 0 or parts.netloc.endswith(":"):
            raise AddressForbidden(_("The port of the URL must be from 1 to 65535."))

    def check_host(self, host: str) -> None:
        """Check the host of a URL without resolving it.

        :raises AddressForbidden: if it may not be requested.
        """
        if ":" in host:
            self.check_address(_parse_address(host), host)
            return
        if host.endswith("."):
            raise AddressForbidden(_("Write the host without a dot at its end."))
        if DOTTED_PATTERN.fullmatch(host):
            self.check_address(_parse_address(host), host)
            return
        if not HOST_PATTERN.fullmatch(host) or NUMBER_PATTERN.fullmatch(host.rpartition(".")[2]):
            raise AddressForbidden(INVALID_HOST)
        if _is_listed(host, self._denied_hosts):
            raise AddressForbidden(format_lazy(REFUSED_HOST, host=host))

    def check_address(self, address: IPAddress, host: str) -> None:
        """Check an address that a host resolves to.

        :raises AddressForbidden: if nothing may be sent to it.
        """
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        address = mapped or address
        if _is_in(address, METADATA_NETWORKS) or _is_in(address, self._denied_networks):
            raise AddressForbidden(format_lazy(REFUSED_HOST, host=host))
        if _is_in(address, self._allowed_networks) or _is_listed(host, self._allowed_hosts):
            return
        if not self._is_public(address):
            raise AddressForbidden(format_lazy(_("{host} is not an address in the public internet."), host=host))

    def resolve(self, host: str, port: int, timeout: float) -> IPAddress:
        """Return the address to connect to. Every address of the answer is checked.

        :param timeout: seconds.
        :raises AddressForbidden: if one of the addresses may not be reached.
        :raises requests.ConnectionError: if there is no answer, or none in time.
        """
        self.check_host(host)
        addresses = [_parse_address(str(answer[4][0])) for answer in _look_up(host, port, timeout)]
        for address in addresses:
            self.check_address(address, host)
        return addresses[0]

    def _is_public(self, address: IPAddress) -> bool:
        if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address not in GLOBAL_IPV6:
            return False
        return not _is_in(address, self._special_networks)


def _parse_address(text: str) -> IPAddress:
    if "%" in text:
        raise AddressForbidden(_("An IPv6 address with a zone is not an address in the public internet."))
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise AddressForbidden(INVALID_HOST) from None


def _is_in(address: IPAddress, networks: Iterable[IPNetwork]) -> bool:
    return any(address in network for network in networks)


def _is_listed(host: str, listed: Iterable[str]) -> bool:
    return any(host == entry or (entry.startswith("*.") and host.endswith(entry[1:])) for entry in listed)


def _look_up(host: str, port: int, timeout: float) -> list[Any]:
    """Return the answer of the resolver, which Python cannot interrupt, so it runs in a thread of its own.

    :raises requests.ConnectionError: if there is none, or none in time.
    """
    requests = import_optional("requests")
    family = import_optional("urllib3.util.connection").allowed_gai_family()
    found: list[Any] = []
    errors: list[Exception] = []

    def look_up() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            errors.append(error)

    thread = threading.Thread(target=look_up, name="klaxon-resolver", daemon=True)
    thread.start()
    thread.join(max(timeout, 0.0))
    if not found:
        cause = errors[0] if errors else TimeoutError("its name server does not answer")
        raise requests.ConnectTimeout(f"The name {host} cannot be resolved: {cause}.") from cause
    return list(found)


@cache
def _get_adapter_class() -> type[Any]:
    # Only installed with an extra.
    watched: Any = import_module("notifications.channels.watched_http")
    library: Any = import_optional("requests_hardened.ip_filter_adapter")
    plain: Any = import_optional("requests.adapters").HTTPAdapter

    class GuardedAdapter(watched.WatchedAdapterMixin, library.IPFilterAdapter):
        """Connects to the address that the guard has checked; certificate and ``Host`` are those of the name."""

        def __init__(self, guard: AddressGuard, scheme: str) -> None:
            super().__init__(is_https_proto=scheme == "https")
            self._guard = guard

        def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
            place, pool = plain.build_connection_pool_key_attributes(self, request, verify, cert)
            # What is resolved here is what the connection would be made to, however another parser reads the URL.
            host = str(place["host"]).strip("[]")
            self._guard.check_url(request.url)
            port = place["port"] or (443 if self._is_https_proto else 80)
            address = self._guard.resolve(host, port, watched.get_call().remaining)
            if self._is_https_proto:
                pool["assert_hostname"] = pool["server_hostname"] = host
            request.headers["Host"] = urlsplit(request.url).netloc
            place["host"] = f"[{address}]" if address.version == 6 else str(address)
            return place, pool

    return GuardedAdapter


def create_adapter(guard: AddressGuard, scheme: str) -> Any:
    """Return an adapter of ``requests`` for an ``HTTPClient``, which connects only to what the guard allows.

    :raises MissingExtra: if ``requests-hardened`` is not installed.
    """
    return _get_adapter_class()(guard, scheme)

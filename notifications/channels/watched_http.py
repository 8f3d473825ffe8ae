"""Connections of requests that note what happened to a request, and that end at a deadline.

The timeouts of requests apply to each read from the socket. A server that sends one byte at a time, or a name with many
addresses, can take many times as long. A timer ends the connection instead.
"""

import ipaddress
import logging
import os
import socket
import threading
from functools import partial
from http.client import HTTPResponse, parse_headers
from time import monotonic
from typing import Any

from notifications.core.extras import import_optional

requests: Any = import_optional("requests")
_adapters: Any = import_optional("requests.adapters")
_pools: Any = import_optional("urllib3.connectionpool")
_connections: Any = import_optional("urllib3.connection")
_sockets: Any = import_optional("urllib3.util.connection")
_urls: Any = import_optional("urllib3.util.url")
http_errors: Any = import_optional("urllib3.exceptions")

_thread = threading.local()


class Call:
    """What happens to one request, from the search for the address of its host to the end of the answer.

    :ivar handed_over: whether the provider may have received a part of the request.
    :ivar is_late: whether the deadline has passed.
    """

    def __init__(self, seconds: float) -> None:
        self.handed_over = False
        self.is_late = False
        self._ends_at = monotonic() + seconds
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def __enter__(self) -> "Call":
        _thread.call = self
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        _thread.call = None
        with self._lock:
            if self._socket is not None:
                self._socket.close()

    @property
    def remaining(self) -> float:
        return max(0.001, self._ends_at - monotonic())

    def watch(self, connection: socket.socket) -> None:
        """Shut a socket down at the deadline. A copy of it works even after TLS has taken the socket over."""
        with self._lock:
            if self._socket is None:
                self._socket = socket.socket(fileno=os.dup(connection.fileno()))
            if self.is_late:
                self._shut_down()

    def _end(self) -> None:
        with self._lock:
            self.is_late = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                # The other side has closed the connection already.
                return


def get_call() -> Call | None:
    """Return the request that this thread makes."""
    return getattr(_thread, "call", None)


def _find_addresses(host: str, port: int, seconds: float) -> list[Any]:
    """Return what ``getaddrinfo()`` returns.

    It has no timeout of its own, so it looks names up in a thread that is left alone at the deadline.

    :raises TimeoutError, socket.gaierror, UnicodeError: if there is no address.
    """
    look_up = partial(socket.getaddrinfo, host, port, _sockets.allowed_gai_family(), socket.SOCK_STREAM)
    if _is_ip_address(host):
        return look_up()
    found: list[Any] = []

    def find() -> None:
        try:
            found.append(look_up())
        except (OSError, UnicodeError) as error:
            found.append(error)

    thread = threading.Thread(target=find, name="klaxon-address", daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise TimeoutError("its address was not found in time")
    if isinstance(found[0], Exception):
        raise found[0]
    addresses: list[Any] = found[0]
    return addresses


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Response(HTTPResponse):
    """An answer of ``http.client``, which takes each interim answer but 100 for the final one (RFC 9110, 15.2).

    The final answer would then become that to the next request.
    """

    def _read_status(self) -> tuple[Any, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 101 < status < 200:
                return version, status, reason
            parse_headers(self.fp)


class _WatchedConnection:
    """A mixin for connections of urllib3."""

    response_class = _Response
    sock: Any
    _is_connecting = False

    def connect(self) -> None:
        self._is_connecting = True
        try:
            super().connect()  # type: ignore[misc]
        finally:
            self._is_connecting = False

    def send(self, data: Any) -> None:
        call = get_call()
        # While it connects, it sends at most a request to a proxy.
        if call is not None and not self._is_connecting:
            if self.sock is None:
                self.connect()
            # A connection that was kept open has not been watched yet.
            call.watch(self.sock)
            call.handed_over = True
        super().send(data)  # type: ignore[misc]

    def _new_conn(self: Any) -> socket.socket:
        call = get_call()
        if call is None:
            return super()._new_conn()  # type: ignore[misc]
        try:
            found = _find_addresses(self._dns_host, self.port, call.remaining)
        except (OSError, UnicodeError) as error:
            raise http_errors.NewConnectionError(self, f"The host is unknown: {error}") from error
        failure: OSError | None = None
        for _family, _kind, _protocol, _name, address in found:
            if call.is_late:
                break
            try:
                # Each address gets a part of the time, so that one that does not answer does not use it up.
                connected = _sockets.create_connection(
                    address[:2], call.remaining / 2, self.source_address, self.socket_options
                )
            except OSError as error:
                failure = error
            else:
                call.watch(connected)
                # TLS, and a long request, may take all the time that is left.
                connected.settimeout(call.remaining)
                return connected
        raise http_errors.NewConnectionError(self, str(failure or "The connection took too long.")) from failure


class _HTTPConnection(_WatchedConnection, _connections.HTTPConnection):
    pass


class _HTTPSConnection(_WatchedConnection, _connections.HTTPSConnection):
    pass


class _HTTPPool(_pools.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(_pools.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


def _is_usable_proxy(proxy: str) -> bool:
    """Return whether the URL of a proxy is valid, and that of an HTTP proxy."""
    try:
        parts = _urls.parse_url(requests.utils.prepend_scheme_if_needed(proxy, "http"))
    except (ValueError, TypeError):
        # requests raises a TypeError for a user name without a host.
        return False
    return bool(parts.host) and parts.scheme in _POOLS


class WatchedAdapterMixin:
    """A mixin for adapters of requests, whose connections are then watched."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)  # type: ignore[misc]
        self.poolmanager.pool_classes_by_scheme = _POOLS  # type: ignore[attr-defined]

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        proxy = requests.utils.select_proxy(request.url, proxies)
        # requests would also take a SOCKS proxy, but its connections could not be watched.
        if proxy and not _is_usable_proxy(proxy):
            raise requests.exceptions.InvalidProxyURL
        return super().get_connection_with_tls_context(request, verify, proxies, cert)  # type: ignore[misc]

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)  # type: ignore[misc]
        manager.pool_classes_by_scheme = _POOLS
        return manager


class WatchedAdapter(WatchedAdapterMixin, _adapters.HTTPAdapter):
    """The adapter that channels use unless they have one of their own."""


def _is_public(record: logging.LogRecord) -> bool:
    return get_call() is None


# urllib3 logs paths at the level DEBUG. Those of many services are secrets.
for _name in ("urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_is_public)

"""``send()`` does not use the network."""

import socket
import sys
from functools import cache
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.db import connection

from notifications.recipients import Address, Members
from tests.factories import UserFactory
from tests.mailers import use_backend
from tests.sending.calls import NOON, send

NETWORK = {
    *("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"),
    *("socket.gethostbyaddr", "socket.getnameinfo"),
}


@cache
def guard():
    """Return an object that, while it is on, refuses network calls and records them. Audit hooks cannot be removed."""
    recorder = SimpleNamespace(on=False, calls=[])

    def refuse(event, args):
        if recorder.on and event in NETWORK:
            recorder.calls.append(event)
            raise AssertionError(f"The network was used: {event}.")

    sys.addaudithook(refuse)
    return recorder


class TestNoNetwork:
    RECIPIENTS = {
        "one user": lambda: User.objects.first(),
        "several chunks": lambda: User.objects.all(),
        "members": lambda: Members(None),
        "address": lambda: [Address(email="ann@example.com")],
    }
    OPTIONS = {"plain": {}, "key": {"idempotency_key": "one"}, "later": {"send_at": NOON.replace(year=2099)}}

    @pytest.fixture
    def guarded(self, db):
        """Refuse network calls during the test. The connection to the test database is already open."""
        connection.ensure_connection()
        guard().calls.clear()
        guard().on = True
        yield guard().calls
        guard().on = False

    @pytest.mark.parametrize("window", [0, 900])
    @pytest.mark.parametrize("options", OPTIONS)
    @pytest.mark.parametrize("recipients", RECIPIENTS)
    def test_send_does_not_use_the_network_for_any_recipients_and_channels(
        self, event_with, settings, guarded, recipients, options, window
    ):
        every = {"email": {}, "app": {}, "log": {}}
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "CHANNELS": every, "CHUNK_SIZE": 2}
        use_backend(settings)
        UserFactory.create_batch(5)
        event = event_with(channels=tuple(every), dedup_window=window)
        for _ in range(2):
            result = send(self.RECIPIENTS[recipients](), event, {}, **self.OPTIONS[options])
            assert result.queued + result.held or result.reasons["duplicate"]
        assert guarded == []

    @pytest.mark.parametrize(
        "call",
        [
            lambda plain: socket.create_connection(("127.0.0.1", 9)),
            lambda plain: plain.connect_ex(("127.0.0.1", 9)),
            lambda plain: plain.sendto(b"", ("127.0.0.1", 9)),
            lambda plain: socket.getaddrinfo("localhost", 9),
            lambda plain: socket.gethostbyname("localhost"),
        ],
    )
    def test_the_guard_detects_every_network_call(self, guarded, call):
        with (
            socket.socket(type=socket.SOCK_DGRAM) as plain,
            pytest.raises(AssertionError, match="The network was used"),
        ):
            call(plain)
        assert guarded

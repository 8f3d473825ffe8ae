"""Failures of an SMTP server for one mail of several, from ``send()`` to the server and back to the outbox.

The page of the email channel shows these rows as its table.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from notifications.channels.email import EmailChannel
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NOTIFICATION_EVENTS, NotificationEvent
from notifications.manager import NotificationManager
from notifications.models import Delivery, NotificationLog, Suppression
from notifications.outcomes import Blame
from notifications.testing import temporary_events, travelling
from tests.channels.scripted import CERTIFICATE, RESET, SILENCE, scripted
from tests.channels.smtp_rows import CONFIGURATION, CONTENT, ENVELOPE, LOST, OPENING, PERMANENT, TEMPORARY
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

PAGE = Path(__file__).parents[2] / "docs" / "channels" / "email-smtp.md"
PATIENCE = 0.4
TLS = {"use_tls": True}
LOGIN = {"username": "shop", "password": "secret"}


DIALOGUES = {
    "plain": {},
    "pipelined": {"pipelining": True},
    "lenient": {"pipelining": True, "lenient": True},
}
CASES = [
    *(pytest.param(row, "plain", id=str(row)) for row in OPENING),
    *(
        pytest.param(row, dialogue, id=f"{row}-{dialogue}")
        for row in [*ENVELOPE, *CONTENT]
        for dialogue in DIALOGUES
        if dialogue != "lenient" or row.stage == "RCPT"
    ),
]


class Watched(EmailChannel):
    """The channel, which records its receipts."""

    receipts: list[Any] = []

    def send(self, messages):
        for receipt in super().send(messages):
            self.receipts.append(receipt)
            yield receipt


@pytest.fixture
def site(settings, db, monkeypatch):
    """Set the SMTP server of the site."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    Watched.receipts.clear()

    def site(server, timeout=5, **options):
        backend = {"host": "127.0.0.1", "port": server.port, "timeout": timeout, **options}
        smtp = {"backend": "django.core.mail.backends.smtp.EmailBackend", "backend_options": backend}
        email = {"BACKEND": f"{__name__}.Watched", "OPTIONS": smtp}
        breaker = {"BREAKER_SECONDS": 60, "BREAKER_MOST_SECONDS": 60, "RAMP_SECONDS": 0}
        settings.NOTIFICATIONS = {"CHANNELS": {"email": email}, "RETRY_DELAYS": [60], "RETRY_JITTER": 0, **breaker}

    with temporary_events():
        yield site


@pytest.fixture
def clock():
    with travelling() as clock:
        yield clock


def queue(*names):
    NotificationManager.send(ShopEvents.NEWSLETTER, [UserFactory(username=name) for name in names])


def dispatch():
    dispatcher = Dispatcher()
    try:
        return dispatcher.run_until_idle()
    finally:
        dispatcher.close()


def on_unknown(policy):
    event = NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER]
    NOTIFICATION_EVENTS[ShopEvents.NEWSLETTER] = NotificationEvent(
        event.name, event.priority, event.supported_channels, on_unknown=policy
    )


def needs(row):
    """Return the settings of the site and the server that reach this stage."""
    options = TLS if row.stage in ("STARTTLS", "handshake") else LOGIN if row.stage == "AUTH" else {}
    return {"timeout": PATIENCE if row.fault == SILENCE else 5, **options}


def hits_the_first(row):
    return row in OPENING or (row.may_need_new_connection and row.verdict == TEMPORARY)


def script_of(row, dialogue):
    """The fault affects the first mail, or otherwise the second. (A client whose EHLO is refused tries HELO.)"""
    turns = (1, 2) if str(row).startswith("EHLO-5") else (1,) if hits_the_first(row) else (2, 2 + row.is_tried_twice)
    offers = ("SIZE 1000000", "AUTH PLAIN", *["STARTTLS"] * (row.stage in ("STARTTLS", "handshake")))
    return {"stage": row.stage, "fault": row.fault, "turns": turns, "offers": offers, **DIALOGUES[dialogue]}


def test_the_page_has_the_same_rows():
    lines = [line for line in PAGE.read_text().partition("## Table of errors")[2].splitlines() if line.startswith("| ")]
    assert lines[1:] == [row.format_page_row() for row in [*OPENING, *ENVELOPE, *CONTENT]]


@pytest.mark.parametrize(("row", "dialogue"), CASES)
def test_one_of_three_mails_fails_and_the_others_are_sent_once(row, dialogue, site, clock):
    """A configuration error opens the circuit. Then the other mails are sent when the provider is tried again."""
    with scripted(**script_of(row, dialogue)) as server:
        site(server, **needs(row))
        queue("ann", "bob", "cid")
        dispatch()
        assert not NotificationLog.objects.filter(error_message__contains=LOGIN["password"]).exists()
        victim = Delivery.objects.order_by("pk")[0 if hits_the_first(row) else 1]
        others = [f"{name}@example.com" for name in ("ann", "bob", "cid") if f"{name}@example.com" != victim.address]
        assert read_outcome(victim) == expect_outcome(row, clock())
        before = others if not row.stops_the_provider else [] if hits_the_first(row) else others[:1]
        assert server.accepted == before
        waiting = Delivery.objects.exclude(pk=victim.pk).exclude(state="sent", attempts=1)
        assert set(waiting.values_list("address", "attempts")) == {(address, 0) for address in others[len(before) :]}
        tries = 1 + row.is_tried_twice
        assert server.for_nobody == [b""] * (tries * (dialogue == "lenient" and not row.ends_the_conversation))
        again = [] if row.verdict == PERMANENT else [victim.address]
        run_later(len(others) - len(before) + len(again), clock)
        assert server.accepted[: len(before)] == before
        assert sorted(server.accepted) == sorted(others + again)


def expect_outcome(row, now):
    due = None if row.verdict == PERMANENT else now + timedelta(seconds=60)
    return row.state, row.verdict, 1, due, row.suppress, row.blames


def read_outcome(victim):
    receipt = next(receipt for receipt in Watched.receipts if receipt.error)
    assert receipt.message.to == [victim.address]
    due = victim.due_at if victim.state == "retry" else None
    return victim.state, victim.reason, victim.attempts, due, receipt.suppress, receipt.blames


def run_later(count, clock):
    """A retry happens at its time and not before. Other mails are never retried."""
    clock.forward(seconds=59)
    assert dispatch() == {}
    clock.forward(seconds=1)
    assert dispatch() == ({"sent": count} if count else {})
    clock.forward(days=1)
    assert dispatch() == {}


@pytest.mark.parametrize("dialogue", ["plain", "pipelined"])
@pytest.mark.parametrize("row", [row for row in CONTENT if row.verdict == LOST], ids=str)
def test_unknown_mails_wait_for_a_person_if_on_unknown_is_hold(row, dialogue, site, clock):
    on_unknown("hold")
    with scripted(**script_of(row, dialogue)) as server:
        site(server, **needs(row))
        queue("ann", "bob", "cid")
        assert dispatch() == {"sent": 2, "unknown": 1}
        clock.forward(days=1)
        assert dispatch() == {}
        assert server.accepted == ["ann@example.com", "cid@example.com"]
    lost = Delivery.objects.get(state="unknown")
    assert (lost.address, lost.reason, lost.attempts) == ("bob@example.com", LOST, 1)
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("row", [row for row in ENVELOPE if row.fault in (RESET, SILENCE)], ids=str)
def test_unaccepted_mails_are_retried_even_if_on_unknown_is_hold(row, site, clock):
    on_unknown("hold")
    with scripted(**script_of(row, "pipelined")) as server:
        site(server, **needs(row))
        queue("ann", "bob", "cid")
        dispatch()
        assert not Delivery.objects.filter(state="unknown").exists()
        clock.forward(seconds=60)
        dispatch()
        assert sorted(server.accepted) == ["ann@example.com", "bob@example.com", "cid@example.com"]


GONE = {
    "disconnect": RESET,
    "421": "421 4.4.2 Idle for too long",
    "421 bare": "421 Too many messages in this session",
    "timed out": "451 4.4.2 Timeout, closing",
}


@pytest.mark.parametrize("dialogue", ["plain", "pipelined"])
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("fault", GONE.values(), ids=GONE)
def test_a_stale_connection_uses_no_attempt(fault, stage, dialogue, site):
    with scripted(stage=stage, fault=fault, turns=(2,), **DIALOGUES[dialogue]) as server:
        site(server)
        queue("ann", "bob", "cid")
        assert dispatch() == {"sent": 3}
    assert server.accepted == ["ann@example.com", "bob@example.com", "cid@example.com"]
    assert server.connections == 2
    assert set(Delivery.objects.values_list("attempts")) == {(1,)}
    assert NotificationLog.objects.count() == 3


OF_A_SESSION = {
    "bare": "550 Requested action not taken",
    "bare, with words": "550 Enough for this connection",
    "temporary": "452 4.5.3 Too many recipients in this session",
    "an enhanced code": "550 5.7.1 No more than ten mails per connection",
}


@pytest.mark.parametrize("dialogue", ["plain", "pipelined"])
@pytest.mark.parametrize("reply", OF_A_SESSION.values(), ids=OF_A_SESSION)
def test_a_limit_of_mails_per_connection_uses_no_attempt(reply, dialogue, site):
    with scripted(mails_per_connection=10, limit=reply, **DIALOGUES[dialogue]) as server:
        site(server)
        queue(*(f"guest{number}" for number in range(45)))
        assert dispatch() == {"sent": 45}
    assert (len(server.accepted), len(set(server.accepted)), server.connections) == (45, 45, 5)
    assert not Suppression.objects.exists()


def test_a_missing_mailbox_is_checked_on_a_new_connection(site):
    with scripted(stage="RCPT", fault="550 No such user", turns=range(1, 99), pipelining=True) as server:
        server.whom = "bob@example.com".__eq__
        site(server)
        queue("ann", "bob", "cid", "dan")
        assert dispatch() == {"sent": 3, "dead": 1}
    assert (server.reached["RCPT"], server.connections) == (5, 2)
    assert Suppression.objects.count() == 1


def test_mails_after_a_refused_recipient_use_the_same_connection(site):
    with scripted(stage="RCPT", fault="550 5.1.1 No such user", turns=(2, 3), pipelining=True) as server:
        site(server)
        queue("ann", "bob", "cid", "dan")
        assert dispatch() == {"sent": 2, "dead": 2}
    assert server.connections == 1


@pytest.mark.parametrize("fault", GONE.values(), ids=GONE)
def test_a_new_connection_that_ends_immediately_is_a_failure(fault, site):
    with scripted(stage="MAIL", fault=fault, turns=range(1, 9)) as server:
        site(server)
        queue("ann")
        assert dispatch() == {"retry": 1}
    assert server.reached["MAIL"] == 1


@pytest.mark.parametrize("fault", GONE.values(), ids=GONE)
def test_a_mail_gets_at_most_one_new_connection(fault, site):
    with scripted(stage="MAIL", fault=fault, turns=(2, 3, 4, 5)) as server:
        site(server)
        queue("ann", "bob")
        assert dispatch() == {"sent": 1, "retry": 1}
    assert server.reached["MAIL"] == 3


@pytest.mark.parametrize("fault", [RESET, "421 4.3.2 Closing down"])
def test_a_mail_lost_after_the_content_is_not_resent_immediately(fault, site):
    with scripted(stage="end of content", fault=fault, turns=(2,)) as server:
        site(server)
        queue("ann", "bob")
        assert dispatch() == {"sent": 1, "retry": 1}
    assert (server.accepted, server.reached["end of content"]) == (["ann@example.com"], 2)


def test_silence_on_a_used_connection_causes_one_timeout(site):
    with scripted(stage="MAIL", fault=SILENCE, turns=(2, 3)) as server:
        site(server, timeout=PATIENCE)
        queue("ann", "bob")
        assert dispatch() == {"sent": 1, "retry": 1}
    assert server.reached["MAIL"] == 2
    assert Watched.receipts[-1].blames is Blame.SILENCE


# Failures of every mail: the options of the site, the extensions of the server, and the reason.
EVERY = {
    "no STARTTLS": (TLS, {}, CONFIGURATION),
    "no AUTH": (LOGIN, {}, CONFIGURATION),
    "no way to log in that is known here": (LOGIN, {"offers": ("AUTH XOAUTH2",)}, CONFIGURATION),
    "no TLS from the first byte": ({"use_ssl": True}, {}, CONFIGURATION),
    "a certificate that is not trusted": (TLS, {"offers": ("STARTTLS",)}, CONFIGURATION),
}


@pytest.mark.parametrize(("options", "offers", "reason"), EVERY.values(), ids=EVERY)
def test_a_failure_of_every_mail_opens_the_circuit_and_suppresses_no_address(
    options, offers, reason, site, clock, monkeypatch
):
    with scripted(**offers) as server, scripted(offers=("STARTTLS", "AUTH PLAIN")) as repaired:
        site(server, **options)
        monkeypatch.delenv("SSL_CERT_FILE")
        queue("ann", "bob")
        assert dispatch() == {"retry": 2}
        assert set(Delivery.objects.values_list("reason", "attempts")) == {(reason, 1), ("broken_off", 0)}
        assert not Suppression.objects.exists()
        assert not any(receipt.blames is Blame.RECIPIENT for receipt in Watched.receipts)
        site(repaired)
        clock.forward(seconds=60)
        assert dispatch() == {"sent": 2}
        # The probe is a mail that the provider has not refused.
        assert (server.accepted, repaired.accepted) == ([], ["bob@example.com", "ann@example.com"])


def test_a_missing_server_is_a_temporary_network_failure(site, clock):
    with scripted() as server:
        site(server)
    queue("ann")
    assert dispatch() == {"retry": 1}
    assert Delivery.objects.get().reason == "unreachable"
    assert [receipt.blames for receipt in Watched.receipts] == [Blame.NETWORK]


def test_the_schedule_ends_in_a_dead_letter(site, clock):
    with scripted(stage="RCPT", fault="450 4.2.0 Greylisted", turns=range(1, 10)) as server:
        site(server)
        queue("ann")
        assert dispatch() == {"retry": 1}
        clock.forward(seconds=60)
        assert dispatch() == {"dead": 1}
        clock.forward(days=1)
        assert dispatch() == {}
        assert (server.reached["RCPT"], server.accepted) == (2, [])
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.reason, delivery.attempts) == ("dead", TEMPORARY, 2)
    assert not Suppression.objects.exists()


def test_the_log_contains_the_replies_without_addresses(site):
    fault = "550 5.1.1 <secret.name@example.com>: unknown"
    with scripted(stage="RCPT", fault=fault, pipelining=True) as server:
        site(server)
        queue("secret.name")
        dispatch()
    row = NotificationLog.objects.get()
    assert (row.success, row.reason, row.address) == (False, "permanent", "s***@example.com")
    assert "5.1.1" in row.error_message
    assert "secret.name" not in row.error_message

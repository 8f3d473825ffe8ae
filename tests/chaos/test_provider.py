"""The witness is unwell as it is told to be, and speaks SMTP well enough for a real client."""

import http.client
import smtplib
import socket
import time
from email.message import EmailMessage

import pytest

from tests.chaos.provider import FIRST, HOOK, LINE, SECOND, provider
from tests.chaos.smtp import HEADER
from tests.chaos.weather import GONE, SILENT, Spell

LONG = 10**6


@pytest.fixture
def witness(tmp_path):
    (tmp_path / "ledger").touch()
    with provider(tmp_path / "ledger") as witness:
        yield witness


def mail(port, delivery, timeout=5.0):
    """Hand a mail over, as a worker does."""
    message = EmailMessage()
    message["From"], message["To"], message[HEADER] = "a@example.com", "b@example.com", f"{delivery} 0 1 77"
    message.set_content("words")
    with smtplib.SMTP("127.0.0.1", port, timeout=timeout) as client:
        client.send_message(message)


def soon(condition):
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def is_refused(port):
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_it_takes_mails_at_two_doors_and_keeps_one_ledger(witness):
    mail(witness.first, 5)
    mail(witness.second, 6)
    assert witness.ledger.read_text() == "5 0 1 77\n6 0 1 77\n"
    assert [(call.answer, call.delivery, call.door) for call in witness.calls()] == [
        ("accepted", 5, FIRST),
        ("accepted", 6, SECOND),
    ]


def test_while_it_is_gone_connections_are_refused_and_then_taken_again(witness):
    witness.foretell(Spell(LONG, GONE))
    assert soon(lambda: is_refused(witness.first) and is_refused(witness.port))
    mail(witness.second, 6)
    witness.foretell()
    assert soon(lambda: not is_refused(witness.first))
    mail(witness.first, 5)


def test_it_falls_silent_after_so_many_and_the_other_door_does_not(witness):
    witness.foretell(Spell(LONG, SILENT, 2))
    assert soon(lambda: witness.process.poll() is None)
    time.sleep(0.2)
    mail(witness.first, 5)
    mail(witness.first, 6)
    with pytest.raises((smtplib.SMTPServerDisconnected, TimeoutError)):
        mail(witness.first, 7, timeout=0.5)
    mail(witness.second, 8)
    assert [line.split()[0] for line in witness.ledger.read_text().splitlines()] == ["5", "6", "8"]


def test_whoever_was_met_with_silence_is_not_answered_later(witness):
    witness.foretell(Spell(1, SILENT))
    with socket.create_connection(("127.0.0.1", witness.port), timeout=5) as client:
        assert soon(lambda: [(call.answer, call.door) for call in witness.calls()] == [("silent", LINE)])
        client.settimeout(2)
        with pytest.raises(TimeoutError):
            client.recv(64)


def test_an_endpoint_of_webhooks_takes_each_id_once(witness):
    connection = http.client.HTTPConnection("127.0.0.1", witness.hook, timeout=5)
    for number, delivery in (("msg_1", 7), ("msg_1", 7), ("msg_2", 8)):
        connection.request("POST", "/", b"{}", {"X-Witness": f"{delivery} 0 1 77", "webhook-id": number})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 204
    connection.close()
    assert witness.ledger.read_text() == "7 0 1 77\n8 0 1 77\n"
    assert [(call.answer, call.door) for call in witness.calls()] == [
        ("accepted", HOOK),
        ("repeated", HOOK),
        ("accepted", HOOK),
    ]

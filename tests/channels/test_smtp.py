"""Klaxon's SMTP backend: its dialogue with a server that supports pipelining, and over TLS."""

import django
import pytest
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend as DjangoBackend

from notifications.channels.email_errors import make_sending_receipt
from notifications.channels.smtp import EmailBackend
from notifications.outcomes import Suppress, Verdict
from tests.channels.scripted import CERTIFICATE, RESET, scripted

ANN, BOB, CID = "ann@example.com", "bob@example.com", "cid@example.com"


def to(server, backend=EmailBackend, **options):
    return backend(host="127.0.0.1", port=server.port, timeout=2, alias="test", **options)


def mail(*recipients, text="It is on its way.\n", **fields):
    headers = {"Message-ID": "<1@example.com>"}
    return EmailMessage("Order 7", text, "Shop <shop@example.com>", recipients, headers=headers, **fields)


def outcome(backend, message):
    """Return the receipt that the channel would make."""
    try:
        assert backend.send_messages([message]) == 1
    except Exception as error:  # noqa: BLE001 - the receipt contains the error
        return make_sending_receipt(message, error, "smtp", backend.is_content_requested)


def test_a_mail_takes_two_round_trips_with_pipelining():
    with scripted(pipelining=True, patient=True, offers=("SIZE 1000",)) as server, to(server) as backend:
        assert backend.send_messages([mail(ANN), mail(BOB)]) == 2
    assert server.accepted == [ANN, BOB]
    assert [line.split()[0] for line in server.commands] == ["ehlo", *["MAIL", "RCPT", "DATA"] * 2, "quit"]
    assert server.commands[1].startswith("MAIL FROM:<shop@example.com> SIZE=")


def test_without_pipelining_each_command_waits_for_its_reply():
    with scripted(patient=True) as server, to(server) as backend:
        receipt = outcome(backend, mail(ANN))
    assert (receipt.verdict, server.commands[2:]) == (Verdict.TEMPORARY, [])


@pytest.mark.parametrize("options", [{"use_tls": True}, {"use_ssl": True}], ids=["STARTTLS", "from the first byte"])
@pytest.mark.parametrize("pipelining", [False, True])
def test_a_mail_is_sent_over_tls(options, pipelining, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    script = {"pipelining": pipelining, "offers": ("STARTTLS",), "over_tls": "use_ssl" in options}
    with scripted(**script) as server, to(server, **options) as backend:
        backend.send_messages([mail(ANN), mail(BOB)])
    assert (server.accepted, server.connections) == ([ANN, BOB], 1)


@pytest.mark.parametrize("lenient", [False, True])
def test_a_connection_is_used_after_a_refusal(lenient):
    script = {"pipelining": True, "lenient": lenient, "stage": "RCPT", "fault": "550 No"}
    with scripted(**script) as server, to(server) as backend:
        assert outcome(backend, mail(ANN)).verdict is Verdict.PERMANENT
        assert outcome(backend, mail(BOB)) is None
    assert (server.accepted, server.connections) == ([BOB], 1)
    assert server.for_nobody == [b""] * lenient
    assert server.commands.count("rset") == (not lenient)


DIALOGUES = [(False, False), (True, False), (True, True)]


@pytest.mark.parametrize(("pipelining", "lenient"), DIALOGUES, ids=["plain", "pipelined", "lenient"])
def test_a_refusal_before_a_disconnect_is_a_refusal(pipelining, lenient):
    script = {"stage": "RCPT", "fault": "550 5.1.1 No such mailbox", "hangs_up": True}
    with scripted(pipelining=pipelining, lenient=lenient, **script) as server, to(server) as backend:
        receipt = outcome(backend, mail(ANN))
    assert (receipt.verdict, receipt.suppress) == (Verdict.PERMANENT, Suppress.NOW)


@pytest.mark.parametrize("end", ["RSET", "end of nothing"])
def test_a_refusal_before_lost_contact_is_a_refusal(end):
    script = {"pipelining": True, "lenient": end != "RSET", "stage": "RCPT", "fault": "550 No", "besides": {end: RESET}}
    with scripted(**script) as server, to(server) as backend:
        receipt = outcome(backend, mail(ANN))
    assert (receipt.verdict, receipt.code, server.reached[end]) == (Verdict.PERMANENT, "550", 1)


@pytest.mark.parametrize("pipelining", [False, True])
def test_a_forwarding_reply_is_accepted(pipelining):
    script = {"stage": "RCPT", "fault": "251 Moved to bob@example.com"}
    with scripted(pipelining=pipelining, **script) as server, to(server) as backend:
        assert outcome(backend, mail(ANN)) is None
    assert server.accepted == [ANN]


@pytest.mark.parametrize("pipelining", [False, True])
def test_recipients_that_are_not_refused_get_the_mail(pipelining):
    script = {"pipelining": pipelining, "stage": "RCPT", "fault": "550 No", "turns": (2,)}
    with scripted(**script) as server, to(server) as backend:
        assert backend.send_messages([mail(ANN, BOB, CID)]) == 1
    assert server.accepted == [ANN, CID]


def test_a_mail_without_recipients_is_not_sent():
    with scripted(pipelining=True) as server, to(server) as backend:
        assert backend.send_messages([mail()]) == 0
    assert "DATA" not in server.commands


@pytest.mark.parametrize("pipelining", [False, True])
def test_the_content_arrives_unchanged(pipelining):
    message = mail(ANN, text=".\n..\n.dot\r\nno end")
    message.attach("bill.bin", b"\r\n.\r\n\x00\xff", "application/octet-stream")
    with scripted(pipelining=pipelining) as server, to(server) as backend:
        backend.send_messages([message])
    [content] = server.contents
    assert b"\r\n\r\n.\r\n..\r\n.dot\r\nno end\r\n" in content
    assert b"DQouDQoA/w==" in content


def test_a_content_with_a_leading_dot_or_without_line_end_arrives():
    with scripted(pipelining=True) as server, to(server) as backend:
        backend.connection.send_mail("shop@example.com", [ANN], b".x")
        backend.connection.send_mail("shop@example.com", [ANN], b"x\r\n")
    assert server.contents == [b".x\r\n", b"x\r\n"]


@pytest.mark.parametrize(
    "address",
    [
        ANN, "Ann <ann@example.com>", '"Ann, Ä" <ann@example.com>', "root@localhost", '"a b"@example.com',
        # Django 6.0 refuses an address with two consecutive dots, but Klaxon sends to it.
        *(["a..b@example.com"] if django.VERSION < (6, 0) else []),
        "o'neil+x@ex-ample.co.uk", "ann@bücher.example", "ann@[127.0.0.1]",
    ],
)  # fmt: skip
def test_the_envelope_equals_djangos(address):
    commands = []
    for backend in (EmailBackend, DjangoBackend):
        with scripted(pipelining=True) as server, to(server, backend) as connection:
            message = mail(address)
            message.from_email = address
            connection.send_messages([message])
        commands.append([line.lower() for line in server.commands if "@" in line or "root" in line])
    assert len(commands[0]) == 2
    assert commands[0] == commands[1]


@pytest.mark.parametrize("address", [f"{ANN}\r\nRCPT TO:<{BOB}>", f"{ANN}>\nRCPT TO:<{BOB}"])
def test_no_command_can_be_forged(address):
    with scripted(pipelining=True) as server, to(server) as backend:
        assert outcome(backend, mail(address)).verdict is not Verdict.UNKNOWN
        with pytest.raises(ValueError, match="line end"):
            backend.connection.send_mail("shop@example.com", [address], b"")
    assert not any("RCPT" in line for line in server.commands)


def test_a_mail_that_cannot_be_rendered_is_permanent():
    with scripted(pipelining=True) as server, to(server) as backend:
        assert outcome(backend, mail(ANN)) is None
        assert outcome(backend, mail(f"{ANN}, {BOB}")).verdict is Verdict.PERMANENT
        assert outcome(backend, mail(f"ann@{'x' * 64}.example")).verdict is Verdict.PERMANENT


def test_fail_silently_is_respected():
    with scripted(pipelining=True, stage="RCPT", fault="550 No") as server, to(server, fail_silently=True) as backend:
        assert backend.send_messages([mail(ANN), mail(BOB)]) == 1
    assert server.accepted == [BOB]

"""Email to an SMTP server and to an HTTP service, both on loopback.

What an SMTP server can do wrong is in ``test_smtp_matrix``.
"""

import errno
import socket
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.utils import format_datetime

import pytest
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as DjangoBackend

from notifications.channels import create_channel
from notifications.channels.base import Rendered
from notifications.channels.email import EmailChannel
from notifications.channels.smtp import Timeouts
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, Notification, NotificationLog
from notifications.outcomes import Blame, DeliveryState, Suppress, Verdict
from notifications.testing import capture_notifications
from notifications.testing.contract import ProviderContract
from tests.channels.scripted import BYTES, CERTIFICATE, LINES, RESET, SILENCE, scripted
from tests.channels.servers import mail_service, post_office
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

SMTP = "django.core.mail.backends.smtp.EmailBackend"
MAILGUN = "anymail.backends.mailgun.EmailBackend"


KEYS = {"api_key": "key", "sender_domain": "example.com"}


class OwnBackend(DjangoBackend):
    """A custom backend of a site."""


@contextmanager
def full_backlog():
    """A port with a full backlog, so that no connection is accepted."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for one in waiting:
                one.close()


@pytest.fixture(params=[False, True], ids=["plain", "pipelined"])
def office(request):
    with post_office(pipelining=request.param) as office:
        yield office


@pytest.fixture
def service():
    with mail_service() as service:
        yield service


def smtp(office, **options):
    return EmailChannel(
        from_email="Shop <shop@example.com>",
        backend=SMTP,
        backend_options={"host": "127.0.0.1", "port": office.port, "timeout": 5, **options},
    )


def mailgun(service, **changes):
    options = {**KEYS, "api_url": f"http://127.0.0.1:{service.server_port}", **changes}
    return EmailChannel(from_email="shop@example.com", backend=MAILGUN, backend_options=options)


@pytest.fixture
def closing():
    """Close a channel at the end of the test, even after a failure."""
    channels = []

    def closing(channel):
        channels.append(channel)
        return channel

    yield closing
    for channel in channels:
        channel.close()


@pytest.fixture
def channel(office, closing):
    return closing(smtp(office))


def message_to(channel, *addresses, subject="Order 7", text="It is on its way.\n", html="", pk=7):
    notification = Notification(event="order_shipped", correlation_id="abc", cluster=Cluster())
    parts = {"subject.txt": subject, "txt": text, **({"html": html} if html else {})}
    return [
        channel.prepare(Delivery(pk=pk + number, notification=notification, address=address), Rendered(parts, "en"))
        for number, address in enumerate(addresses)
    ]


def send(channel, *addresses, **texts):
    return list(channel.send(message_to(channel, *addresses, **texts)))


class TestContractBySMTP(ProviderContract):
    @pytest.fixture(autouse=True)
    def _office(self, office):
        self.office = office

    def make_channel(self):
        return smtp(self.office)

    def break_provider(self, channel):
        channel.close()
        self.office.shut()


class TestContractByService(ProviderContract):
    @pytest.fixture(autouse=True)
    def _service(self, service):
        self.service = service

    def make_channel(self):
        return mailgun(self.service)

    def break_provider(self, channel):
        self.service.hang_up = True


class TestTheMail:
    def test_arrives_as_it_was_rendered(self, channel, office):
        [receipt] = send(channel, "ann@example.com", html="<p>It is on its way.</p>")
        assert (receipt.verdict, receipt.error) == (Verdict.ACCEPTED, "")
        [mail] = office.mails
        assert (mail["Subject"], mail["To"], mail["From"]) == ("Order 7", "ann@example.com", "Shop <shop@example.com>")
        assert mail.get_body(["plain"]).get_content().strip() == "It is on its way."
        assert mail.get_body(["html"]).get_content().strip() == "<p>It is on its way.</p>"
        assert mail["Auto-Submitted"] == "auto-generated"

    def test_without_html_is_plain_text(self, channel, office):
        send(channel, "ann@example.com")
        assert office.mails[0].get_content_type() == "text/plain"

    def test_keeps_letters_of_every_script(self, channel, office):
        send(channel, "ann@example.com", subject="Grüße, 你好", text="Grüße, 你好\n.\n.dot\n")
        [mail] = office.mails
        assert mail["Subject"] == "Grüße, 你好"
        assert mail.get_content().replace("\r\n", "\n") == "Grüße, 你好\n.\n.dot\n"

    def test_each_recipient_gets_a_separate_mail(self, channel, office):
        send(channel, "ann@example.com", "bob@example.com")
        assert [mail["To"] for mail in office.mails] == ["ann@example.com", "bob@example.com"]

    def test_a_repeat_has_the_same_id_as_the_receipt(self, channel, office):
        [first] = send(channel, "ann@example.com")
        [second] = send(channel, "ann@example.com")
        assert first.provider_message_id == second.provider_message_id == office.mails[0]["Message-ID"]
        assert office.mails[0]["Message-ID"] == office.mails[1]["Message-ID"]
        assert office.mails[0]["Message-ID"].endswith("@example.com>")

    def test_another_delivery_or_epoch_has_another_id(self, channel):
        notification = Notification(correlation_id="abc", cluster=Cluster())
        rendered = Rendered({"subject.txt": "x", "txt": "x"})
        ids = {
            channel.prepare(Delivery(pk=pk, epoch=epoch, notification=notification), rendered).extra_headers[
                "Message-ID"
            ]
            for pk, epoch in [(1, 0), (1, 1), (11, 0)]
        }
        assert len(ids) == 3

    def test_has_the_configured_reply_to(self, settings):
        settings.NOTIFICATIONS = {
            "CHANNELS": {"email": {"OPTIONS": {"from_email": "bot@example.com", "reply_to": ["desk@example.com"]}}}
        }
        [message] = message_to(create_channel("email"), "ann@example.com")
        assert (message.from_email, message.reply_to) == ("bot@example.com", ["desk@example.com"])

    def test_uses_the_sites_sender_and_backend_by_default(self, settings, mailoutbox):
        send(create_channel("email"), "ann@example.com")
        assert mailoutbox[0].from_email == settings.DEFAULT_FROM_EMAIL


class TestTheConnection:
    def test_is_used_again(self, channel, office):
        send(channel, "ann@example.com", "bob@example.com")
        send(channel, "cid@example.com")
        assert (len(office.mails), office.connections) == (3, 1)

    def test_is_reopened_after_closing(self, channel, office):
        send(channel, "ann@example.com")
        channel.close()
        channel.close()
        assert send(channel, "bob@example.com")[0].verdict is Verdict.ACCEPTED
        assert office.connections == 2

    def test_never_waits_forever(self):
        channel = EmailChannel(backend=SMTP, backend_options={"host": "127.0.0.1"})
        assert (channel.connection.timeout, channel.timeout) == (20, 208)
        assert EmailChannel(backend=MAILGUN, backend_options=KEYS).timeout == 120
        channel = EmailChannel(backend=SMTP, backend_options={"host": "127.0.0.1", "timeout": 3})
        assert (channel.connection.timeout, channel.timeout) == (3, 26)

    def test_an_unknown_host_is_a_network_failure(self, closing):
        options = {"host": "no-such-host.invalid", "timeout": 2, "use_tls": True}
        channel = closing(EmailChannel(backend=SMTP, backend_options=options))
        [receipt] = send(channel, "ann@example.com")
        assert (receipt.verdict, receipt.blames) == (Verdict.TEMPORARY, Blame.NETWORK)

    def test_a_closed_port_is_a_network_failure(self, closing):
        with scripted() as server:
            options = {"host": "localhost", "port": server.port, "timeout": 2}
        [receipt] = send(closing(EmailChannel(backend=SMTP, backend_options=options)), "ann@example.com")
        assert (receipt.verdict, receipt.blames) == (Verdict.TEMPORARY, Blame.NETWORK)

    def test_a_connect_timeout_is_a_network_failure(self, closing):
        with full_backlog() as port:
            options = {"host": "127.0.0.1", "port": port, "timeout": 0.3}
            [receipt] = send(closing(EmailChannel(backend=SMTP, backend_options=options)), "ann@example.com")
        assert (receipt.verdict, receipt.blames) == (Verdict.TEMPORARY, Blame.NETWORK)

    @pytest.mark.parametrize("tls", [{}, {"use_ssl": True}], ids=["plain", "TLS"])
    def test_a_server_without_replies_is_silence(self, closing, tls):
        with scripted(stage="greeting", fault=SILENCE) as server:
            options = {"host": "127.0.0.1", "port": server.port, "timeout": 0.3, **tls}
            [receipt] = send(closing(EmailChannel(backend=SMTP, backend_options=options)), "ann@example.com")
        assert (receipt.verdict, receipt.blames) == (Verdict.TEMPORARY, Blame.SILENCE)

    def test_another_address_family_is_tried(self, closing, monkeypatch):
        """The host name has one address with a closed port and one with a server."""
        found = socket.getaddrinfo

        def both(host, port, *args, **kwargs):
            refused = found("127.0.0.2", port, *args, **kwargs)
            return refused + found("127.0.0.1", port, *args, **kwargs)

        with scripted() as server:
            channel = closing(EmailChannel(backend=SMTP, backend_options={"host": "localhost", "port": server.port}))
            monkeypatch.setattr(socket, "getaddrinfo", both)
            assert send(channel, "ann@example.com")[0].verdict is Verdict.ACCEPTED
            channel.close()

    @pytest.mark.parametrize("pipelining", [False, True])
    def test_limits_the_total_time_of_slow_replies(self, closing, pipelining):
        """The replies to the greeting, EHLO, MAIL, RCPT and DATA are each in time."""
        with scripted(seconds=0.35, pipelining=pipelining) as server:
            options = {"host": "127.0.0.1", "port": server.port, "timeout": 0.5}
            [receipt] = send(closing(EmailChannel(backend=SMTP, backend_options=options)), "ann@example.com")
        assert (receipt.verdict, receipt.blames) == (Verdict.TEMPORARY, Blame.SILENCE)

    @pytest.mark.parametrize("pipelining", [False, True])
    @pytest.mark.parametrize("drop", [BYTES, LINES])
    @pytest.mark.parametrize("stage", ["greeting", "MAIL", "DATA", "end of content"])
    def test_limits_the_time_of_a_slow_reply(self, closing, stage, drop, pipelining):
        with scripted(stage=stage, fault=drop, pipelining=pipelining) as server:
            options = {"host": "127.0.0.1", "port": server.port, "timeout": 1}
            channel = closing(EmailChannel(backend=SMTP, backend_options=options))
            before = time.monotonic()
            [receipt] = send(channel, "ann@example.com")
            assert time.monotonic() - before < channel.timeout / 2
        lost = (Verdict.UNKNOWN, Blame.PROVIDER) if stage == "end of content" else (Verdict.TEMPORARY, Blame.SILENCE)
        assert (receipt.verdict, receipt.blames) == lost

    def test_takes_a_connection_that_is_reset_at_once_for_a_fault_of_the_server(self, closing, monkeypatch):
        """If the reset arrives before connect() returns, connect() raises it. The server was reached anyway."""

        def reset(*args, **kwargs):
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

        channel = closing(EmailChannel(backend=SMTP, backend_options={"host": "127.0.0.1", "port": 25}))
        monkeypatch.setattr(socket, "create_connection", reset)
        [receipt] = send(channel, "ann@example.com")
        assert (receipt.verdict, receipt.blames) == (Verdict.TEMPORARY, Blame.PROVIDER)

    @pytest.mark.parametrize("options", [{"use_ssl": True}, {"use_tls": True}], ids=["TLS", "STARTTLS"])
    def test_limits_the_time_over_tls_too(self, closing, options, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        script = {"over_tls": "use_ssl" in options, "offers": ("STARTTLS",)}
        with scripted(stage="end of content", fault=LINES, **script) as server:
            options = {"host": "127.0.0.1", "port": server.port, "timeout": 1.5, **options}
            before = time.monotonic()
            [receipt] = send(closing(EmailChannel(backend=SMTP, backend_options=options)), "ann@example.com")
            assert time.monotonic() - before < 6
        assert (receipt.verdict, receipt.blames) == (Verdict.UNKNOWN, Blame.PROVIDER)

    def test_does_not_wait_for_the_reply_to_quit(self, closing):
        with scripted(besides={"end of content": "554 No", "RSET": SILENCE}) as server:
            options = {"host": "127.0.0.1", "port": server.port}
            before = time.monotonic()
            [receipt] = send(closing(EmailChannel(backend=SMTP, backend_options=options)), "ann@example.com")
            assert time.monotonic() - before < 10
        assert receipt.verdict is Verdict.PERMANENT

    def test_gives_a_filter_more_time_than_the_envelope(self, closing):
        with scripted(slow={"end of content": 0.8}) as server:
            channel = closing(EmailChannel(backend=SMTP, backend_options={"host": "127.0.0.1", "port": server.port}))
            channel.connection.timeouts = Timeouts(0.4, 5)
            receipts = send(channel, "a@example.com", "b@example.com")
            channel.close()
        assert [receipt.verdict for receipt in receipts] == [Verdict.ACCEPTED, Verdict.ACCEPTED]

    def test_a_stale_connection_of_a_custom_backend_is_reopened_only_if_nothing_was_sent(self, closing):
        for fault, verdict in [("421 Idle", Verdict.ACCEPTED), (RESET, Verdict.UNKNOWN)]:
            with scripted(stage="RCPT", fault=fault, turns=(2,)) as server:
                options = {"host": "127.0.0.1", "port": server.port, "timeout": 5}
                channel = closing(EmailChannel(backend=f"{__name__}.OwnBackend", backend_options=options))
                receipts = send(channel, "a@example.com", "b@example.com")
                channel.close()
            assert [receipt.verdict for receipt in receipts] == [Verdict.ACCEPTED, verdict]


HOST = {SMTP: {"host": "127.0.0.1"}}
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
UTF8 = {"offers": ("SMTPUTF8",)}


def to_scripted(server, **options):
    backend_options = {"host": "127.0.0.1", "port": server.port, "timeout": 5}
    return EmailChannel(**{"from_email": "shop@example.com", **options}, backend=SMTP, backend_options=backend_options)


def sent_to(channel, address, **texts):
    receipts = send(channel, address, **texts)
    channel.close()
    return receipts[0]


class TestInternationalAddresses:
    @pytest.mark.parametrize("pipelining", [False, True])
    @pytest.mark.parametrize(
        ("domain", "ascii"),
        [
            ("faß.de", "xn--fa-hia.de"),
            ("FAß.de", "xn--fa-hia.de"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("example.com", "example.com"),
        ],
    )
    def test_a_domain_is_encoded_with_idna_2008(self, domain, ascii, pipelining):
        sender = {"from_email": f"Büro <shop@{domain}>", "reply_to": [f"desk@{domain}"]}
        with scripted(pipelining=pipelining) as server:
            receipt = sent_to(to_scripted(server, **sender), f"ann@{domain}")
        assert (receipt.verdict, server.accepted) == (Verdict.ACCEPTED, [f"ann@{ascii}"])
        assert f"FROM:<shop@{ascii}>".lower() in server.commands[1].lower()
        mail = message_from_bytes(server.contents[0], policy=policy.default)
        assert [mail["To"], mail["From"], mail["Reply-To"]] == [
            f"ann@{ascii}",
            f"Büro <shop@{ascii}>",
            f"desk@{ascii}",
        ]
        assert mail["Message-ID"].endswith(f"@{ascii}>")
        assert receipt.provider_message_id == mail["Message-ID"]

    def test_any_backend_and_service_encodes_domains(self, mailoutbox, service, closing):
        channel = EmailChannel(from_email="Shop <shop@faß.de>", backend=LOCMEM)
        send(channel, "ann@faß.de")
        [message] = mailoutbox
        built = message.message()
        assert (built["To"], built["From"].replace('"', "")) == ("ann@xn--fa-hia.de", "Shop <shop@xn--fa-hia.de>")
        assert send(closing(mailgun(service)), "ann@faß.de")[0].verdict is Verdict.ACCEPTED
        assert b"to=ann%40xn--fa-hia.de&" in service.requests[0][1]

    @pytest.mark.parametrize("backend", [SMTP, LOCMEM, MAILGUN])
    def test_a_domain_that_idna_2008_does_not_allow_is_not_sent_to(self, backend, service, closing, mailoutbox):
        channel = closing(
            mailgun(service) if backend == MAILGUN else EmailChannel(backend=backend, backend_options=HOST.get(backend))
        )
        [receipt] = send(channel, "ann@\u2603.example")
        assert (receipt.verdict, receipt.blames, receipt.suppress) == (
            Verdict.PERMANENT,
            Blame.RECIPIENT,
            Suppress.NO,
        )
        assert "IDNA 2008" in receipt.error
        assert not mailoutbox

    @pytest.mark.parametrize("pipelining", [False, True])
    def test_a_local_part_goes_to_a_server_with_smtputf8(self, pipelining):
        with scripted(pipelining=pipelining, **UTF8) as server:
            channel = to_scripted(server)
            receipts = send(channel, "jürgen@faß.de", "ann@example.com")
            channel.close()
        assert [receipt.verdict for receipt in receipts] == [Verdict.ACCEPTED] * 2
        assert server.accepted == ["jürgen@xn--fa-hia.de", "ann@example.com"]
        assert [
            line.upper().endswith(" SMTPUTF8 BODY=8BITMIME") for line in server.commands if "FROM" in line.upper()
        ] == [
            True,
            False,
        ]
        assert b"\r\nTo: " + "jürgen@xn--fa-hia.de\r\n".encode() in server.contents[0]

    @pytest.mark.parametrize("pipelining", [False, True])
    def test_a_local_part_is_refused_without_smtputf8(self, pipelining, mailoutbox, service, closing):
        with scripted(pipelining=pipelining) as server:
            refused = [
                sent_to(to_scripted(server), "jürgen@example.com"),
                sent_to(EmailChannel(backend=LOCMEM), "jürgen@example.com"),
                sent_to(mailgun(service), "jürgen@example.com"),
            ]
        for receipt in refused:
            assert (receipt.verdict, receipt.blames, receipt.suppress) == (
                Verdict.PERMANENT,
                Blame.RECIPIENT,
                Suppress.NO,
            )
            assert "SMTPUTF8" in receipt.error
        assert (server.accepted, mailoutbox, service.requests) == ([], [], [])
        assert not any("MAIL" in line.upper() for line in server.commands)

    def test_an_unsupported_sender_is_a_configuration_error(self):
        with scripted() as server:
            receipt = sent_to(to_scripted(server, from_email="büro@example.com"), "ann@example.com")
        assert (receipt.verdict, receipt.blames) == (Verdict.CONFIGURATION, Blame.PROVIDER)


class TestTheSender:
    @pytest.mark.parametrize(
        "sender",
        [
            "Shop, Inc <a@example.com>", "Shop: a@example.com", "a@example.com, b@example.com", "shop", "a@b\nX: y",
            "Shop <a@example.com", "a..b@example.com", ".a@example.com", "a.@example.com", "a@-example.com",
            "a@example-.com", "a@example..com", f"{'a' * 65}@example.com", f"a@{'b' * 64}.com",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("option", ["from_email", "reply_to", "DEFAULT_FROM_EMAIL"])
    @pytest.mark.parametrize("backend", [SMTP, LOCMEM])
    def test_an_invalid_sender_is_a_configuration_error(self, sender, option, backend, settings, mailoutbox):
        if option == "DEFAULT_FROM_EMAIL":
            settings.DEFAULT_FROM_EMAIL = sender
        options = {"from_email": {"from_email": sender}, "reply_to": {"reply_to": [sender]}}.get(option, {})
        [receipt] = send(EmailChannel(backend=backend, backend_options=HOST.get(backend), **options), "ann@example.com")
        assert (receipt.verdict, receipt.blames, receipt.suppress) == (
            Verdict.CONFIGURATION,
            Blame.PROVIDER,
            Suppress.NO,
        )
        assert option in receipt.error
        assert not mailoutbox

    @pytest.mark.parametrize("backend", [SMTP, f"{__name__}.OwnBackend"])
    def test_a_subject_that_looks_encoded_arrives_as_it_was_written(self, backend, office):
        subject = "=?utf-8?q?=0d=0aBcc:_a@b?= hi commented"
        options = {"host": "127.0.0.1", "port": office.port, "timeout": 5}
        channel = EmailChannel(from_email="shop@example.com", backend=backend, backend_options=options)
        send(channel, "ann@example.com", subject=subject)
        channel.close()
        assert (office.mails[0]["Subject"], office.mails[0]["Bcc"]) == (subject, None)
        assert b"Subject: =?utf-8?b?" in office.contents[0]

    def test_a_long_word_of_a_subject_is_folded_by_any_backend(self, mailoutbox):
        subject = f"Order {'x' * 1500}"
        send(EmailChannel(backend=LOCMEM), "ann@example.com", subject=subject)
        written = mailoutbox[0].message().as_bytes()
        assert max(map(len, written.split(b"\n"))) < 998
        assert message_from_bytes(written, policy=policy.default)["Subject"] == subject


class TestUnsendable:
    @pytest.mark.parametrize("end", ["\n", "\r", "\x1e"])
    def test_a_header_with_a_line_end_is_refused(self, channel, office, end):
        [message] = message_to(channel, "ann@example.com")
        message.subject = f"Order 7{end}Bcc: bob@example.com"
        [receipt] = channel.send([message])
        assert receipt.verdict is Verdict.PERMANENT
        assert not office.mails

    def test_a_backend_that_sends_nothing_is_not_a_success(self):
        class Silent(BaseEmailBackend):
            def send_messages(self, messages):
                return 0

        channel = EmailChannel()
        channel.connection = Silent()
        assert send(channel, "ann@example.com")[0].verdict is Verdict.PERMANENT


class TestByService:
    @pytest.fixture
    def channel(self, service, closing):
        return closing(mailgun(service))

    def test_the_receipt_names_the_services_own_id(self, channel, service):
        [receipt] = send(channel, "ann@example.com")
        assert (receipt.verdict, receipt.provider) == (Verdict.ACCEPTED, "mailgun")
        assert receipt.provider_message_id == "<1@service.example>"
        assert service.requests[0][0] == "/example.com/messages"

    @pytest.mark.parametrize(
        ("status", "verdict"),
        [
            (400, Verdict.PERMANENT),
            (401, Verdict.CONFIGURATION),
            (403, Verdict.CONFIGURATION),
            (429, Verdict.TEMPORARY),
            (500, Verdict.UNKNOWN),
            (502, Verdict.UNKNOWN),
            (503, Verdict.TEMPORARY),
        ],
    )
    def test_the_http_status_determines_the_verdict(self, channel, service, status, verdict):
        service.status = status
        [receipt] = send(channel, "ann@example.com")
        assert receipt.verdict is verdict
        assert receipt.error

    def test_retry_after_is_used(self, channel, service):
        service.status, service.headers = 429, {"Retry-After": "120"}
        assert send(channel, "ann@example.com")[0].retry_after == 120

    @pytest.mark.parametrize(
        "clocks", [timedelta(), timedelta(days=1)], ids=["its clock is right", "its clock is wrong"]
    )
    def test_retry_after_may_be_a_date(self, channel, service, clocks):
        now = datetime.now(UTC) + clocks
        service.date = format_datetime(now, usegmt=True)
        service.status, service.headers = (
            429,
            {"Retry-After": format_datetime(now + timedelta(seconds=90), usegmt=True)},
        )
        assert send(channel, "ann@example.com")[0].retry_after == 90

    @pytest.mark.parametrize(("wish", "seconds"), [("soon", None), ("", None), ("Sun, 29 Mar 2026 12:00:00 GMT", 0)])
    def test_an_invalid_or_past_retry_after_uses_the_schedule(self, channel, service, wish, seconds):
        service.status, service.headers = 429, {"Retry-After": wish}
        [receipt] = send(channel, "ann@example.com")
        assert (receipt.verdict, receipt.retry_after) == (Verdict.TEMPORARY, seconds)

    def test_lost_contact_is_unknown(self, channel, service):
        service.hang_up = True
        assert send(channel, "ann@example.com")[0].verdict is Verdict.UNKNOWN

    def test_a_timeout_is_unknown(self, closing, service):
        service.silent = True
        with_timeout = mailgun(service, timeout=0.3)
        [receipt] = send(closing(with_timeout), "ann@example.com")
        service.silent = False
        assert (receipt.verdict, receipt.blames) == (Verdict.UNKNOWN, Blame.PROVIDER)

    def test_an_unreachable_service_is_temporary(self, closing, service):
        with scripted() as gone:
            pass
        for url in (f"http://127.0.0.1:{gone.port}", "http://no-such-host.invalid"):
            [receipt] = send(closing(mailgun(service, api_url=url, timeout=0.5)), "ann@example.com")
            assert (receipt.verdict, receipt.blames) == (Verdict.TEMPORARY, Blame.NETWORK), url

    def test_a_connect_timeout_is_temporary(self, closing, service):
        with full_backlog() as full:
            channel = closing(mailgun(service, api_url=f"http://127.0.0.1:{full}", timeout=0.3))
            [receipt] = send(channel, "ann@example.com")
        assert (receipt.verdict, receipt.blames) == (Verdict.TEMPORARY, Blame.NETWORK)

    @pytest.mark.parametrize("fault", ["a certificate that is not trusted", "no TLS here", RESET])
    def test_a_tls_failure_is_temporary(self, closing, service, fault):
        script = {} if fault.startswith("a ") else {"stage": "handshake", "fault": fault}
        with scripted(over_tls=True, **script) as server:
            channel = closing(mailgun(service, api_url=f"https://127.0.0.1:{server.port}", timeout=2))
            [receipt] = send(channel, "ann@example.com")
        assert (receipt.verdict, receipt.blames) == (Verdict.TEMPORARY, Blame.NETWORK), receipt.error

    def test_an_unreachable_proxy_is_temporary(self, closing, service, monkeypatch):
        with scripted() as gone:
            pass
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{gone.port}")
        channel = closing(mailgun(service, api_url="https://service.example", timeout=2))
        [receipt] = send(channel, "ann@example.com")
        assert (receipt.verdict, receipt.blames) == (Verdict.TEMPORARY, Blame.NETWORK)

    def test_missing_settings_of_a_service_are_a_configuration_error(self):
        with pytest.raises(Exception, match="(?i)api_key"):
            EmailChannel(backend=MAILGUN)


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", [10**9, 10**15, 10**400], ids=["decades", "ages", "for ever"])
def test_an_excessive_retry_after_stops_nothing(settings, service, seconds):
    service.status, service.headers = 429, {"Retry-After": str(seconds)}
    options = {"api_key": "key", "api_url": f"http://127.0.0.1:{service.server_port}", "sender_domain": "example.com"}
    email = {"OPTIONS": {"backend": MAILGUN, "backend_options": options}}
    settings.NOTIFICATIONS = {"CHANNELS": {"email": email}}
    with capture_notifications() as captured:
        NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory())
        assert captured.deliver() == {DeliveryState.RETRY: 1}
    assert NotificationLog.objects.count() == 1


@pytest.mark.django_db
class TestEndToEnd:
    """From ``send()`` to the server, with the worker's code."""

    @pytest.fixture(autouse=True)
    def _site(self, settings, office):
        options = {"backend": SMTP, "backend_options": {"host": "127.0.0.1", "port": office.port, "timeout": 5}}
        settings.NOTIFICATIONS = {"CHANNELS": {"email": {"OPTIONS": options}}}

    def deliver(self, *users):
        with capture_notifications() as captured:
            NotificationManager.send(ShopEvents.NEWSLETTER, users)
            return captured.deliver()

    def test_a_mail_arrives_and_its_id_is_stored(self, office):
        assert self.deliver(UserFactory(username="ann")) == {DeliveryState.SENT: 1}
        [mail] = office.mails
        assert mail.get_body(["plain"]).get_content().startswith("News for ann")
        assert Delivery.objects.get().provider_message_id == mail["Message-ID"]

"""Email: to a real SMTP server and to a real HTTP service, both on loopback, that fail as such things do."""

import logging
import socket

import pytest
from django.core.mail.backends.base import BaseEmailBackend

from notifications.channels import open_channel
from notifications.channels.email import SECONDS_TO_WAIT, EmailChannel
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, Notification, NotificationLog
from notifications.outcomes import DeliveryState, Verdict
from notifications.rendered import Rendered
from notifications.testing import capture_notifications
from notifications.testing.contract import ProviderContract
from tests.channels.servers import mail_service, post_office
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

SMTP = "django.core.mail.backends.smtp.EmailBackend"
MAILGUN = "anymail.backends.mailgun.EmailBackend"


@pytest.fixture
def office():
    with post_office() as office:
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


def mailgun(service):
    options = {"api_key": "key", "api_url": f"http://127.0.0.1:{service.server_port}", "sender_domain": "example.com"}
    return EmailChannel(from_email="shop@example.com", backend=MAILGUN, backend_options=options)


@pytest.fixture
def closing():
    """Close a channel at the end of the test, however it ends."""
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

    def test_goes_to_each_recipient_alone(self, channel, office):
        send(channel, "ann@example.com", "bob@example.com")
        assert [mail["To"] for mail in office.mails] == ["ann@example.com", "bob@example.com"]

    def test_has_an_id_that_the_receipt_knows_and_a_repeat_shares(self, channel, office):
        [first] = send(channel, "ann@example.com")
        [second] = send(channel, "ann@example.com")
        assert first.provider_message_id == second.provider_message_id == office.mails[0]["Message-ID"]
        assert office.mails[0]["Message-ID"] == office.mails[1]["Message-ID"]
        assert office.mails[0]["Message-ID"].endswith("@example.com>")

    def test_of_another_delivery_or_epoch_has_another_id(self, channel):
        notification = Notification(correlation_id="abc")
        rendered = Rendered({"subject.txt": "x", "txt": "x"})
        ids = {
            channel.prepare(Delivery(pk=pk, epoch=epoch, notification=notification), rendered).extra_headers[
                "Message-ID"
            ]
            for pk, epoch in [(1, 0), (1, 1), (11, 0)]
        }
        assert len(ids) == 3

    def test_answers_go_where_the_site_says(self, settings):
        settings.NOTIFICATIONS = {
            "CHANNELS": {"email": {"OPTIONS": {"from_email": "bot@example.com", "reply_to": ["desk@example.com"]}}}
        }
        [message] = message_to(open_channel("email"), "ann@example.com")
        assert (message.from_email, message.reply_to) == ("bot@example.com", ["desk@example.com"])

    def test_comes_from_the_sites_own_sender_and_backend_unless_told_otherwise(self, settings, mailoutbox):
        send(open_channel("email"), "ann@example.com")
        assert mailoutbox[0].from_email == settings.DEFAULT_FROM_EMAIL


class TestTheConnection:
    def test_is_used_again(self, channel, office):
        send(channel, "ann@example.com", "bob@example.com")
        send(channel, "cid@example.com")
        assert (len(office.mails), office.connections) == (3, 1)

    def test_is_opened_anew_after_closing(self, channel, office):
        send(channel, "ann@example.com")
        channel.close()
        channel.close()
        assert send(channel, "bob@example.com")[0].verdict is Verdict.ACCEPTED
        assert office.connections == 2

    def test_never_waits_for_ever(self, settings, closing):
        settings.EMAIL_TIMEOUT = None
        channel = EmailChannel(backend=SMTP)
        assert channel.connection.timeout == SECONDS_TO_WAIT
        assert EmailChannel(backend=SMTP, backend_options={"timeout": 3}).connection.timeout == 3

    def test_that_was_refused_is_temporary(self, channel, office):
        office.shut()
        [receipt] = send(channel, "ann@example.com")
        assert receipt.verdict is Verdict.TEMPORARY
        assert "ConnectionRefusedError" in receipt.error

    def test_to_a_server_that_does_not_answer_is_temporary(self, closing):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            options = {"host": "127.0.0.1", "port": silent.getsockname()[1], "timeout": 0.2}
            channel = closing(EmailChannel(backend=SMTP, backend_options=options))
            [receipt] = send(channel, "ann@example.com")
        assert receipt.verdict is Verdict.TEMPORARY
        assert "timed out" in receipt.error.lower() or "timeout" in receipt.error.lower()

    def test_to_a_host_that_does_not_exist_is_temporary(self, closing):
        channel = closing(EmailChannel(backend=SMTP, backend_options={"host": "no-such-host.invalid", "timeout": 2}))
        assert send(channel, "ann@example.com")[0].verdict is Verdict.TEMPORARY


class TestLoggingIn:
    @pytest.fixture
    def channel(self, office, closing):
        return closing(smtp(office, username="shop", password="secret"))

    def test_that_is_accepted(self, channel, office):
        assert send(channel, "ann@example.com")[0].verdict is Verdict.ACCEPTED

    def test_that_is_refused_is_our_own_fault(self, channel, office):
        office.at_login = "535 5.7.8 Wrong password"
        [receipt] = send(channel, "ann@example.com")
        assert (receipt.verdict, receipt.suppress) == (Verdict.CONFIGURATION, False)
        assert "secret" not in receipt.error
        assert not office.mails

    def test_that_cannot_be_checked_now_is_temporary(self, channel, office):
        office.at_login = "454 4.7.0 Temporary authentication failure"
        assert send(channel, "ann@example.com")[0].verdict is Verdict.TEMPORARY

    def test_to_a_server_without_tls_is_our_own_fault(self, office, closing):
        channel = closing(smtp(office, use_tls=True))
        assert send(channel, "ann@example.com")[0].verdict is Verdict.CONFIGURATION


class TestRefusals:
    @pytest.mark.parametrize(
        ("answer", "verdict", "suppress"),
        [
            ("550 5.1.1 No such user", Verdict.PERMANENT, True),
            ("550 No such user", Verdict.PERMANENT, True),
            ("553 5.1.2 No such domain", Verdict.PERMANENT, True),
            ("551 5.2.1 Mailbox disabled", Verdict.PERMANENT, False),
            ("552 5.2.2 Mailbox full", Verdict.PERMANENT, False),
            ("550 5.7.1 Blocked by policy", Verdict.CONFIGURATION, False),
            ("554 5.7.1 Relay access denied", Verdict.CONFIGURATION, False),
            ("450 4.2.0 Greylisted", Verdict.TEMPORARY, False),
            ("451 Try later", Verdict.TEMPORARY, False),
            ("452 4.2.2 Mailbox full", Verdict.TEMPORARY, False),
            ("421 4.3.2 Closing down", Verdict.TEMPORARY, False),
        ],
    )
    def test_of_a_recipient(self, channel, office, answer, verdict, suppress):
        office.at_rcpt["ann@example.com"] = answer
        [receipt] = send(channel, "ann@example.com")
        assert (receipt.verdict, receipt.suppress) == (verdict, suppress)
        assert answer[4:] in receipt.error

    def test_of_one_recipient_do_not_touch_the_others(self, channel, office):
        office.at_rcpt = {"bob@example.com": "550 5.1.1 No such user", "cid@example.com": "421 4.3.2 Closing down"}
        receipts = send(channel, "ann@example.com", "bob@example.com", "cid@example.com", "dan@example.com")
        assert [receipt.verdict for receipt in receipts] == [
            Verdict.ACCEPTED, Verdict.PERMANENT, Verdict.TEMPORARY, Verdict.ACCEPTED,
        ]  # fmt: skip
        assert [mail["To"] for mail in office.mails] == ["ann@example.com", "dan@example.com"]

    @pytest.mark.parametrize(
        ("answer", "verdict"),
        [
            ("550 5.7.1 Sender refused", Verdict.CONFIGURATION),
            ("530 5.7.0 Must log in first", Verdict.CONFIGURATION),
            ("451 4.3.0 Try later", Verdict.TEMPORARY),
            ("421 4.7.0 Too many messages", Verdict.TEMPORARY),
        ],
    )
    def test_of_the_sender(self, channel, office, answer, verdict):
        office.at_mail = answer
        [receipt] = send(channel, "ann@example.com")
        assert (receipt.verdict, receipt.suppress) == (verdict, False)

    @pytest.mark.parametrize(
        ("answer", "verdict"),
        [
            ("554 5.6.0 Content refused", Verdict.PERMANENT),
            ("552 Too big", Verdict.PERMANENT),
            ("451 4.3.0 Try later", Verdict.TEMPORARY),
            ("421 4.3.2 Closing down", Verdict.TEMPORARY),
        ],
    )
    def test_of_the_content(self, channel, office, answer, verdict):
        office.at_data = answer
        [receipt] = send(channel, "ann@example.com")
        assert (receipt.verdict, receipt.suppress) == (verdict, False)

    def test_leave_a_connection_that_works(self, channel, office):
        office.at_data = "451 4.3.0 Try later"
        send(channel, "ann@example.com")
        office.at_data = None
        assert send(channel, "ann@example.com")[0].verdict is Verdict.ACCEPTED


class TestLostContact:
    def test_after_the_data_is_unknown(self, channel, office):
        office.hang_up = "DATA"
        [receipt] = send(channel, "ann@example.com")
        assert receipt.verdict is Verdict.UNKNOWN
        assert receipt.error

    @pytest.mark.parametrize("phase", ["MAIL", "RCPT"])
    def test_before_the_data_is_temporary(self, channel, office, phase):
        office.hang_up = phase
        [receipt] = send(channel, "ann@example.com")
        assert receipt.verdict is Verdict.TEMPORARY

    def test_is_not_lost_for_the_next_mail(self, channel, office):
        office.hang_up = "DATA"
        send(channel, "ann@example.com")
        office.hang_up = None
        assert send(channel, "bob@example.com")[0].verdict is Verdict.ACCEPTED


class TestWhatCannotBeSent:
    def test_a_header_with_a_line_end_is_refused(self, channel, office):
        [message] = message_to(channel, "ann@example.com")
        message.subject = "Order 7\nBcc: bob@example.com"
        [receipt] = channel.send([message])
        assert receipt.verdict is Verdict.PERMANENT
        assert not office.mails

    def test_a_backend_that_sends_nothing_and_does_not_say_why_is_no_success(self):
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
    def test_its_status_is_a_verdict(self, channel, service, status, verdict):
        service.status = status
        [receipt] = send(channel, "ann@example.com")
        assert receipt.verdict is verdict
        assert receipt.error

    def test_its_wish_to_be_left_alone_is_kept(self, channel, service):
        service.status, service.headers = 429, {"Retry-After": "120"}
        assert send(channel, "ann@example.com")[0].retry_after == 120

    @pytest.mark.parametrize("wish", ["soon", "-5", "\xb2", "1e3", "Sun, 29 Mar 2026 12:00:00 GMT", ""])
    def test_a_wish_that_cannot_be_read_is_left_to_the_schedule(self, channel, service, wish):
        service.status, service.headers = 429, {"Retry-After": wish}
        [receipt] = send(channel, "ann@example.com")
        assert (receipt.verdict, receipt.retry_after) == (Verdict.TEMPORARY, None)

    def test_lost_contact_is_unknown(self, channel, service):
        service.hang_up = True
        assert send(channel, "ann@example.com")[0].verdict is Verdict.UNKNOWN

    def test_a_service_without_its_settings_is_our_own_fault(self):
        with pytest.raises(Exception, match="MAILGUN_API_KEY"):
            EmailChannel(backend=MAILGUN)


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", [10**9, 10**15, 10**400], ids=["decades", "ages", "for ever"])
def test_a_service_that_asks_to_be_left_alone_for_ever_stops_nothing(settings, service, seconds):
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
    """From ``send()`` to the server, by the worker's own code."""

    @pytest.fixture(autouse=True)
    def _site(self, settings, office):
        options = {"backend": SMTP, "backend_options": {"host": "127.0.0.1", "port": office.port, "timeout": 5}}
        settings.NOTIFICATIONS = {"CHANNELS": {"email": {"OPTIONS": options}}}

    def deliver(self, *users):
        with capture_notifications() as captured:
            NotificationManager.send(ShopEvents.NEWSLETTER, users)
            return captured.deliver()

    def test_a_mail_arrives_and_its_id_is_kept(self, office):
        assert self.deliver(UserFactory(username="ann")) == {DeliveryState.SENT: 1}
        [mail] = office.mails
        assert mail.get_content().strip() == "News for ann"
        assert Delivery.objects.get().provider_message_id == mail["Message-ID"]

    def test_what_the_server_refuses_for_good_is_dead_and_what_it_refuses_for_now_is_tried_again(self, office):
        office.at_rcpt = {"bad@example.com": "550 5.1.1 No such user", "busy@example.com": "450 4.2.0 Greylisted"}
        addresses = ("bad@example.com", "good@example.com", "busy@example.com")
        tally = self.deliver(*(UserFactory(email=address) for address in addresses))
        assert tally == {DeliveryState.DEAD: 1, DeliveryState.SENT: 1, DeliveryState.RETRY: 1}
        assert len(office.mails) == 1

    def test_the_log_keeps_the_servers_words_without_addresses(self, office):
        office.at_rcpt = {"secret.name@example.com": "550 5.1.1 <secret.name@example.com>: unknown"}
        self.deliver(UserFactory(email="secret.name@example.com"))
        row = NotificationLog.objects.get()
        assert (row.success, row.reason, row.address) == (False, "permanent", "s***@example.com")
        assert "5.1.1" in row.error_message
        assert "secret.name" not in row.error_message

    def test_an_attempt_that_failed_does_not_stop_the_rest_of_the_group(self, office, caplog):
        caplog.set_level(logging.CRITICAL)
        office.at_rcpt = {"u3@example.com": "421 4.3.2 Closing down"}
        users = [UserFactory(email=f"u{number}@example.com") for number in range(6)]
        assert self.deliver(*users) == {DeliveryState.SENT: 5, DeliveryState.RETRY: 1}

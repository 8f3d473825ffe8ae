"""Email: to a real SMTP server and to a real HTTP service, both on loopback.

What an SMTP server can do wrong is in ``test_smtp_matrix``.
"""

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

    def test_to_a_host_that_does_not_exist_is_temporary(self, closing):
        channel = closing(EmailChannel(backend=SMTP, backend_options={"host": "no-such-host.invalid", "timeout": 2}))
        assert send(channel, "ann@example.com")[0].verdict is Verdict.TEMPORARY


class TestWhatCannotBeSent:
    @pytest.mark.parametrize("end", ["\n", "\r", "\x1e"])
    def test_a_header_with_a_line_end_is_refused(self, channel, office, end):
        [message] = message_to(channel, "ann@example.com")
        message.subject = f"Order 7{end}Bcc: bob@example.com"
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

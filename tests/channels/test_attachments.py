"""Attachments arrive unchanged at an SMTP server and at an HTTP service."""

import random

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications import conf
from notifications.attachments import Attachment
from notifications.channels.base import Rendered
from notifications.channels.email import EmailChannel
from notifications.channels.mime import render_with_django
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, Notification, NotificationLog
from notifications.outcomes import DeliveryState, Verdict
from notifications.testing import capture_notifications, simulated
from tests.channels.servers import mail_service, post_office
from tests.channels.test_email import SMTP, mailgun
from tests.digests.conftest import work
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

FILES = [
    Attachment("bill.pdf", bytes(range(256)) * 40, "application/pdf"),
    Attachment("list.csv", "name,sum\nAnn,7\r\n.\r\nBüro,8"),
    Attachment("latin.txt", "Grüße".encode("latin-1")),
    Attachment("Grüße 你好.txt", "Grüße\n"),
    Attachment("ü" * 127, b"\n.\n"),
    Attachment('say "hi"; x=1.txt', "no line end " * 200),
    Attachment("a" * 255, b""),
    Attachment("empty.txt", ""),
    Attachment("invite.ics", "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "text/calendar; method=REQUEST; charset=utf-8"),
    Attachment("latin.csv", "Grüße".encode("latin-1"), "text/csv; charset=iso-8859-1; header=present"),
    Attachment("model.bin", b"\x00\r\n", 'application/x-model; title="My; model"; v=2'),
]
TOLD = [(one.name, one.content, one.kind) for one in FILES]
pytestmark = pytest.mark.django_db


@pytest.fixture(params=[False, True], ids=["plain", "pipelined"])
def office(request):
    with post_office(pipelining=request.param) as office:
        yield office


def smtp(port):
    return {"backend": SMTP, "backend_options": {"host": "127.0.0.1", "port": port, "timeout": 5}}


def test_the_parameters_of_a_type_arrive(office):
    files = FILES[-3:]
    channel = EmailChannel(from_email="shop@example.com", **smtp(office.port))
    delivery = Delivery(
        pk=7, notification=Notification(correlation_id="abc", cluster=Cluster()), address="ann@example.com"
    )
    rendered = Rendered({"subject.txt": "x", "txt": "x"}, attachments=tuple(files))
    assert [receipt.verdict for receipt in channel.send([channel.prepare(delivery, rendered)])] == [Verdict.ACCEPTED]
    channel.close()
    parts = list(office.mails[0].iter_attachments())
    assert [dict(part["Content-Type"].params) for part in parts] == [one.parameters for one in files]
    assert files_of(office.mails[0]) == TOLD[-3:]


@pytest.fixture
def site(settings, office):
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"OPTIONS": smtp(office.port)}}}


def order(users, attachments=FILES, **options):
    context = {"order_number": "7", "eta": None}
    return NotificationManager.send(ShopEvents.ORDER_SHIPPED, users, None, context, attachments=attachments, **options)


def deliver(*args, **options):
    with capture_notifications() as captured:
        order(*args, **options)
        return captured.deliver()


def files_of(mail):
    return [
        (part.get_filename(), part.get_payload(decode=True), part.get_content_type())
        for part in mail.iter_attachments()
    ]


class TestBySMTP:
    def test_each_arrives_byte_for_byte_with_its_name_and_type(self, site, office):
        assert deliver([UserFactory()], channels=["email"]) == {DeliveryState.SENT: 1}
        [mail] = office.mails
        assert files_of(mail) == TOLD
        assert {part.get_content_disposition() for part in mail.iter_attachments()} == {"attachment"}
        assert not mail.defects

    def test_the_text_and_the_html_are_still_there(self, site, office):
        deliver([UserFactory()], channels=["email"])
        [mail] = office.mails
        assert mail.get_content_type() == "multipart/mixed"
        assert next(iter(mail.iter_parts())).get_content_type() == "multipart/alternative"
        assert "7" in mail.get_body(["plain"]).get_content()
        assert mail.get_body(["html"]).get_content_type() == "text/html"
        assert mail["Auto-Submitted"] == "auto-generated"

    def test_only_utf_8_text_declares_utf_8(self, site, office):
        deliver([UserFactory()], channels=["email"])
        charsets = {part.get_filename(): part.get_content_charset() for part in office.mails[0].iter_attachments()}
        assert (charsets["list.csv"], charsets["latin.txt"], charsets["bill.pdf"]) == ("utf-8", None, None)

    def test_no_line_exceeds_the_maximum_length(self, office):
        channel = EmailChannel(from_email="shop@example.com", **smtp(office.port))
        rendered = Rendered({"subject.txt": "x", "txt": "x"}, "en", tuple(FILES))
        notification = Notification(correlation_id="abc", cluster=Cluster())
        mail = channel.prepare(Delivery(pk=7, notification=notification, address="ann@example.com"), rendered)
        assert max(map(len, render_with_django(mail).split(b"\r\n"))) <= 998

    def test_the_largest_attachment_arrives(self, site, office):
        largest = Attachment("a", random.Random(7).randbytes(conf.current().attachment_bytes - 1))
        deliver([UserFactory()], [largest], channels=["email"])
        assert files_of(office.mails[0]) == [("a", largest.content, "application/octet-stream")]

    def test_each_recipient_gets_them_and_the_inbox_does_not(self, site, office):
        assert deliver(UserFactory.create_batch(3)) == {DeliveryState.SENT: 6}
        assert [files_of(mail) for mail in office.mails] == [TOLD] * 3

    def test_a_mail_without_attachments_has_only_text_and_html(self, site, office):
        users = [UserFactory()]
        with capture_notifications() as captured:
            order(users, [], channels=["email"])
            order(users, channels=["email"])
            NotificationManager.send(ShopEvents.NEWSLETTER, users)
            captured.deliver()
        kinds = sorted((mail.get_content_type(), len(files_of(mail))) for mail in office.mails)
        assert kinds == [("multipart/alternative", 0), ("multipart/alternative", 0), ("multipart/mixed", len(FILES))]


class TestAgain:
    def test_the_next_provider_sends_them_too(self, settings, office):
        with post_office() as closed:
            closed.shut()
            nowhere = closed.port
        providers = [{"NAME": "one", "OPTIONS": smtp(nowhere)}, {"NAME": "two", "OPTIONS": smtp(office.port)}]
        settings.NOTIFICATIONS = {"CHANNELS": {"email": {"PROVIDERS": providers}}, "BREAKER_FAILURES": 1}
        deliver([UserFactory()], channels=["email"])
        work()
        assert [files_of(mail) for mail in office.mails] == [TOLD]
        assert NotificationLog.objects.filter(success=True).get().provider == "two"

    def test_a_resent_mail_has_them_too(self, site, office):
        deliver([UserFactory()], channels=["email"])
        Delivery.objects.update(state=DeliveryState.DEAD)
        NotificationManager.resend(Delivery.objects.get(), "lost")
        work()
        assert [files_of(mail) for mail in office.mails] == [TOLD] * 2

    def test_why_is_unchanged(self, site):
        result = order([UserFactory()], channels=["email"])
        assert NotificationManager.why(Delivery.objects.get(notification=result.notification_id))


class TestByService:
    def test_a_mail_service_gets_them_unchanged(self):
        with mail_service() as service:
            channel = mailgun(service)
            notification = Notification(correlation_id="abc", cluster=Cluster())
            rendered = Rendered({"subject.txt": "x", "txt": "x"}, "en", tuple(FILES[:4]))
            delivery = Delivery(pk=7, notification=notification, address="ann@example.com")
            [receipt] = channel.send([channel.prepare(delivery, rendered)])
            channel.close()
            [(_path, body)] = service.requests
        assert (receipt.verdict, receipt.error) == (Verdict.ACCEPTED, "")
        assert all(one.content in body and one.name.encode() in body for one in FILES[:4])


class TestCost:
    """The number of statements about files, for different batches."""

    def statements(self, users, attachments, **options):
        order(users, attachments, **options)
        with CaptureQueriesContext(connection) as queries:
            work()
        return [query["sql"] for query in queries if "attachedfile" in query["sql"]]

    def test_they_are_read_once_for_a_batch(self, mailoutbox):
        for _ in range(3):
            order([UserFactory()], channels=["email"])
        assert len(self.statements(UserFactory.create_batch(3), FILES, channels=["email"])) == 1
        assert [len(mail.attachments) for mail in mailoutbox] == [len(FILES)] * 6

    def test_nothing_is_read_without_attachments(self):
        assert self.statements([UserFactory()], []) == []

    def test_nothing_is_read_for_a_channel_without_attachments(self):
        assert self.statements([UserFactory()], FILES, channels=["app"]) == []


def test_a_simulation_stores_them_with_the_text():
    user = UserFactory()
    with simulated("2026-11-20 12:00") as timeline:
        order([user], channels=["email"])
        timeline.run()
        [rendered] = timeline._store.texts.values()
    assert list(rendered.attachments) == FILES

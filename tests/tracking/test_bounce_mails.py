"""Mails that report about a delivery: which suppress its address, which only say something, and which are ignored."""

import base64
import io
import mailbox
import sys
from contextlib import closing

import pytest
from django.core.management import CommandError, call_command
from django.db.models.signals import post_save

from notifications.models import Delivery, NotificationLog, Suppression, TrackingEvent
from notifications.recipients import Address
from notifications.tracking.bounce_mails import judge_status, read_reports
from notifications.tracking.record import record_named
from notifications.tracking.reports import Effect, parse_reply_text
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.tracking import mails
from tests.tracking.conftest import send_newsletter

pytestmark = pytest.mark.django_db


def read(raw):
    return [record_named(report) for report in read_reports(raw)]


def events():
    return list(TrackingEvent.objects.order_by("pk").values_list("kind", "source"))


def suppressions():
    return list(Suppression.objects.filter(is_active=True).values_list("reason", flat=True))


class TestStatusNotifications:
    def test_a_mailbox_that_does_not_exist_is_suppressed(self, delivery):
        assert read(mails.status_notification(delivery)) == ["recorded"]
        [suppression] = Suppression.objects.all()
        assert (suppression.reason, suppression.cluster, suppression.is_active) == ("hard_bounce", None, True)
        assert suppression.detail == "5.1.1 smtp; 550 5.1.1 User unknown"
        assert events() == [("bounced", "DSN")]

    def test_the_log_of_the_delivery_has_the_words_of_the_server(self, delivery):
        read(mails.status_notification(delivery, diagnostic=f"smtp; 550 5.1.1 <{delivery.address}> unknown"))
        row = NotificationLog.objects.get(kind="provider_event")
        assert (row.delivery, row.success, row.provider) == (delivery, False, "DSN")
        assert row.error_message.startswith("bounced: 5.1.1 smtp; 550 5.1.1 <u***@example.com> unknown")

    def test_a_returned_mail_may_have_its_whole_text(self, delivery):
        assert read(mails.status_notification(delivery, part="message/rfc822")) == ["recorded"]

    def test_the_time_is_that_of_the_mail(self, delivery):
        read(mails.status_notification(delivery))
        assert TrackingEvent.objects.get().happened_at.isoformat() == "2026-06-01T08:00:00+00:00"

    @pytest.mark.parametrize(
        ("action", "kind"), [("delayed", "deferred"), ("Delivered", "delivered"), ("failed", "bounced")]
    )
    def test_an_action_says_what_happened(self, action, kind, delivery):
        read(mails.status_notification(delivery, action=action, status="4.2.0", diagnostic=""))
        assert events() == [(kind, "DSN")]
        assert suppressions() == []

    @pytest.mark.parametrize("action", ["relayed", "expanded", "", "unknown"])
    def test_a_mail_that_went_on_says_nothing_about_the_mailbox(self, action, delivery):
        assert read(mails.status_notification(delivery, action=action, status="2.1.9")) == []

    def test_a_mailbox_that_refuses_is_suppressed_the_third_time(self):
        user = UserFactory()
        for number in range(3):
            assert suppressions() == []
            full = mails.status_notification(
                send_newsletter(user),
                status="5.2.2",
                diagnostic="smtp; 552 5.2.2 Mailbox full",
                message_id=f"<{number}@mx.example.org>",
            )
            assert read(full) == ["recorded"]
        assert suppressions() == ["repeated"]

    def test_the_same_mail_counts_once(self, delivery):
        full = mails.status_notification(delivery, status="5.2.2", diagnostic="smtp; 552 5.2.2 Mailbox full")
        assert read(full) == ["recorded"]
        again = b"Received: from elsewhere.example.org\r\n" + full
        assert [read(again) for _ in range(3)] == [["known"]] * 3
        assert (suppressions(), Suppression.objects.get().refusals) == ([], 1)

    @pytest.mark.parametrize("message_id", ["<1.2@shop.example.com>", "<x>", ""])
    def test_a_mail_that_names_no_delivery_changes_nothing(self, message_id, delivery):
        delivery.provider_message_id = message_id
        assert read(mails.status_notification(delivery)) in (["unmatched"], [])
        assert not Suppression.objects.exists()
        assert events() == []

    def test_one_address_behind_a_group_address_does_not_suppress_the_group(self, delivery):
        read(mails.status_notification(delivery, recipient="gone@elsewhere.example.org"))
        assert (suppressions(), Suppression.objects.get().refusals) == ([], 1)

    def test_all_addresses_behind_a_group_address_count_once(self, delivery):
        gone = [f"member{number}@elsewhere.example.org" for number in range(3)]
        assert read(mails.status_notification(delivery, recipient=gone)) == ["recorded"] * 3
        for number, recipient in enumerate(gone):
            read(mails.status_notification(delivery, recipient=recipient, message_id=f"<{number}@mx.example.org>"))
        assert (suppressions(), Suppression.objects.get().refusals) == ([], 1)

    def test_the_first_hundred_recipients_are_read(self, delivery):
        gone = [f"member{number}@elsewhere.example.org" for number in range(20_000)]
        assert len(read_reports(mails.status_notification(delivery, recipient=gone))) == 100

    def test_a_forwarding_server_names_the_original_recipient(self, delivery):
        forwarded = mails.status_notification(
            delivery, recipient="gone@elsewhere.example.org", original=delivery.address.upper()
        )
        read(forwarded)
        assert suppressions() == ["hard_bounce"]

    def test_an_international_domain_is_reported_in_ascii(self):
        delivery = send_newsletter(Address(email="ann@müller.example"))
        read(mails.status_notification(delivery, recipient="ann@xn--mller-kva.example"))
        assert suppressions() == ["hard_bounce"]

    def test_a_report_about_an_address_that_is_not_ascii_is_read(self):
        """RFC 6533."""
        delivery = send_newsletter(Address(email="ann@müller.example"))
        options = {"fields_type": "message/global-delivery-status", "address_type": "utf-8"}
        assert read(mails.status_notification(delivery, part="message/global-headers", **options)) == ["recorded"]
        assert suppressions() == ["hard_bounce"]

    @pytest.mark.parametrize("kind", ["message/delivery-status", "message/global-delivery-status"])
    @pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
    def test_the_fields_may_be_encoded(self, kind, encoding, delivery):
        fields = f"Final-Recipient: rfc822; {delivery.address}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        text = f"Reporting-MTA: dns; mx.example.org\r\n\r\n{fields}".encode()
        if encoding == "base64":
            encoded = base64.encodebytes(text).decode()
        else:
            encoded = text.decode().replace("5.1.1", "5=2E1.1").replace("failed", "fai=\r\nled")
        raw = mails.status_notification(delivery, fields_type=kind).decode()
        head, status, rest = raw.partition(f"Content-Type: {kind}\r\n")
        tail = rest[rest.index("--=_b") :]
        again = f"{head}{status}Content-Transfer-Encoding: {encoding}\r\n\r\n{encoded}\r\n{tail}"
        assert read(again.encode()) == ["recorded"]
        assert suppressions() == ["hard_bounce"]

    def test_the_fields_may_be_separated_by_several_blank_lines(self, delivery):
        raw = mails.status_notification(delivery, recipient=[delivery.address] * 2)
        assert len(read_reports(raw.replace(b"\r\n\r\nFinal-", b"\r\n \r\n\r\nFinal-"))) == 2

    @pytest.mark.parametrize(
        ("status", "diagnostic", "effect"),
        [
            ("5.1.1", "smtp; 550 5.1.1 User unknown", Effect.HARD),
            ("5.1.1", "", Effect.HARD),
            ("5.1.10", "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound", Effect.HARD),
            ("5.0.0", "smtp; 550-5.1.1 The email account does not exist", Effect.HARD),
            ("5.1.2", "dns; host not found", Effect.HARD),
            ("5.2.1", "smtp; 550 5.2.1 mailbox disabled", Effect.SOFT),
            ("5.2.2", "smtp; 552 5.2.2 mailbox full", Effect.SOFT),
            ("4.2.2", "smtp; 452 4.2.2 mailbox full", Effect.SOFT),
            ("4.4.7", "smtp; delivery time expired", Effect.SOFT),
            ("5.4.7", "", Effect.SOFT),
            ("5.0.0", "smtp; 550 Requested action not taken", Effect.SOFT),
            ("5.7.124", "smtp; 550 5.7.124 not in the list of senders", Effect.BLOCK),
            ("5.7.703", "smtp; 550 5.7.703 blocked", Effect.BLOCK),
            ("5.7.606", "smtp; 550 5.7.606 Access denied, banned sending IP [192.0.2.1]", Effect.NONE),
            ("5.7.26", "smtp; 550 5.7.26 Unauthenticated mail", Effect.NONE),
            ("5.7.1", "smtp; 550 5.7.1 Message rejected as spam", Effect.NONE),
            ("5.3.4", "smtp; 552 5.3.4 message too big", Effect.NONE),
            ("", "", Effect.NONE),
            ("2.0.0", "smtp; 250 fine", Effect.NONE),
        ],
    )
    def test_the_codes_decide_whether_the_address_is_to_blame(self, status, diagnostic, effect):
        assert judge_status(status, diagnostic) is effect


class TestComplaints:
    def test_a_complaint_suppresses_the_address_in_its_cluster(self, delivery):
        assert read(mails.complaint(delivery)) == ["recorded"]
        [suppression] = Suppression.objects.all()
        assert (suppression.reason, suppression.cluster) == ("complaint", delivery.notification.cluster)
        assert events() == [("complained", "ARF")]

    def test_mails_of_other_tenants_still_arrive(self):
        user = UserFactory()
        one, other = ClusterFactory(members=[user]), ClusterFactory(members=[user])
        read(mails.complaint(send_newsletter(user, one)))
        assert send_newsletter(user, other).state == "sent"
        with pytest.raises(AssertionError):
            send_newsletter(user, one)

    def test_a_complaint_is_about_the_person_and_not_about_one_of_their_addresses(self):
        user, cluster = UserFactory(), ClusterFactory()
        cluster.members.add(user)
        UserSettingsFactory(user=user, cluster=cluster, addresses={"email": "other@example.com"})
        delivery = send_newsletter(user, cluster)
        assert delivery.address == "other@example.com"
        read(mails.complaint(delivery))
        assert suppressions() == ["complaint", "complaint"]
        with pytest.raises(AssertionError):
            send_newsletter(user, cluster)

    @pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "opt-out"])
    def test_other_feedback_is_no_complaint(self, kind, delivery):
        assert read(mails.complaint(delivery, kind=kind)) == []

    @pytest.mark.parametrize("kind", ["Fraud", "virus", "other"])
    def test_all_kinds_of_abuse_are(self, kind, delivery):
        read(mails.complaint(delivery, kind=kind))
        assert suppressions() == ["complaint"]

    def test_the_type_of_the_report_may_be_written_with_its_charset(self, delivery):
        """RFC 2231, 4."""
        raw = mails.complaint(delivery).replace(b"report-type=feedback", b"report-type*=us-ascii''feedback")
        assert read(raw) == ["recorded"]
        assert suppressions() == ["complaint"]


@pytest.mark.needs("flufl")
class TestOldServers:
    @pytest.mark.parametrize("bounce", [mails.qmail_bounce, mails.exim_bounce])
    def test_a_mail_in_a_format_of_their_own_is_read(self, bounce, delivery):
        assert read(bounce(delivery)) == ["recorded"]
        assert suppressions() == ["hard_bounce"]

    def test_a_refusal_of_the_site_does_not_suppress(self, delivery):
        read(mails.qmail_bounce(delivery, "550 5.7.606 Access denied, banned sending IP"))
        assert (events(), suppressions()) == ([("bounced", "bounce")], [])

    def test_an_absence_note_is_ignored(self, delivery):
        assert read(mails.absence_note(delivery)) == []
        assert read(b"Return-Path: <>\r\n" + mails.absence_note(delivery)) == []


@pytest.mark.parametrize("raw", [b"", b"\0\xff", b"\r\n\r\n", b"Content-Type: multipart/report\r\n\r\nx", b"a" * 99])
def test_a_malformed_mail_is_ignored(raw):
    assert read(raw) == []


def test_a_mail_with_too_many_parts_within_each_other_is_ignored(caplog):
    parts = (f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(5000))
    assert read("".join(parts).encode()) == []
    assert "too many parts" in caplog.text


@pytest.mark.parametrize(
    "date", ["Mon, 1 Jun 99999999999999999999 10:00:00 +0000", "Thu, 1 Jan 1970 00:00:00 +0000", "today"]
)
def test_a_wrong_date_is_ignored(date, delivery):
    raw = mails.status_notification(delivery).replace(b"Mon, 1 Jun 2026 10:00:00 +0200", date.encode())
    assert read(raw) == ["recorded"]
    event = TrackingEvent.objects.get()
    assert event.happened_at == event.recorded_at


class TestCommand:
    def run(self, *args, **options):
        out = io.StringIO()
        call_command("read_bounces", *args, stdout=out, **options)
        return out.getvalue().strip()

    def fill(self, box, *raws):
        for raw in raws:
            box.add(raw)
        box.close()

    def test_one_mail_is_read_from_standard_input(self, delivery, monkeypatch):
        raw = mails.status_notification(delivery)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        assert self.run("-") == "Read 1 mail with 1 report: 1 recorded, 0 known already, 0 unmatched."
        assert suppressions() == ["hard_bounce"]

    @pytest.mark.parametrize("kind", [mailbox.mbox, mailbox.Maildir])
    def test_a_mailbox_is_read_any_number_of_times(self, kind, delivery, tmp_path):
        path = str(tmp_path / "box")
        stranger = mails.status_notification(delivery).replace(
            delivery.provider_message_id.encode(), b"<a.b@c.example>"
        )
        own = mails.status_notification(delivery), mails.complaint(delivery), mails.absence_note(delivery)
        self.fill(kind(path), *own, stranger)
        assert self.run(path) == "Read 4 mails with 3 reports: 2 recorded, 0 known already, 1 unmatched."
        assert self.run(path) == "Read 4 mails with 3 reports: 0 recorded, 2 known already, 1 unmatched."

    @pytest.mark.parametrize("kind", [mailbox.mbox, mailbox.Maildir])
    def test_reports_can_be_deleted_and_all_other_mail_stays(self, kind, delivery, tmp_path):
        path = str(tmp_path / "box")
        self.fill(kind(path), mails.status_notification(delivery), mails.absence_note(delivery))
        self.run(path, "--delete")
        with closing(kind(path)) as box:
            assert [mail["Subject"] for mail in box] == ["Out of office: News"]

    def test_a_path_that_is_no_mailbox_is_refused(self, tmp_path):
        with pytest.raises(CommandError, match="neither an mbox file nor a Maildir folder"):
            self.run(str(tmp_path / "missing"))

    def test_one_mail_in_a_file_is_not_taken_for_an_empty_mailbox(self, delivery, tmp_path):
        path = tmp_path / "mail.eml"
        path.write_bytes(mails.status_notification(delivery))
        with pytest.raises(CommandError, match="read_bounces - <"):
            self.run(str(path))

    def test_an_empty_mbox_has_no_mails(self, tmp_path):
        path = tmp_path / "box"
        path.write_bytes(b"")
        assert self.run(str(path)).startswith("Read 0 mails")

    def test_mails_that_another_program_removes_are_skipped(self, delivery, tmp_path):
        """The mails are moved to another folder while the first one is recorded."""
        path, seen = tmp_path / "box", []
        numbers = range(3)
        raws = [mails.status_notification(delivery, message_id=f"<{number}@mx.example.org>") for number in numbers]
        self.fill(mailbox.Maildir(str(path)), *raws)

        def remove_all(sender, instance, **kwargs):
            seen.append(instance.pk)
            for file in (path / "new").iterdir():
                file.unlink()

        post_save.connect(remove_all, sender=TrackingEvent)
        try:
            output = self.run(str(path), "--delete")
        finally:
            post_save.disconnect(remove_all, sender=TrackingEvent)
        assert (output[:11], len(seen)) == ("Read 1 mail", 1)

    def test_a_missing_extra_is_named(self, delivery, monkeypatch):
        monkeypatch.setitem(sys.modules, "flufl.bounce", None)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(mails.qmail_bounce(delivery))))
        with pytest.raises(CommandError, match="bounces") as raised:
            self.run("-")
        # So that the mail server keeps the mail.
        assert raised.value.returncode == 75

    @pytest.mark.parametrize("kind", [mailbox.mbox, mailbox.Maildir])
    def test_without_the_extra_all_other_mails_are_read(self, kind, delivery, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "flufl.bounce", None)
        path, errors = str(tmp_path / "box"), io.StringIO()
        self.fill(kind(path), mails.qmail_bounce(delivery), mails.exim_bounce(delivery), mails.complaint(delivery))
        counts = self.run(path, "--delete", stderr=errors)
        assert counts == "Read 3 mails with 1 report: 1 recorded, 0 known already, 0 unmatched."
        assert errors.getvalue().count("pip install 'django-klaxon[bounces]'") == 1
        assert "2 returned mails could not be read" in errors.getvalue()
        with closing(kind(path)) as box:
            assert len(box) == 2

    def test_a_mail_that_names_no_delivery_does_not_need_the_extra(self, delivery, monkeypatch):
        monkeypatch.setitem(sys.modules, "flufl.bounce", None)
        delivery.provider_message_id = "<spam@example.org>"
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(mails.qmail_bounce(delivery))))
        assert self.run("-") == "Read 1 mail with 0 reports: 0 recorded, 0 known already, 0 unmatched."


@pytest.mark.needs("flufl")
@pytest.mark.parametrize("bounce", [mails.qmail_bounce, mails.exim_bounce])
def test_an_id_that_looks_like_a_code_is_none(bounce, delivery):
    """The hash in a Message-ID contains three digits now and then."""
    Delivery.objects.update(provider_message_id="<452.a451f.452@shop.example.com>")
    delivery.refresh_from_db()
    assert read(bounce(delivery)) == ["recorded"]
    assert suppressions() == ["hard_bounce"]


def test_a_number_in_a_word_is_no_code():
    assert parse_reply_text("user449@example.com: unknown (#5.1.1)").label == "550 5.1.1"

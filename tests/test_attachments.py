"""Attachments: their validation, and storing them together with the notification."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from notifications.attachments import OCTET_STREAM, Attachment
from notifications.core import clock
from notifications.exceptions import IdempotencyConflict, InvalidOption
from notifications.manager import NotificationManager
from notifications.models import AttachedFile, Cluster, Notification
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

BILL = Attachment("bill.pdf", b"%PDF\x00\xff", "application/pdf")


def send(recipients, attachments, **options):
    return NotificationManager.send(ShopEvents.NEWSLETTER, recipients, None, {}, attachments=attachments, **options)


def stored(result):
    rows = AttachedFile.objects.filter(notification=result.notification_id).order_by("place")
    return [(row.name, bytes(row.content), row.mimetype) for row in rows]


class TestOneFile:
    @pytest.mark.parametrize(
        ("name", "mimetype"),
        [
            ("bill.pdf", "application/pdf"), ("BILL.PDF", "application/pdf"), ("list.csv", "text/csv"),
            ("list.csv.gz", OCTET_STREAM), ("mail.eml", OCTET_STREAM), ("no end", OCTET_STREAM),
            ("data:,x.pdf", "application/pdf"), ("Grüße 你好.png", "image/png"),
        ],
    )  # fmt: skip
    def test_its_type_is_guessed_from_its_name(self, name, mimetype):
        assert Attachment(name, b"").mimetype == mimetype

    def test_a_text_becomes_utf_8(self):
        assert Attachment("note.txt", "Grüße\n") == Attachment("note.txt", "Grüße\n".encode(), "TEXT/plain")

    def test_an_invalid_text_is_sent_as_bytes(self):
        assert Attachment("list.csv", "Grüße".encode("latin-1")).mimetype == OCTET_STREAM

    def test_any_bytes_are_accepted(self):
        assert Attachment("a", bytearray(b"x")) == Attachment("a", memoryview(b"x")) == Attachment("a", b"x")

    def test_its_repr_does_not_show_the_content(self):
        assert repr(BILL) == "Attachment(name='bill.pdf', mimetype='application/pdf')"

    @pytest.mark.parametrize(
        "name",
        [
            "", " ", ".", "..", "../bill.pdf", "a/b", "a\\b", "a\0b", "a\r\nBcc: eve@example.com", "a\nb", "a\rb",
            "a\x85b", "a\u2028b", "a\x7f", "\ud800.pdf", "receipt\u202efdp.exe", "ü" * 128, "a" * 256, None, b"a", 7,
        ],
    )  # fmt: skip
    def test_its_name_is_a_file_name(self, name):
        with pytest.raises(InvalidOption, match="ttachment"):
            Attachment(name, b"x")

    @pytest.mark.parametrize(
        "mimetype",
        [
            "pdf", "application/", "/pdf", "a/b/c", "text/plain\r\nBcc: eve@example.com", "text/plain\n", "text/ plain",
            "text/plain; charset", "text/plain; charset=utf-8\r\nBcc: eve@example.com", 'text/plain; a="b',
            "text/plain;", "text/plain; a=ä", f"text/plain; a={'b' * 250}", "äpp/x", "multipart/mixed",
            "message/rfc822", 7, b"text/plain",
        ],
    )  # fmt: skip
    def test_its_type_is_well_formed(self, mimetype):
        with pytest.raises(InvalidOption, match="ttachment"):
            Attachment("bill.pdf", b"x", mimetype)

    @pytest.mark.parametrize(
        ("mimetype", "kind", "parameters"),
        [
            ("text/calendar; method=REQUEST", "text/calendar", {"method": "REQUEST"}),
            (
                "Text/Calendar ;Method=REQUEST; charset=UTF-8",
                "text/calendar",
                {"method": "REQUEST", "charset": "UTF-8"},
            ),
            ('application/pdf; title="My; bill"', "application/pdf", {"title": "My; bill"}),
            ("text/csv", "text/csv", {}),
        ],
    )
    def test_its_type_may_have_parameters(self, mimetype, kind, parameters):
        given = Attachment("bill", b"x", mimetype)
        assert (given.kind, given.parameters) == (kind, parameters)
        assert Attachment("bill", b"x", given.mimetype) == given

    @pytest.mark.parametrize(
        ("charset", "kept"), [("utf-8", False), ("iso-8859-1", True), ("no-such", False), ("base64", False)]
    )
    def test_a_text_that_is_not_valid_in_its_charset_gets_the_general_type(self, charset, kept):
        given = Attachment("a.txt", "Grüße".encode("latin-1"), f"text/plain; charset={charset}")
        assert (given.mimetype != "application/octet-stream") == kept

    @pytest.mark.parametrize("content", [None, 7, ["x"], "\ud800"])
    def test_its_content_must_be_bytes_or_a_text(self, content):
        with pytest.raises(InvalidOption, match=r"bill\.pdf"):
            Attachment("bill.pdf", content)


@pytest.mark.django_db
class TestTheOption:
    @pytest.mark.parametrize(
        "given",
        [
            BILL, "bill.pdf", b"x", {"bill.pdf": b"x"}, 7, ["bill.pdf"], [b"x"], [("bill.pdf",)], [("a", b"", "", "")],
            ("bill.pdf", b"x", "application/pdf"), [("bill.pdf", None, "application/pdf")], [["bill.pdf", b"x"]],
            [("a\nb", b"x", "application/pdf")], [("bill.pdf", b"x", "pdf")],
        ],
        ids=repr,
    )  # fmt: skip
    def test_anything_but_a_list_of_files_is_refused(self, given):
        with pytest.raises(InvalidOption, match="ttachment"):
            send([UserFactory()], given)
        assert not Notification.objects.exists()

    @pytest.mark.parametrize("given", [None, [], (), iter(())])
    def test_no_attachments_are_accepted(self, given):
        result = send([UserFactory()], given)
        assert stored(result) == []
        assert Notification.objects.get().attachment_bytes == 0

    def test_tuples_as_in_djangos_mails_are_accepted(self):
        result = send([UserFactory()], [("bill.pdf", b"x", "application/pdf"), ("a.txt", "ü"), ("b.txt", "", None)])
        assert stored(result) == [
            ("bill.pdf", b"x", "application/pdf"), ("a.txt", "ü".encode(), "text/plain"), ("b.txt", b"", "text/plain"),
        ]  # fmt: skip

    def test_the_total_size_includes_the_names(self, settings):
        settings.NOTIFICATIONS = {"ATTACHMENT_BYTES": 10}
        send([UserFactory()], [("ab", "x" * 3), ("cd", "x" * 3)])
        with pytest.raises(InvalidOption, match=r"have 11 bytes.*NOTIFICATIONS\['ATTACHMENT_BYTES'\] allows 10"):
            send([UserFactory()], [("ab", "x" * 3), ("cd", "x" * 4)])

    def test_a_hundred_are_accepted(self):
        assert len(stored(send([UserFactory()], [("a", "")] * 100))) == 100
        with pytest.raises(InvalidOption, match="100 attachments, not 101"):
            send([UserFactory()], [("a", "")] * 101)

    def test_send_notification_accepts_the_option(self):
        user = UserFactory()
        result = NotificationManager.send_notification("Hello", recipients=[user], attachments=[BILL])
        assert [name for name, *_ in stored(result)] == ["bill.pdf"]


@pytest.mark.django_db
class TestKept:
    def many(self):
        Cluster.objects.default()
        return UserFactory.create_batch(60)

    @pytest.mark.parametrize("count", [1, 60])
    def test_they_are_stored_once_in_order_for_all_recipients(self, count):
        files = [BILL, Attachment("a.txt", "1"), Attachment("a.txt", "2")]
        result = send(self.many()[:count], files)
        assert stored(result) == [(one.name, one.content, one.mimetype) for one in files]
        assert Notification.objects.get().attachment_bytes == sum(one.size for one in files) == 14 + 6 + 6

    @pytest.mark.parametrize("options", [{}, {"idempotency_key": "7"}])
    def test_a_rollback_removes_them(self, options):
        with transaction.atomic():
            send([UserFactory()], [BILL], **options)
            transaction.set_rollback(True)
        assert not AttachedFile.objects.exists()

    def test_they_are_deleted_with_their_notification(self):
        send([UserFactory()], [BILL])
        Notification.objects.all().delete()
        assert not AttachedFile.objects.exists()

    def test_a_send_that_a_full_queue_refuses_stores_none(self, settings):
        settings.NOTIFICATIONS = {"QUEUE_LIMIT": 1}
        send([UserFactory()], [])
        assert not send([UserFactory()], [BILL])
        assert not AttachedFile.objects.exists()

    @pytest.mark.parametrize("count", [1, 60])
    def test_they_are_stored_in_one_statement(self, count):
        users = self.many()[:count]

        def statements(attachments):
            clock.cached_now()
            with CaptureQueriesContext(connection) as queries:
                send(users, attachments)
            # The clock is read again when its last reading is a second old.
            beside = ("SAVEPOINT", "RELEASE", "SELECT clock_timestamp()")
            return [one["sql"] for one in queries if not one["sql"].startswith(beside)]

        assert len(statements([BILL, BILL])) == len(statements([])) + 1
        assert not [sql for sql in statements([]) if "klaxon_attachedfile" in sql]


@pytest.mark.django_db
class TestOnce:
    def test_equal_files_are_the_same_content(self):
        users = [UserFactory()]
        first = send(users, [BILL], idempotency_key="7")
        again = send(users, [("bill.pdf", b"%PDF\x00\xff")], idempotency_key="7")
        assert (again.notification_id, again.duplicate) == (first.notification_id, True)
        assert len(stored(first)) == 1

    @pytest.mark.parametrize(
        "other", [[], [BILL, BILL], [("bill.pdf", b"other")], [("other.pdf", BILL.content)]], ids=repr
    )
    def test_other_files_are_a_conflict(self, other):
        users = [UserFactory()]
        send(users, [BILL], idempotency_key="7")
        with pytest.raises(IdempotencyConflict):
            send(users, other, idempotency_key="7")
        assert AttachedFile.objects.count() == 1

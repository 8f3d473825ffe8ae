"""The headers that mail programs and mailbox providers read."""

import copy
import pickle
import random
import re
from collections import Counter
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest

from notifications.attachments import Attachment
from notifications.channels.base import Rendered
from notifications.channels.email import EmailChannel
from notifications.channels.email_headers import UnfoldedHeader, build_headers
from notifications.channels.mime import render_mail
from notifications.channels.senders import Sender, encode_sender
from notifications.models import Cluster, Delivery, Notification

SMTP = "django.core.mail.backends.smtp.EmailBackend"
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
LONG_DOMAIN = f"{'mail-' * 11}.{'shop-' * 11}.example.com"
LONG_URL = f"https://shop.example.com/notifications/unsubscribe/{'x' * 300}/"
# RFC 5322, 3.2.3.
DOT_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)+"


def delivery(pk=7, epoch=0, event="order_shipped", cluster=3, **about):
    about.setdefault("correlation_id", "abc")
    notification = Notification(event=event, cluster=Cluster(pk=cluster), cluster_id=cluster, **about)
    return Delivery(pk=pk, epoch=epoch, notification=notification, channel="email", address="ann@example.com")


def headers_of(*, domain="example.com", url="", feedback_id="", **about):
    return build_headers(delivery(**about), domain, url, feedback_id)


def parse(content):
    return message_from_bytes(content, policy=policy.default)


class TestTheThread:
    def test_is_that_of_the_topic(self):
        first, second = headers_of(pk=1, topic="ward-7"), headers_of(pk=2, topic="ward-7", correlation_id="def")
        assert first["References"] == second["References"] != headers_of(topic="ward-8")["References"]

    def test_is_that_of_the_correlation_id_without_a_topic(self):
        first, second = headers_of(pk=1), headers_of(pk=2)
        assert first["References"] == second["References"] != headers_of(correlation_id="def")["References"]

    def test_does_not_join_clusters_or_a_topic_with_a_correlation_id_of_the_same_name(self):
        threads = [headers_of(topic="x"), headers_of(topic="x", cluster=4), headers_of(correlation_id="x")]
        assert len({headers["References"] for headers in threads}) == 3

    def test_does_not_show_the_topic(self):
        assert "diagnosis" not in str(headers_of(topic="diagnosis"))

    def test_is_not_the_id_of_an_email(self):
        headers = headers_of()
        assert headers["References"] != headers["Message-ID"]


class TestTheList:
    @pytest.mark.parametrize("event", ["order_shipped", "Order shipped!", "größe", "a.b", "<x>\r\n"])
    @pytest.mark.parametrize("domain", ["example.com", "[192.0.2.1]", LONG_DOMAIN])
    def test_has_a_valid_id(self, event, domain):
        list_id = headers_of(event=event, domain=domain)["List-Id"]
        assert re.fullmatch(f"<{DOT_ATOM}>", list_id, re.ASCII)
        assert len(list_id) <= 255 + len("<>")

    def test_is_an_event_in_a_cluster(self):
        assert headers_of()["List-Id"] == "<order_shipped.c3.example.com>"
        assert len({headers_of(**about)["List-Id"] for about in ({}, {"event": "other"}, {"cluster": 4})}) == 3

    def test_offers_one_click_over_https_only(self):
        headers = headers_of(url="https://example.com/u/t/")
        assert headers["List-Unsubscribe"] == "<https://example.com/u/t/>"
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert "List-Unsubscribe-Post" not in headers_of(url="http://example.com/u/t/")

    def test_has_no_link_if_there_is_nothing_to_turn_off(self):
        assert not {"List-Unsubscribe", "List-Unsubscribe-Post"} & set(headers_of())


class TestTheFeedbackId:
    def test_has_campaign_cluster_event_and_sender(self):
        assert headers_of(campaign="spring:2026 €", domain="example.com")["Feedback-ID"] == (
            "spring-2026-:c3:order_shipped:example-com"
        )
        assert headers_of()["Feedback-ID"] == "c3:order_shipped:example-com"

    def test_has_the_sender_that_the_channel_names(self):
        assert headers_of(feedback_id="big-shop")["Feedback-ID"].endswith(":big-shop")

    @pytest.mark.parametrize("domain", ["a.b", LONG_DOMAIN])
    def test_has_a_sender_of_5_to_15_characters(self, domain):
        assert re.fullmatch(r"[\w-]{5,15}", headers_of(domain=domain)["Feedback-ID"].split(":")[-1])


def test_automatic_replies_are_prevented_without_precedence():
    headers = headers_of()
    assert headers["Auto-Submitted"] == "auto-generated"
    assert "Precedence" not in headers


def test_the_id_differs_after_the_database_was_created_anew():
    first, second = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))
    assert headers_of(created_at=first)["Message-ID"] != headers_of(created_at=second)["Message-ID"]


class TestLongHeaders:
    @pytest.fixture(params=["written here", "left to Django", "by another backend"])
    def render(self, request):
        """Render an email in each of the ways in which it can be sent."""

        def render(message):
            if request.param == "left to Django":
                message.cc = ["bob@example.com"]
            if request.param == "by another backend":
                return message.message().as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            return render_mail(message)

        return render

    def test_are_never_encoded_or_broken(self, render):
        """Python's own policies would encode them, and mail programs would not find the link."""
        channel = EmailChannel(from_email=f"shop@{LONG_DOMAIN}", backend=LOCMEM)
        message = channel.prepare(delivery(), Rendered({"subject.txt": "Order", "txt": "On its way."}))
        message.extra_headers["List-Unsubscribe"] = UnfoldedHeader(f"<{LONG_URL}>", "List-Unsubscribe")
        head = render(message).partition(b"\r\n\r\n")[0].decode()
        unfolded = re.sub(r"\r\n +", "", head)
        for name, value in message.extra_headers.items():
            assert re.search(rf"^{name}: ?{re.escape(value)}\r?$", unfolded, re.MULTILINE), name
        assert "=?" not in head

    def test_survive_copies(self):
        header = UnfoldedHeader("<a@b>", "References")
        for copied in (copy.copy(header), copy.deepcopy(header), pickle.loads(pickle.dumps(header))):
            assert (copied, copied.name) == ("<a@b>", "References")


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n ", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "ü"])
def test_an_unfolded_header_cannot_contain_a_line_end(end):
    with pytest.raises(ValueError, match="List-Unsubscribe"):
        UnfoldedHeader(f"<x>{end}Bcc: b@example.com", "List-Unsubscribe")


THEMES = {
    "estate": {"from_email": "Estate <office@estate.example>"},
    "alarm": {"from_email": "Alarm <alarm@faß.de>", "reply_to": ["desk@faß.de"]},
    "broken": {"from_email": "a@example.com, b@example.com"},
}


def theme_of(cluster, event):
    return THEMES.get(event) or THEMES.get(cluster.slug, {})


class TestTheSender:
    @pytest.fixture(autouse=True)
    def _themes(self, settings):
        settings.NOTIFICATIONS = {"THEME_OF": f"{__name__}.theme_of"}

    def prepare(self, event="order_shipped", slug="default"):
        channel = EmailChannel(from_email="shop@example.com", reply_to=["help@example.com"], backend=LOCMEM)
        row = delivery(event=event)
        row.notification.cluster.slug = slug
        return channel.prepare(row, Rendered({"subject.txt": "Order", "txt": "On its way."}))

    def test_is_that_of_the_channel_by_default(self):
        message = self.prepare()
        assert (message.from_email, message.reply_to) == ("shop@example.com", ["help@example.com"])

    def test_is_that_of_the_cluster(self):
        message = self.prepare(slug="estate")
        assert (message.from_email, message.reply_to) == ("Estate <office@estate.example>", ["help@example.com"])
        assert message.extra_headers["Message-ID"].endswith("@estate.example>")
        assert message.extra_headers["List-Id"] == "<order_shipped.c3.estate.example>"

    def test_is_that_of_the_event(self):
        message = self.prepare("alarm", "estate")
        assert (message.from_email, message.reply_to) == ('"Alarm" <alarm@xn--fa-hia.de>', ["desk@xn--fa-hia.de"])

    def test_must_not_have_an_encoded_name(self):
        with pytest.raises(ValueError, match="Write the name as plain text"):
            encode_sender(Sender("Shop =?utf-8?q?x?= <shop@example.com>"))

    def test_must_be_valid(self):
        with pytest.raises(ValueError, match="The theme of the event 'broken' in .* has an invalid sender"):
            self.prepare("broken")


class TestForgedHeaders:
    PIECES = [
        "\r\n", "\n", "\r", "\0", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r\n ", "\n\t", "Bcc: eve@example.com",
        "\nSubject: forged", "=?utf-8?q?=0D=0ABcc:_eve=40example=2Ecom?=",
        "=?utf-8?b?DQpCY2M6IGV2ZUBleGFtcGxlLmNvbQ==?=",
        '"', "\\", "<", ">", ",", ";", ":", "(", ")", "@", "<eve@example.com>", ", eve@example.com", "Grüße", "你好",
        "א", "word", " ", "x" * 90, "🎉", "%0d%0a", "\u200f", "\ud83c",
    ]  # fmt: skip
    EXPECTED = frozenset([
        "From", "To", "Reply-To", "Subject", "Date", "Message-ID", "References", "Auto-Submitted", "List-Id",
        "Feedback-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
    ])  # fmt: skip

    def make_text(self, chance):
        return "".join(chance.choices(self.PIECES, k=chance.randint(1, 5)))

    def choose_sender(self, chance):
        try:
            name = self.make_text(chance)
            return encode_sender(Sender(f'"{name}" <shop@example.com>', [f'"{name}" <desk@example.com>']))
        except ValueError:
            return encode_sender(Sender("shop@example.com"))  # the name is refused

    @pytest.mark.slow
    def test_of_10000_fuzzed_emails_none_has_an_extra_header_or_recipient(self):
        chance, count = random.Random(8058), Counter()
        channel = EmailChannel(from_email="shop@example.com", backend=SMTP, backend_options={"host": "127.0.0.1"})
        # Django renders emails with attachments.
        while count["sent"] < 10_000:
            files = [Attachment("a.txt", b"x", "text/plain")] if chance.random() < 0.1 else []
            try:
                written = render_mail(self.prepare(channel, chance, files))
            except ValueError:
                count["refused"] += 1
                continue
            self.check(written)
            count["sent"] += 1
        assert count["refused"] > 1000

    def prepare(self, channel, chance, files):
        about = {name: self.make_text(chance) for name in ("event", "topic", "campaign", "correlation_id")}
        channel.sender = self.choose_sender(chance)
        channel.feedback_id = self.make_text(chance)
        subject = self.make_text(chance)
        if chance.random() < 0.9:
            subject = " ".join(subject.split())  # as the rendering of templates does
        parts = {"subject.txt": subject, "txt": "Text\n"}
        return channel.prepare(delivery(**about), Rendered(parts, attachments=files))

    def check(self, written):
        mail = parse(written)
        assert set(mail.keys()) <= self.EXPECTED, written
        assert len(mail.keys()) == len(set(mail.keys()))
        assert mail["To"], written
        assert [address.addr_spec for address in mail["To"].addresses] == ["ann@example.com"]
        assert [address.addr_spec for address in mail["From"].addresses] == ["shop@example.com"], written
        for address in mail["Reply-To"].addresses if mail["Reply-To"] else ():
            assert address.addr_spec == "desk@example.com"

"""Emails of the example apps and digests, as a mail server gets them: Python's parser finds no fault in them."""

import re
from email.utils import parsedate_to_datetime

import pytest

from tests.mail.examples import collect_mails, list_events

pytestmark = [pytest.mark.django_db, pytest.mark.one_database, pytest.mark.needs("aiosmtpd")]
REQUIRED = {"Message-ID", "References", "Date", "Auto-Submitted", "List-Id", "Feedback-ID", "From", "To", "Subject"}


@pytest.fixture
def mails():
    return collect_mails()


def test_every_mail_can_be_parsed_and_has_the_headers_and_both_bodies(mails):
    names = {mail.name for mail in mails}
    assert set(list_events()) | {"daily_digest", "weekly_digest"} <= names
    for mail in mails:
        assert [part.defects for part in mail.message.walk() if part.defects] == [], mail.name
        assert [value.defects for value in mail.message.values() if value.defects] == [], mail.name
        assert set(mail.message) >= REQUIRED, mail.name
        assert "Precedence" not in mail.message
        assert parsedate_to_datetime(mail.message["Date"])
        assert mail.message.get_content_type() == "multipart/alternative"
        assert max(map(len, mail.content.split(b"\r\n"))) <= 998
        assert mail.text.strip()
        assert re.search(r"<h1[^>]*>[^<]*\w", mail.html), mail.name
        assert "You get this because" in mail.html, mail.name
        assert "You get this because" in mail.text, mail.name
        assert len(mail.html.encode()) <= 102 * 1024
    ids = [mail.message["Message-ID"] for mail in mails]
    assert len(set(ids)) == len(ids)


def test_alike_items_of_a_digest_are_one_line_and_urgent_ones_are_listed_as_sent(mails):
    [digest] = [mail for mail in mails if mail.name == "daily_digest"]
    assert digest.text.count("× 3") == 1
    assert "Urgent, already sent to you" in digest.text
    assert "You get this because you have chosen a daily digest." in digest.text

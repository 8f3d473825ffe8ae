"""Klaxon's SMTP backend renders the same mails as Django, but faster."""

import re
from email import message_from_bytes, policy
from email.errors import HeaderParseError

import django
import pytest
from django.core.mail import EmailAlternative, EmailMultiAlternatives
from django.utils.translation import gettext_lazy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notifications.channels.mime import (
    RelatedMail,
    is_simple,
    keep_subject_literal,
    make_subject_foldable,
    render_mail,
    render_with_django,
)

LONG = "Grüße " * 300
HTML = "<p>Grüße</p>\n"
# The characters of a rendered template. NUL and lone surrogates cannot be stored.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=2000)
SUBJECTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=200)
NAMES = st.text(st.characters(categories=["Lu", "Ll", "Lo", "Nd"]), min_size=1, max_size=60)


def mail(subject="Order 7", text="It is on its way.\n", html="", sender="Shop <shop@example.com>", **changes):
    headers = {"Message-ID": "<1@example.com>", "Auto-Submitted": "auto-generated"}
    message = EmailMultiAlternatives(subject, text, sender, ["ann@example.com"], headers=headers)
    if html:
        message.attach_alternative(html, "text/html")
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def parse(written):
    return message_from_bytes(written, policy=policy.default)


def meaning(written):
    """Return the contents that a mail client sees. (Django writes a space before a long subject.)"""
    whole = parse(written)
    headers = {name: str(value).strip() for name, value in whole.items() if not name.startswith("Content-")}
    assert headers.pop("Date")
    headers.pop("MIME-Version")
    texts = [part for part in whole.walk() if not part.is_multipart()]
    return headers, [(part.get_content_type(), part.get_content_charset(), add_line_end(part)) for part in texts]


def add_line_end(part):
    """Django 6.0 adds a missing end to the last line."""
    text = part.get_content()
    return text if django.VERSION < (6, 0) or text.endswith("\r\n") else f"{text}\r\n"


def assert_same_meaning(message):
    written = render_mail(message)
    assert is_simple(message)
    assert meaning(written) == meaning(render_with_django(keep_subject_literal(message)))
    assert_valid_for_smtp(render_with_django(make_subject_foldable(message)))
    assert_valid_for_smtp(written)


@pytest.mark.parametrize("change", [{}, {"cc": ["bob@example.com"]}], ids=["written here", "left to Django"])
def test_a_word_that_fills_a_line_is_folded(change):
    subject = f"Order {'x' * 2000} of {'y' * 1000}"
    written = render_mail(mail(subject=subject, **change))
    assert_valid_for_smtp(written)
    assert parse(written)["Subject"] == subject


@pytest.mark.parametrize(
    "subject",
    [
        "=?utf-8?q?=0d=0aBcc:_a@b?= hi",
        "Re: =?utf-8?b?SGk=?= " * 20,
        "Grüße =?utf-8?q?x?=",
        f"=?utf-8?q?x?= {'y' * 2000}",
        "y" * 2000,
    ],
)
@pytest.mark.parametrize("make", [EmailMultiAlternatives, RelatedMail], ids=["plain", "with images"])
def test_a_subject_that_looks_encoded_is_read_as_it_was_written(make, subject):
    """Nobody wrote the text that a reader would decode."""
    message = make(subject, "x", "shop@example.com", ["ann@example.com"], headers={"Message-ID": "<1@example.com>"})
    message.attach_alternative("<p>x</p>", "text/html")
    prepared = make_subject_foldable(keep_subject_literal(message))
    for written in (render_mail(message), render_mail(prepared), render_with_django(prepared)):
        assert str(parse(written)["Subject"]).strip() == subject.strip()
        assert parse(written)["Bcc"] is None
        assert_valid_for_smtp(written)


@pytest.mark.parametrize("change", [{}, {"cc": ["bob@example.com"]}], ids=["written here", "left to Django"])
def test_an_international_address_is_not_encoded(change):
    """RFC 6532."""
    message = mail(sender="Büro <büro@faß.de>", to=["jürgen@example.com"], reply_to=["desk@example.com"], **change)
    head = render_mail(message).partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert {'From: "Büro" <büro@xn--fa-hia.de>', "To: jürgen@example.com", "Reply-To: desk@example.com"} <= set(head)
    assert not any("address.invalid" in line for line in head)


def assert_valid_for_smtp(written):
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", written), "a bare line end"
    assert max(len(line) for line in written.split(b"\r\n")) <= 998
    head = written.partition(b"\r\n\r\n")[0]
    assert head.isascii()
    assert parse(written).defects == []


@settings(deadline=None)
@given(TEXTS.filter(bool), TEXTS)
@example("a\rb\r\nc\n\n", "<p>\r</p>")
@example("x" * 998, "x" * 999)
@example(LONG + "\n" + LONG, LONG)
@example(".\n..\nFrom here\n--\n", "=3D =\n")
@example("space \ntab\t\n" + LONG + " \n\t\n", " ")
def test_every_text_and_html(text, html):
    assert_same_meaning(mail(text=text, html=html))


@settings(deadline=None)
@given(SUBJECTS)
@example("x" * 300)
@example("word " * 60)
@example("Grüße " * 30)
@example("=?utf-8?q?forged?=")
@example("12,50\xa0€, 1\u202f000 Stück")
@example(" around ")
@example("x" * 898)
@example("x" * 901)
@example("Order " + "x" * 3000 + " of you")
@example("Grüße " + "x" * 3000)
def test_every_subject(subject):
    assert_same_meaning(mail(subject=subject))


@settings(deadline=None)
@given(NAMES)
@example("Bücher Söhne")
@example("x" * 100)
def test_every_senders_name(name):
    message = mail(sender=f"{name} <shop@example.com>")
    if django.VERSION < (6, 0):
        assert_same_meaning(message)
    # Python inserts a space into some folded names when it parses them, and when Django 6.0 renders them.
    assert parse(render_mail(message))["From"].addresses[0].display_name.replace(" ", "") == name.replace(" ", "")


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": '"Bücher, Söhne & Co." <shop@example.com>'},
        {"sender": "shop@bücher.example"},
        {"to": ["ann@bücher.example"]},
        {"to": ['"a b"@example.com']},
        {"to": ["Ann Ä <ann@example.com>", "bob@example.com"]},
        {"to": [f"{number}{'x' * 50}@example.com" for number in range(5)]},
        {"reply_to": ["desk@example.com", "Büro <office@example.com>"]},
        {"bcc": ["secret@example.com"]},
        {"extra_headers": {"Message-ID": f"<{'x' * 200}@example.com>", "List-Unsubscribe": f"<https://x/{'y' * 100}>"}},
        {"extra_headers": {"Message-ID": "<1@example.com>", "X-Words": "Grüße"}},
        {"subject": gettext_lazy("Order")},
    ],
    ids=str,
)
def test_every_header(changes):
    assert_same_meaning(mail(**changes))


def make_mail_with_attachment():
    message = mail()
    message.attach("bill.pdf", b"%PDF", "application/pdf")
    return message


class OwnMail(EmailMultiAlternatives):
    """A custom mail class of a site."""


def make_custom_mail():
    message = OwnMail("Order 7", "It is on its way.", "shop@example.com", ["ann@example.com"])
    message.extra_headers["Message-ID"] = "<1@example.com>"
    return message


@pytest.mark.parametrize(
    "message",
    [
        make_mail_with_attachment(),
        make_custom_mail(),
        mail(cc=["bob@example.com"]),
        mail(encoding="iso-8859-1", text="Grüße"),
        mail(content_subtype="html"),
        mail(text="", html=HTML),
        mail(alternatives=[EmailAlternative("BEGIN:VCALENDAR", "text/calendar")]),
        mail(extra_headers={"From": "other@example.com", "Message-ID": "<1@example.com>"}),
        mail(extra_headers={}),
        # Django 6.0 refuses a second subject.
        *(
            [mail(extra_headers={"subject": "other", "Message-ID": "<1@example.com>"})]
            if django.VERSION < (6, 0)
            else []
        ),
    ],
    ids=lambda message: type(message).__name__,
)
def test_other_mails_are_rendered_by_django(message):
    assert not is_simple(message)
    ours, theirs = parse(render_mail(message)), parse(render_with_django(message))
    assert [part.get_content_type() for part in ours.walk()] == [part.get_content_type() for part in theirs.walk()]
    assert ours["Message-ID"]
    assert (ours["From"], ours["Subject"], ours["Cc"]) == (theirs["From"], theirs["Subject"], theirs["Cc"])


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("field", ["subject", "from_email", "to", "reply_to", "extra_headers"])
def test_no_header_can_be_forged(field, end):
    forged = f"shop@example.com{end}Bcc: eve@example.com"
    value = [forged] if field in ("to", "reply_to") else {"X": forged} if field == "extra_headers" else forged
    with pytest.raises(ValueError):
        render_mail(mail(**{field: value}))


@settings(deadline=None)
@given(st.characters(categories=["Cc", "Zl", "Zp"]))
@example("\x85")
@example("\u2028")
def test_no_header_can_be_forged_by_other_line_separators(letter):
    forged = f"Order{letter}Bcc: eve@example.com"
    try:
        written = render_mail(mail(subject=forged))
    except (ValueError, HeaderParseError):
        return
    assert parse(written)["Bcc"] is None

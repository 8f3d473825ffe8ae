"""Images that the HTML of an email shows: attachments that it refers to by name."""

from email import message_from_bytes, policy

import pytest

from notifications.attachments import Attachment
from notifications.channels.mime import make_mail, render_mail

PIXEL = Attachment("chart 1.png", b"\x89PNG\r\n\x1a\n\x00\xff", "image/png")
FILE = Attachment("terms.pdf", b"%PDF-1.7", "application/pdf")


def parse(html, *attachments):
    fields = {"subject": "Chart", "body": "Text", "from_email": "shop@example.com", "to": ["ann@example.com"]}
    mail = make_mail(html, attachments, "example.com", **fields)
    return message_from_bytes(render_mail(mail), policy=policy.default)


def test_an_image_that_the_html_names_is_part_of_it():
    parsed = parse('<img src="cid:chart%201.png" alt="Chart">', PIXEL)
    assert parsed.get_content_type() == "multipart/related"
    assert parsed.get_param("type") == "multipart/alternative"
    [image] = [part for part in parsed.walk() if part.get_content_type() == "image/png"]
    assert image.get_content_disposition() == "inline"
    assert image.get_content() == PIXEL.content
    html = parsed.get_body(("html",)).get_content()
    assert f'src="cid:{image["Content-ID"][1:-1]}"' in html
    assert image["Content-ID"].endswith("@example.com>")


def test_other_files_stay_attachments():
    parsed = parse('<img src="cid:chart%201.png" alt="Chart">', PIXEL, FILE)
    assert parsed.get_content_type() == "multipart/mixed"
    dispositions = {
        part.get_filename(): part.get_content_disposition() for part in parsed.walk() if part.get_filename()
    }
    assert dispositions == {"chart 1.png": "inline", "terms.pdf": "attachment"}


@pytest.mark.parametrize("html", ["", "<p>x</p>", '<img src="cid:other.png" alt="">'])
def test_files_that_the_html_does_not_name_are_attachments(html):
    parsed = parse(html, PIXEL)
    [image] = [part for part in parsed.walk() if part.get_content_type() == "image/png"]
    assert (image.get_content_disposition(), image["Content-ID"]) == ("attachment", None)
    assert not html or html in parsed.get_body(("html",)).get_content()

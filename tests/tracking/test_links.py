"""Tracked mails: which links lead over the site, and what the mail and its links contain."""

import re
from unittest.mock import Mock

import pytest
from django.core import mail
from django.db import DataError

from notifications.core.tokens import read_token
from notifications.events import NotificationPriority
from notifications.models import Delivery, TrackedLink
from notifications.recipients import Address
from notifications.tracking.links import LinkFinder, add_image, find_links
from tests.factories import UserFactory
from tests.mailers import use_backend
from tests.tracking.tracked import send, template_directory, tracked_newsletter

pytestmark = pytest.mark.django_db
CLICK = re.compile(r"https://shop\.example\.com/notifications/t/c/([\w-]+)")
OPEN = re.compile(r'<img src="https://shop\.example\.com/notifications/t/o/([\w-]+)"')


@pytest.fixture
def tracked():
    with tracked_newsletter():
        yield


def get_html(message=None):
    return str((message or mail.outbox[-1]).alternatives[0][0])


def test_links_lead_over_the_site_and_an_image_shows_opens(tracked):
    [delivery] = send()
    text = get_html()
    urls = dict(TrackedLink.objects.values_list("pk", "url"))
    numbers = [read_token("click", token, 2) for token in CLICK.findall(text)]
    assert [(pk, urls[link]) for pk, link in numbers] == [
        (delivery.pk, "https://shop.example.com/sale?a=1&b=2#top"),
        (delivery.pk, "https://shop.example.com/news"),
        (delivery.pk, "https://shop.example.com/news"),
    ]
    assert read_token("open", OPEN.search(text)[1], 1) == (delivery.pk,)
    assert text.index("<img") < text.index("</body>")


def test_all_other_links_and_all_other_html_stay(tracked):
    send()
    text = get_html()
    for kept in ('"mailto:help@example.com"', '"#top"', '"https://shop.example.com/own"', "hidden</a> -->"):
        assert kept in text
    assert 'href="https://shop.example.com/unsubscribe"' in text
    assert '<a class="button" HREF="' in text


def test_a_mail_names_nobody(tracked):
    send(Address(email="secret.person@example.com"))
    text = get_html()
    assert "secret" not in text
    assert len(CLICK.search(text)[1]) == 43


def test_nothing_changes_unless_the_event_opts_in():
    send()
    assert "/t/" not in get_html()
    with tracked_newsletter(track_opens=False, track_clicks=False):
        send()
    assert "/t/" not in get_html()


def test_an_event_can_track_opens_only():
    with tracked_newsletter(track_clicks=False):
        send()
    assert (len(CLICK.findall(get_html())), len(OPEN.findall(get_html()))) == (0, 1)
    assert not TrackedLink.objects.exists()


def test_tracked_links_can_have_a_domain_of_their_own(settings, tracked):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "TRACKING_URL": "https://t.example.com/"}
    send()
    assert "https://t.example.com/notifications/t/c/" in get_html()


def test_a_group_takes_as_many_queries_as_one_mail(tracked, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def count(number):
        with CaptureQueriesContext(connection) as queries:
            send(*UserFactory.create_batch(number))
        return len([query for query in queries if "klaxon_trackedlink" in query["sql"]])

    assert (count(1), count(1), count(10)) == (3, 1, 1)


def test_a_mail_of_which_the_links_cannot_be_tracked_is_still_sent(tracked, settings, caplog):
    settings.ROOT_URLCONF = "tests.tracking.no_urls"
    [delivery] = send()
    delivery.refresh_from_db()
    assert delivery.state == "sent"
    assert "without tracking" in caplog.text


@pytest.mark.needs("anymail")
def test_a_service_that_tracks_mails_is_asked_to(tracked, settings):
    use_backend(settings, "anymail.backends.test.EmailBackend")
    [delivery] = send()
    assert Delivery.objects.get().state == "sent"
    [sent] = mail.outbox
    assert (sent.track_opens, sent.track_clicks) == (True, True)
    assert "/t/" not in get_html(sent)


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ('<a href="https://example.com/?a=1&amp;b=%20">x</a>', ["https://example.com/?a=1&b=%20"]),
        (
            "<a\n href = 'http://example.com/'\n>x</a>\n<A HREF=https://example.org>y</A>",
            ["http://example.com/", "https://example.org"],
        ),
        ('<a data-href="https://example.com/">x</a>', []),
        ('<a title="href=" href="javascript:alert(1)">x</a><area href="https://example.com/">', []),
        ("<a href>x</a><a href=''>y</a><a", []),
        ('<a title="href=https://example.com/" href="https://example.com/">x</a>', ["https://example.com/"]),
        ('<a href="https://example.com/" href="https://example.org/">x</a>', ["https://example.com/"]),
        ('<a href="https://example.com/?currency=EUR&copy=2">x</a>', ["https://example.com/?currency=EUR&copy=2"]),
        ('<a href=" https://exam\nple.com/ ">x</a>', ["https://example.com/"]),
        ('<a href="https://[example.com/">no address</a>', []),
        (f'<a href="https://example.com/{"x" * 20_000}">too long for a redirect</a>', []),
        ('<script>"<a href=\\"https://example.com/\\">"</script>', []),
        ('ä€😀\r\n<p>\r\n<a href="https://example.com/ä">x</a>', ["https://example.com/ä"]),
    ],
)
def test_links_are_found_where_mail_programs_find_them(text, urls):
    links = LinkFinder(text).links
    assert [link.url for link in links] == urls
    for link in links:
        assert text[link.start : link.end].strip("\"' ").startswith("http")


def test_the_image_comes_last_without_a_body():
    assert add_image("<p>x</p>", "https://example.com/o").startswith("<p>x</p><img ")


def test_the_link_that_unsubscribes_is_not_stored(tracked):
    """Its token would let everybody who can read the table unsubscribe the recipient."""
    send()
    unsubscribe = mail.outbox[-1].extra_headers["List-Unsubscribe"].strip("<>")
    text = f'<a href="{unsubscribe}">Unsubscribe</a> <a href="https://example.com/">x</a>'
    assert [link.url for link in find_links(text)] == ["https://example.com/"]


@pytest.mark.parametrize("options", [{"mandatory": True}, {"priority": NotificationPriority.CRITICAL}])
def test_the_link_of_an_event_that_cannot_be_turned_off_is_not_stored_either(options, tmp_path):
    """It leads to the preference centre, whose address has the same token."""
    folder = tmp_path / "notifications" / "shop_newsletter"
    folder.mkdir(parents=True)
    (folder / "email.html").write_text('<a href="{{ layout.footer.preferences_url }}?a=1">x</a>')
    with tracked_newsletter(**options), template_directory(tmp_path):
        send()
    assert "/notifications/preferences/link/" in get_html()
    assert "List-Unsubscribe" not in mail.outbox[-1].extra_headers
    assert not TrackedLink.objects.exists()


@pytest.mark.parametrize("error", [DataError("NUL"), KeyError("x")])
def test_an_error_that_would_occur_again_does_not_stop_the_mail(error, tracked, monkeypatch, caplog):
    monkeypatch.setattr(type(TrackedLink.objects.all()), "store", Mock(side_effect=error))
    [delivery] = send()
    delivery.refresh_from_db()
    assert delivery.state == "sent"
    assert "without tracking" in caplog.text

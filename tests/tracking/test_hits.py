"""Opens and clicks: those of people and those of machines, redirects, and forged links."""

import random
import re
from datetime import timedelta

import pytest
from django.core import mail
from django.db import OperationalError
from django.http import Http404
from django.test import Client, RequestFactory

from notifications.core import clock
from notifications.core.tokens import make_token, read_token
from notifications.models import Delivery, NotificationLog, TrackedLink, TrackingEvent, TrackingFigure
from notifications.tracking import hits, views
from notifications.tracking.views import follow_link, show_image
from tests.tracking.tracked import send, tracked_newsletter

pytestmark = pytest.mark.django_db
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
TOKEN = re.compile(r"/notifications/t/[oc]/[\w-]+")


@pytest.fixture(autouse=True)
def _tracked():
    with tracked_newsletter():
        yield


@pytest.fixture
def paths(db):
    """The paths of a mail that was sent: two links and the image."""
    send()
    sale, news, _again, image = TOKEN.findall(str(mail.outbox[-1].alternatives[0][0]))
    return sale, news, image


def get(path, agent=BROWSER, method="get", **headers):
    return getattr(Client(), method)(path, headers={"User-Agent": agent, **headers})


def events():
    return list(TrackingEvent.objects.order_by("pk").values_list("kind", "machine_sign"))


def figures():
    return dict(TrackingFigure.objects.filter(count__gt=0).values_list("metric", "count"))


def pause():
    """Let more than a second pass since all hits."""
    TrackingEvent.objects.update(happened_at=clock.now() - timedelta(seconds=2))


def test_a_click_leads_to_the_stored_url(paths):
    answer = get(paths[0])
    assert (answer.status_code, answer["Location"]) == (302, "https://shop.example.com/sale?a=1&b=2#top")
    assert (answer["Cache-Control"], answer["Referrer-Policy"]) == ("no-store, private", "no-referrer")
    assert not answer.cookies
    assert events() == [("clicked", "")]
    assert TrackingEvent.objects.get().link.url == answer["Location"]


def test_an_open_returns_an_image(paths):
    answer = get(paths[2])
    assert (answer.status_code, answer["Content-Type"], answer.content[:6]) == (200, "image/gif", b"GIF89a")
    assert not answer.cookies
    assert events() == [("opened", "")]


def test_behavior_is_not_copied_into_the_log(paths):
    for path in paths:
        get(path)
    assert not NotificationLog.objects.filter(kind="provider_event").exists()


def test_each_delivery_counts_once(paths):
    for _ in range(3):
        get(paths[2])
        get(paths[0])
    assert len(events()) == 6
    assert figures() == {"sent": 1, "opened": 1, "clicked": 1}


@pytest.mark.parametrize(
    ("agent", "headers", "sign"),
    [
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", {}, "google"),
        ("YahooMailProxy; https://help.yahoo.com/", {}, "yahoo"),
        ("Mozilla/5.0", {}, "apple"),
        (BROWSER, {"Sec-Purpose": "prefetch;prerender"}, "prefetch"),
        (BROWSER, {"Purpose": "prefetch"}, "prefetch"),
        (BROWSER, {"X-Moz": "prefetch"}, "prefetch"),
        (BROWSER, {"X-Purpose": "preview"}, "prefetch"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1)", {}, "robot"),
        ("curl/8.5.0", {}, "robot"),
        ("", {}, "no user agent"),
    ],
)
@pytest.mark.parametrize("index", [0, 2])
def test_machines_are_recorded_and_counted_apart(agent, headers, sign, index, paths):
    assert get(paths[index], agent, **headers).status_code in (200, 302)
    assert [event[1] for event in events()] == [sign]
    assert set(figures()) == {"sent", "machine_opened" if index == 2 else "machine_clicked"}


def test_a_head_request_is_a_machine(paths):
    assert get(paths[0], method="head").status_code == 302
    assert get(paths[2], method="head").status_code == 200
    assert [sign for _kind, sign in events()] == ["head", "head"]


def test_a_machine_does_not_hide_the_person_after_it(paths):
    get(paths[0], "curl/8")
    pause()
    get(paths[0])
    assert figures() == {"sent": 1, "machine_clicked": 1, "clicked": 1}


def test_different_links_within_a_second_are_a_scanner(paths):
    get(paths[0])
    assert figures() == {"sent": 1, "clicked": 1}
    get(paths[1])
    assert events() == [("clicked", "burst"), ("clicked", "burst")]
    assert figures() == {"sent": 1, "machine_clicked": 1}


def test_the_same_link_within_a_second_is_an_impatient_person(paths):
    for _ in range(3):
        get(paths[0])
    assert figures() == {"sent": 1, "clicked": 1}


def test_a_person_who_follows_two_links_slowly_is_no_machine(paths):
    get(paths[0])
    pause()
    get(paths[1])
    assert [sign for _kind, sign in events()] == ["", ""]


def test_a_person_counts_even_after_a_scanner(paths):
    get(paths[0])
    get(paths[1])
    pause()
    get(paths[0])
    assert figures() == {"sent": 1, "machine_clicked": 1, "clicked": 1}


def test_mutated_tokens_are_never_accepted(paths):
    """10,000 mutations of the links of a mail: none is accepted, and none leads anywhere."""
    chance, alphabet = random.Random(8), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="
    tokens = [path.rsplit("/", 1)[1] for path in paths]
    accepted, request = 0, RequestFactory().get("/")
    for number in range(10_000):
        token = list(tokens[number % 3])
        change = chance.randrange(4)
        at = chance.randrange(len(token))
        if change == 0:
            token[at] = chance.choice(alphabet.replace(token[at], ""))
        elif change == 1:
            token.insert(at, chance.choice(alphabet))
        elif change == 2:
            del token[at]
        else:
            token[at], token[at - 1] = token[at - 1], token[at]
        text = "".join(token)
        if text not in tokens:
            accepted += any(read_token(purpose, text, count) for purpose in ("open", "click") for count in (1, 2))
            show_image(request, text)
            with pytest.raises(Http404):
                follow_link(request, text)
    assert accepted == 0
    assert events() == []
    assert read_token("click", tokens[2], 1) is None
    assert read_token("open", tokens[0], 2) is None


def test_the_last_character_of_a_token_has_no_free_bits(paths):
    token = paths[0].rsplit("/", 1)[1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    valid = [last for last in alphabet if read_token("click", token[:-1] + last, 2)]
    assert valid == [token[-1]]


@pytest.mark.parametrize(
    "attack", ["?next=https://evil.example/", "%2F..%2F..%2Fhttps:%2F%2Fevil.example", "=", "?url=//evil.example"]
)
def test_nothing_in_the_request_decides_where_a_link_leads(attack, paths):
    answer = get(paths[0] + attack)
    assert answer.status_code == 404 or answer["Location"] == "https://shop.example.com/sale?a=1&b=2#top"


def test_invalid_links_lead_nowhere_and_record_nothing(paths):
    for token in ("", "x", "A" * 43, make_token("click", 1, 999_999), make_token("open", 1, 1)):
        assert get(f"/notifications/t/c/{token}").status_code == 404
        assert get(f"/notifications/t/o/{token}").status_code in (200, 404)
    assert events() == []


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_only_get_and_head_are_allowed(method, paths):
    assert get(paths[0], method=method).status_code == 405


def test_an_old_key_still_verifies(paths, settings):
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    assert get(paths[0]).status_code == 302
    settings.SECRET_KEY_FALLBACKS = []
    assert get(paths[0]).status_code == 404


def test_an_old_mail_leads_to_its_page_after_its_delivery_was_deleted(paths):
    Delivery.objects.all().delete()
    assert get(paths[0]).status_code == 302
    assert get(paths[2]).status_code == 200
    assert events() == []


def test_a_reader_gets_to_the_page_even_if_nothing_can_be_recorded(paths, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise OperationalError("the database is read-only")

    monkeypatch.setattr(views, "record_hit", fail)
    assert get(paths[0])["Location"].startswith("https://shop.example.com/sale")
    assert "cannot be recorded" in caplog.text


def test_an_event_that_no_longer_tracks_records_nothing(paths):
    with tracked_newsletter(track_opens=False, track_clicks=False):
        assert get(paths[0]).status_code == 302
        get(paths[2])
    assert events() == []


def test_urls_are_stored_once():
    send()
    send()
    assert TrackedLink.objects.count() == 2


def test_a_flood_of_hits_does_not_fill_the_table(paths, monkeypatch):
    monkeypatch.setattr(hits, "MAX_HITS", 3)
    for _ in range(5):
        get(paths[2])
        get(paths[2], "curl/8")
    assert events() == [("opened", ""), ("opened", "robot")] * 3
    assert figures() == {"sent": 1, "opened": 1, "machine_opened": 1}

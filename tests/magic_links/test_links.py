"""A link shows one page once. Whatever is wrong with it, the answer is the same."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from notifications.core import clock
from notifications.delivering.workers.periodic_tasks import PERIODIC_TASKS
from notifications.magic_links import pages, send_magic_link
from notifications.manager import NotificationManager
from notifications.models import MagicLink, Mute, Notification
from notifications.testing import travelling
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.magic_links.conftest import get_link, press, read_form, read_mail
from tests.shop.notification_events import ShopEvents

pytestmark = [pytest.mark.needs("cryptography"), pytest.mark.django_db]
OPEN = "/notifications/links/open/"
LOST = "This link is not valid"


@pytest.fixture
def cluster(reader):
    return ClusterFactory(name="Lab", members=[reader])


@pytest.fixture
def path(magic, reader, cluster):
    send_magic_link(reader, "notification_status", cluster)
    return read_mail()


def post(link, client=None):
    """Send a link as the form does, whether or not there is such a link."""
    client = client or Client(enforce_csrf_checks=True)
    form = read_form(client.get(f"/notifications/links/{link}/"))
    return client.post(OPEN, form)


def test_a_link_shows_what_was_sent_once(path, reader, cluster):
    order = {"order_number": "1017", "eta": None}
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, reader, cluster, order, channels=["email"])
    browser = Client(enforce_csrf_checks=True)
    response = press(browser, path)
    assert response.status_code == 200
    text = response.content.decode()
    for words in ("What was sent to me", "Order shipped", "Email", "Waiting", "Lab"):
        assert words in text
    assert "1017" not in text
    assert "example.com" not in text
    again = press(browser, path)
    assert (again.status_code, LOST in again.content.decode()) == (404, True)


def test_a_link_shows_the_settings_and_changes_nothing(magic, reader, cluster):
    UserSettingsFactory(
        user=reader,
        cluster=cluster,
        events={"order_shipped": {"email": False}},
        delivery_windows={"email": [["08:00", "12:00", ["mon", "tue"]]]},
        digest="daily",
        time_zone="Europe/Berlin",
        addresses={"email": "private@example.org"},
    )
    Mute(user=reader, cluster=cluster, kind="topic", value="week", until=None).save()
    send_magic_link(reader, "settings_view", cluster)
    text = press(Client(), read_mail()).content.decode()
    for words in ("My settings", "Order shipped", "Off", "Mon, Tue 08:00–12:00", "Europe/Berlin", "p***@example.org"):
        assert words in text
    assert "private@" not in text
    assert "<form" not in text
    assert "<input" not in text


def test_the_headers_of_every_page_keep_the_link_to_itself(path):
    client = Client()
    for response in (client.get(path), client.head(path), press(client, path), press(client, path)):
        assert response["Referrer-Policy"] == "no-referrer"
        assert "no-store" in response["Cache-Control"]
        assert response["X-Robots-Tag"] == "noindex, nofollow"
        assert response["X-Frame-Options"] == "DENY"


def test_the_address_of_the_content_does_not_contain_the_link(path):
    client = Client()
    assert reverse("notifications:open-link") == OPEN
    assert get_link(path) not in press(client, path).content.decode()


@pytest.mark.parametrize("method", ["get", "head", "options", "put", "patch", "delete", "post"])
def test_no_request_to_the_link_itself_uses_it_up(path, method):
    """Mail scanners and browsers that load pages in advance send any of them."""
    client = Client(enforce_csrf_checks=True)
    for _ in range(20):
        assert getattr(client, method)(path, HTTP_SEC_PURPOSE="prefetch").status_code == 200
    assert MagicLink.objects.get().used_at is None
    assert press(Client(), path).status_code == 200


def test_the_page_of_a_link_makes_no_query(path, django_assert_num_queries):
    with django_assert_num_queries(0):
        good, bad = Client().get(path), Client().get("/notifications/links/settings_view/1/wrong/")
    hide = {"link": "", "seal": ""}
    for response in (good, bad):
        for value in read_form(response).values():
            hide[value] = ""
    assert mask(good, hide) == mask(bad, hide)


def mask(response, hidden):
    text = response.content.decode()
    for value in filter(None, hidden):
        text = text.replace(value, "")
    return text


def test_wrong_expired_used_and_foreign_look_exactly_the_same(magic, reader, cluster):
    def make(purpose="notification_status", user=reader):
        send_magic_link(user, purpose, cluster)
        return get_link(read_mail())

    good = make()
    _purpose, key, token = good.split("/")
    used = make()
    assert post(used).status_code == 200
    other = ClusterFactory(members=[reader])
    with travelling(clock.now() - timedelta(minutes=16)):
        expired = make()
    links = {
        "wrong": good[:-1] + ("A" if good[-1] != "A" else "B"),
        "expired": expired,
        "used": used,
        "other purpose": f"settings_view/{key}/{token}",
        "unknown purpose": f"admin/{key}/{token}",
        "other cluster": f"notification_status/{other.pk}/{token}",
        "no cluster": f"notification_status/x/{token}",
        "token alone": token,
        "hash": MagicLink.objects.latest("pk").link_hash,
        "empty": " ",
        "long": "a" * 5000,
        "strange": "notification_status/1/\u0000😀é",
    }
    answers = set()
    for link in links.values():
        client = Client()
        form = {**read_form(client.get("/notifications/links/x/")), "link": link}
        with CaptureQueriesContext(connection) as queries:
            response = client.post(OPEN, form)
        # The time of the server on PostgreSQL, a savepoint, one UPDATE, and the end of the savepoint.
        assert len(queries) <= 4
        headers = {name: value for name, value in response.items() if name not in ("Expires", "Last-Modified")}
        answers.add((response.status_code, response.content, str(headers), len(queries)))
    assert len(answers) == 1
    assert LOST.encode() in answers.pop()[1]
    assert post(good).status_code == 200


def test_a_link_of_another_user_shows_the_page_of_its_own_user_to_nobody_twice(magic, reader, cluster):
    """Who is signed in does not matter: the link is the permit, and it is used up."""
    other = UserFactory()
    send_magic_link(reader, "notification_status", cluster)
    path, client = read_mail(), Client()
    client.force_login(other)
    assert press(client, path).status_code == 200
    client.force_login(reader)
    assert press(client, path).status_code == 404


def leave(reader, cluster, settings):
    cluster.members.remove(reader)


def deactivate(reader, cluster, settings):
    reader.is_active = False
    reader.save()


def delete_user(reader, cluster, settings):
    reader.delete()


def delete_cluster(reader, cluster, settings):
    Notification.objects.all().delete()
    cluster.delete()


def close_cluster(reader, cluster, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "MEMBERS_OF": f"{__name__}.members_of_closed_cluster"}


def members_of_closed_cluster(cluster):
    return cluster.members.none()


def switch_off(reader, cluster, settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "MAGIC_LINKS": False}


@pytest.mark.parametrize("change", [leave, deactivate, delete_user, delete_cluster, close_cluster, switch_off])
def test_a_link_ends_with_the_membership(path, reader, cluster, settings, change):
    change(reader, cluster, settings)
    response = press(Client(), path)
    assert (response.status_code, LOST in response.content.decode()) == (404, True)


def test_a_form_of_another_site_does_not_use_the_link_up(path):
    link = get_link(path)
    for form in ({"link": link}, {"link": link, "seal": ""}, {"link": link, "seal": "guessed"}):
        assert Client(enforce_csrf_checks=True).post(OPEN, form).status_code == 403
    seen = Client()
    seen.get(path)
    refused = seen.post(OPEN, {"link": link, "seal": "guessed"})
    assert refused.status_code == 403
    assert "must accept the cookie" in refused.content.decode()
    assert seen.post(OPEN, read_form(refused)).status_code == 200


def test_a_browser_without_a_referrer_is_accepted(path):
    """From a page with ``no-referrer``, browsers send ``Origin: null``, which Django refuses."""
    client = Client(enforce_csrf_checks=True)
    form = read_form(client.get(path, secure=True))
    assert client.post(OPEN, form, secure=True, HTTP_ORIGIN="null").status_code == 200


def test_the_cookie_is_the_browsers_own_and_only_for_these_pages(path):
    client = Client()
    client.get(path, secure=True)
    cookie = client.cookies["klaxon_link"]
    assert (cookie["httponly"], cookie["secure"], cookie["samesite"]) == (True, True, "Lax")
    assert cookie["path"] == "/notifications/links/"


def test_of_two_tabs_one_gets_the_page(path):
    browser = Client()
    first, second = read_form(browser.get(path)), read_form(browser.get(path))
    assert [browser.post(OPEN, form).status_code for form in (second, first)] == [200, 404]


def test_the_address_of_the_content_leads_to_the_page_for_a_new_link(path):
    assert Client().get(OPEN)["Location"] == "/notifications/links/"


def test_a_link_stays_valid_if_its_page_cannot_be_rendered(path, monkeypatch):
    def fail(user, cluster):
        raise ValueError("broken")

    page = pages.PAGES[MagicLink.Purpose.NOTIFICATION_STATUS]
    broken = pages.LinkPage(page.template, fail)
    with monkeypatch.context() as patch:
        patch.setitem(pages.PAGES, MagicLink.Purpose.NOTIFICATION_STATUS, broken)
        assert press(Client(raise_request_exception=False), path).status_code == 500
    assert press(Client(), path).status_code == 200


def test_the_page_is_in_the_language_and_time_zone_of_the_user(path, reader, cluster):
    UserSettingsFactory(user=reader, cluster=cluster, language="de", time_zone="Asia/Tokyo")
    response = press(Client(), path)
    assert response["Content-Language"] == "de"
    assert '<html lang="de"' in response.content.decode()


def test_ended_links_are_deleted_an_hour_later(path):
    run = PERIODIC_TASKS["magic links"].run
    run(clock.now() + timedelta(minutes=74), lambda: False)
    assert MagicLink.objects.count() == 1
    run(clock.now() + timedelta(minutes=76), lambda: False)
    assert MagicLink.objects.count() == 0


class TestRaces:
    pytestmark = pytest.mark.django_db(transaction=True)
    THREADS = 25

    def test_of_a_hundred_parallel_posts_one_gets_the_page(self, path):
        client = Client()
        form, cookies = read_form(client.get(path)), client.cookies
        together = Barrier(self.THREADS)

        def send(_number):
            try:
                browser = Client(raise_request_exception=False)
                browser.cookies = cookies
                together.wait()
                return [browser.post(OPEN, form).status_code for _ in range(100 // self.THREADS)]
            finally:
                connections.close_all()

        with ThreadPoolExecutor(self.THREADS) as pool:
            answers = [status for statuses in pool.map(send, range(self.THREADS)) for status in statuses]
        assert sorted(answers) == [200, *[404] * 99]

"""The page of the link in an email: without a log-in, for the channel of that email in its cluster only."""

import random
import string

import pytest

from notifications.models import UserSettings
from notifications.recipients import Address
from notifications.unsubscribe.links import LinkTarget, make_token
from tests.factories import ClusterFactory, UserFactory
from tests.preference_centre.conftest import choose, find_link, find_settings, make_path, put_schedule, send
from tests.shop.notification_events import ShopEvents
from tests.unsubscribe.conftest import find_link as find_unsubscribe_link

pytestmark = pytest.mark.django_db


def test_an_email_links_to_it_with_the_token_of_its_other_link(anonymous, ann):
    message = send(ann, ShopEvents.NEWSLETTER, {})
    link = find_link(message)
    assert link.split("/")[-2] == find_unsubscribe_link(message).split("/")[-2]
    assert anonymous.get(link).status_code == 200


def test_the_text_of_an_email_has_both_links(ann):
    message = send(ann, ShopEvents.NEWSLETTER, {})
    assert f"\nChoose what you get: https://shop.example.com{find_link(message)}\n" in message.body
    assert f"\nUnsubscribe: https://shop.example.com{find_unsubscribe_link(message)}\n" in message.body


def test_the_page_of_the_theme_takes_precedence(ann, settings):
    settings.NOTIFICATIONS = {"BASE_URL": "https://shop.example.com", "THEME": {"preferences_url": "/settings/"}}
    message = send(ann, ShopEvents.NEWSLETTER, {})
    assert "\nChoose what you get: https://shop.example.com/settings/\n" in message.body
    assert "/preferences/" not in message.body


def test_emails_to_addresses_without_an_account_have_no_link(db):
    message = send(Address(email="bob@example.com"), ShopEvents.NEWSLETTER, {})
    assert "/preferences/" not in message.alternatives[0].content


def test_it_shows_the_channel_of_the_email_only(anonymous, link):
    response = anonymous.get(link)
    page = response.content.decode()
    assert 'name="events.email.order_shipped"' in page
    assert 'name="events.app.order_shipped"' not in page
    assert (response.headers["Referrer-Policy"], response.headers["X-Robots-Tag"]) == ("no-referrer", "noindex")
    assert "no-store" in response.headers["Cache-Control"]
    assert not response.cookies


def test_it_saves_without_a_cookie(anonymous, ann, link):
    response = choose(anonymous, link, events__email__order_shipped="off")
    assert response.url == f"{link}?saved=choices#choices"
    assert find_settings(ann).events == {"order_shipped": {"email": False}}
    assert send(ann) is None


def test_it_changes_nothing_about_other_channels(anonymous, ann, link):
    assert choose(anonymous, link, events__app__order_shipped="off", channels__app__="off").status_code == 302
    assert not UserSettings.objects.exists()


def test_it_keeps_the_windows_of_other_channels(anonymous, ann, cluster, link):
    windows = {"app": [["08:00", "12:00"]], "email": [["08:00", "12:00"]]}
    UserSettings(user=ann, cluster=cluster, delivery_windows=windows).save()
    page = anonymous.get(link).content.decode()
    assert 'value="app"' not in page
    row = {"channel": "email", "start": "09:00", "end": "10:00"}
    put_schedule(anonymous, link, **{f"delivery_windows-0-{name}": value for name, value in row.items()})
    assert find_settings(ann).delivery_windows == {"app": [["08:00", "12:00"]], "email": [["09:00", "10:00"]]}


def test_it_neither_shows_nor_changes_addresses(anonymous, ann, cluster, link):
    UserSettings(user=ann, cluster=cluster, addresses={"email": "private@example.com"}).save()
    page = anonymous.get(link).content.decode()
    assert "private@example.com" not in page
    assert ann.email not in page
    for do in ("request", "remove", "withdraw"):
        data = {"section": "addresses", "channel": "email", "do": do, "address": "other@example.com"}
        assert "cannot be changed here" in anonymous.post(link, data).content.decode()
    assert find_settings(ann).addresses == {"email": "private@example.com"}


def test_it_is_in_the_language_of_the_user(anonymous, ann, cluster, link):
    UserSettings(user=ann, cluster=cluster, language="ar").save()
    assert '<html lang="ar" dir="rtl">' in anonymous.get(link).content.decode()


@pytest.fixture
def quick_pages(settings, tmp_path):
    """Requests without middleware, and a short page for invalid links."""
    folder = tmp_path / "notifications/unsubscribe"
    folder.mkdir(parents=True)
    (folder / "invalid.html").write_text("This link is not valid.")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    settings.MIDDLEWARE = []


@pytest.mark.slow
@pytest.mark.one_database
def test_of_10000_changed_tokens_none_has_a_page(quick_pages, anonymous, ann, cluster):
    token = make_token(LinkTarget(str(ann.pk), str(cluster.pk), 7, "order_shipped", "email"))
    assert anonymous.get(make_path("preferences-link", token)).status_code == 200
    tried = change_token(token, 10_000)
    assert {anonymous.get(f"/notifications/preferences/link/{text}/").status_code for text in tried} == {404}


def change_token(token, count):
    chance, tried = random.Random(6), set()
    letters = string.ascii_letters + string.digits + "-_.=:~"
    while len(tried) < count:
        changed, position = list(token), chance.randrange(len(token))
        kind = chance.randrange(3)
        if kind == 0:
            changed[position] = chance.choice(letters)
        elif kind == 1:
            del changed[position]
        else:
            changed.insert(position, chance.choice(letters))
        if (text := "".join(changed)) != token:
            tried.add(text)
    return tried


def test_the_token_of_one_user_is_no_permit_for_another(anonymous, ann, cluster, link):
    bob = UserFactory(username="bob")
    choose(anonymous, link, channels__email__="off")
    assert not UserSettings.objects.filter(user=bob).exists()


def test_a_former_member_has_no_page(anonymous, ann):
    foreign = ClusterFactory()
    token = make_token(LinkTarget(str(ann.pk), str(foreign.pk), 7, "order_shipped", "email"))
    path = make_path("preferences-link", token)
    assert anonymous.get(path).status_code == 404
    assert choose(anonymous, path, channels__email__="off").status_code == 404
    assert not UserSettings.objects.exists()


def test_a_channel_that_was_removed_has_no_page(anonymous, ann, cluster):
    token = make_token(LinkTarget(str(ann.pk), str(cluster.pk), 7, "order_shipped", "fax"))
    assert anonymous.get(make_path("preferences-link", token)).status_code == 404

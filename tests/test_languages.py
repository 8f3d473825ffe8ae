"""No page mixes languages: without a catalogue of Klaxon's, every page is as in English or in the site's language."""

import json
import re
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from notifications.core.tokens import make_token as make_short_token
from notifications.delivering.dispatcher import Dispatcher
from notifications.events import NotificationPriority
from notifications.live.sessions import identify
from notifications.manager import NotificationManager
from notifications.models import AddressConfirmation, Cluster, InboxItem, Notification, UserSettings
from notifications.preference_centre.addresses import PURPOSE
from notifications.testing import travelling
from notifications.unsubscribe.links import LinkTarget, make_token
from tests.factories import UserFactory
from tests.sensitive.conftest import CONTEXT, LabEvents, declare, key, site, templates, use_keys  # noqa: F401 - fixtures
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db

SECRET = re.compile(r'name="csrfmiddlewaretoken" value="\w+"|data-token="\w+"')
NOW = timezone.now()


@pytest.fixture
def ann(settings):
    settings.MIDDLEWARE = [
        *(name for name in settings.MIDDLEWARE if "LocaleMiddleware" not in name),
        "django.middleware.locale.LocaleMiddleware",
    ]
    # The middleware activates a language and leaves it active. With a clock that runs, a page can say "now" and the
    # next one "1 minute ago".
    with override("en"), travelling():
        yield UserFactory(username="ann")


def open_page(path, language, user=None):
    client = Client(headers={"Accept-Language": language})
    if user:
        client.force_login(user)
    response = client.get(path)
    return response, SECRET.sub("", response.content.decode())


def fill_inbox(user):
    shared = {"recipient": user, "cluster": Cluster.objects.default(), "event": "order_shipped"}
    rows = [("A fire", 1, NOW), ("An order", 3, NOW - timedelta(days=40))]
    InboxItem.objects.add_items(
        [InboxItem(title=title, priority=priority, created_at=at, **shared) for title, priority, at in rows]
    )


def list_paths(user):
    fill_inbox(user)
    cluster = Cluster.objects.default()
    token = make_token(LinkTarget(str(user.pk), str(cluster.pk), 7, "order_shipped", "email"))
    asked = {"channel": "email", "address": "new@example.com", "requested_at": NOW}
    confirmation = AddressConfirmation.objects.create(user=user, cluster=cluster, **asked)
    return {
        "inbox": reverse("notifications:inbox"),
        "item": reverse("notifications:inbox-item", args=[InboxItem.objects.latest("pk").pk]),
        "feed": reverse("notifications:inbox-feed"),
        "preferences": reverse("notifications:preferences"),
        "preferences-link": reverse("notifications:preferences-link", args=[token]),
        "address": reverse("notifications:confirm-address", args=[make_short_token(PURPOSE, confirmation.pk)]),
        "address-invalid": reverse("notifications:confirm-address", args=["unknown"]),
        "unsubscribe": reverse("notifications:unsubscribe", args=[token]),
        "unsubscribe-invalid": reverse("notifications:unsubscribe", args=["unknown"]),
    }


@pytest.mark.parametrize(("language", "of_site", "own"), [("pl", "en", "en"), ("he", "en", "en"), ("pl", "ar", "ar")])
def test_pages_are_as_a_whole_in_one_language(ann, settings, language, of_site, own):
    settings.LANGUAGE_CODE = of_site
    for name, path in list_paths(ann).items():
        response, page = open_page(path, language, ann)
        assert page == open_page(path, own, ann)[1], name
        assert response.headers["Content-Language"] == own
        if name != "feed":
            assert f'<html lang="{own}" dir="{"rtl" if own == "ar" else "ltr"}">' in page, name


def test_a_language_with_a_catalogue_has_its_own_dates_and_words(ann):
    fill_inbox(ann)
    _response, page = open_page(reverse("notifications:inbox"), "ar", ann)
    assert '<html lang="ar" dir="rtl">' in page
    assert "صندوق الوارد" in page
    assert "Inbox" not in page
    assert "Today" not in page


@pytest.mark.needs("pywebpush")
def test_the_page_about_browsers_is_in_one_language(ann, settings):
    from tests.push.test_channel import KEY

    options = {"private_key": KEY, "subject": "mailto:admin@example.com"}
    settings.NOTIFICATIONS = {"CHANNELS": {"push": {"OPTIONS": options}}}
    path = reverse("notifications:push")
    assert open_page(path, "pl", ann)[1] == open_page(path, "en", ann)[1]


def test_a_page_for_a_recipient_of_another_language_is_in_one_language(ann):
    cluster = Cluster.objects.default()
    path = list_paths(ann)["unsubscribe"]
    english = open_page(path, "en")[1]
    UserSettings(user=ann, cluster=cluster, language="pl").save()
    response, page = open_page(path, "de")
    assert page == english
    assert response.headers["Content-Language"] == "en"


@pytest.mark.needs("cryptography")
def test_a_sensitive_text_says_its_language_on_a_page_in_another(ann, site):  # noqa: F811
    UserSettings(user=ann, cluster=Cluster.objects.default(), language="he").save()
    NotificationManager.send(LabEvents.RESULT, [ann], None, CONTEXT)
    Dispatcher().run_until_idle()
    path = reverse("notifications:sensitive", args=[Notification.objects.latest("pk").pk])
    _response, page = open_page(path, "de", ann)
    assert '<html lang="en" dir="ltr">' in page
    assert '<h1 lang="he" dir="rtl">Your result' in page
    assert '<div class="body" lang="he" dir="rtl">' in page


def render_bell(user):
    request = RequestFactory().get("/")
    request.user = user
    return Template("{% load notifications %}{% notification_bell %}").render(Context({"request": request}))


@pytest.mark.parametrize(("language", "own", "direction"), [("he", "en", "ltr"), ("ar", "ar", "rtl")])
def test_the_bell_is_in_one_language_on_a_page_of_the_host(ann, language, own, direction):
    with override(language):
        bell = render_bell(ann)
    assert f'<notification-bell lang="{own}"' in bell
    assert f'data-language="{own}" data-direction="{direction}"' in bell
    with override(own):
        assert SECRET.sub("", bell) == SECRET.sub("", render_bell(ann))


def test_a_stream_has_the_language_of_the_pages(ann):
    request = RequestFactory().get("/")
    request.user = get_user_model().objects.get(pk=ann.pk)
    with override("pl"):
        assert identify(request).language == "en"
    with override("ar"):
        assert identify(request).language == "ar"


def receive(user, language):
    UserSettings.objects.update_or_create(user=user, cluster=Cluster.objects.default(), defaults={"language": language})
    options = {"channels": ["email"], "priority": NotificationPriority.HIGH}
    NotificationManager.send(ShopEvents.NEWSLETTER, [user], None, {}, **options)
    Dispatcher().run_until_idle()
    return mail.outbox[-1]


def test_klaxons_words_in_an_email_say_their_language(ann):
    message = receive(ann, "he")
    [html] = [part.content for part in message.alternatives if part.mimetype == "text/html"]
    assert '<html lang="he" dir="rtl"' in html
    assert re.search(r'<p class="badge"[^>]* lang="en" dir="ltr"[^>]*>Important</p>', html)
    assert re.search(r'<td class="footer"[^>]* lang="en" dir="ltr"', html)
    assert "\nYou get this because" in message.body


def test_klaxons_words_in_an_email_are_in_its_language_if_they_can_be(ann):
    message = receive(ann, "ar")
    [html] = [part.content for part in message.alternatives if part.mimetype == "text/html"]
    assert re.search(r'<td class="footer"(?! lang)', html)
    assert "وصلك هذا لأن" in html
    assert "وصلك هذا لأن" in message.body


def test_klaxons_words_in_an_email_are_in_the_language_of_the_site(ann, settings):
    settings.LANGUAGE_CODE = "de"
    message = receive(ann, "pl")
    [html] = [part.content for part in message.alternatives if part.mimetype == "text/html"]
    assert html.count('lang="pl"') == 2
    assert re.search(r'<td class="footer"[^>]* lang="de" dir="ltr"', html)
    assert "Sie erhalten" in message.body


def test_feed_labels_follow(ann):
    fill_inbox(ann)
    answer = json.loads(open_page(reverse("notifications:inbox-feed"), "pl", ann)[1])
    assert {item["label"] for item in answer["items"]} == {"Order shipped"}

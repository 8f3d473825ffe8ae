"""The links in emails: who gets one, and that no other token is accepted."""

import base64
import random
import string

import pytest
from django.core import signing
from django.urls import path

from notifications.events import NOTIFICATION_EVENTS, NotificationEvent, NotificationPriority
from notifications.models import Notification
from notifications.recipients import Address
from notifications.testing import temporary_events
from notifications.unsubscribe.links import InvalidLink, LinkTarget, make_token, read_token
from tests.shop.notification_events import ShopEvents
from tests.unsubscribe.conftest import ORDER, find_link, send

TARGET = LinkTarget("7", "1", 5021, "order_shipped", "email")
urlpatterns = [path("nothing/", lambda request: None)]


def test_an_email_has_a_link_for_one_click(ann):
    message = send(ann)
    assert message.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert find_link(message)


def test_a_link_contains_ids_only(ann):
    ann.email, ann.username = "secret@example.com", "secret"
    ann.save()
    payload = find_link(send(ann, topic="secret")).split("/")[-2].split(".")[0]
    decoded = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()
    notification = Notification.objects.get()
    assert decoded == f'["{ann.pk}","{notification.cluster_id}",{notification.pk},"order_shipped","email"]'


@pytest.mark.django_db
def test_critical_events_and_addresses_without_an_account_have_no_link(ann):
    for message in (
        send(ann, ShopEvents.STORE_ON_FIRE, {"place": "the cellar"}),
        send(Address(email="bob@example.com")),
    ):
        assert not {"List-Unsubscribe", "List-Unsubscribe-Post"} & set(message.extra_headers)


def test_mandatory_events_have_no_link(ann):
    with temporary_events():
        NOTIFICATION_EVENTS[ShopEvents.ORDER_SHIPPED] = NotificationEvent(
            "order_shipped", NotificationPriority.MEDIUM, ["email"], mandatory=True
        )
        assert "List-Unsubscribe" not in send(ann).extra_headers


@pytest.mark.parametrize(
    ("name", "value"),
    [("ROOT_URLCONF", __name__), ("ROOT_URLCONF", ""), ("NOTIFICATIONS", {"BASE_URL": ""})],
    ids=["other URLs", "no URLs", "no base URL"],
)
def test_without_a_page_there_is_no_link(ann, settings, name, value):
    setattr(settings, name, value)
    assert "List-Unsubscribe" not in send(ann).extra_headers


def theme_of(cluster, event):
    return {"base_url": "https://estate.example/klaxon/"}


def test_the_link_leads_to_the_site_of_the_theme(ann, settings):
    settings.NOTIFICATIONS = {"THEME_OF": f"{__name__}.theme_of"}
    header = send(ann).extra_headers["List-Unsubscribe"]
    assert header.startswith("<https://estate.example/klaxon/notifications/unsubscribe/")


def test_a_token_survives_a_new_secret_key(settings):
    token = make_token(TARGET)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
    assert read_token(token) == TARGET
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(InvalidLink):
        read_token(token)


def test_of_10000_changed_tokens_none_is_accepted():
    token, chance = make_token(TARGET), random.Random(8058)
    letters = string.ascii_letters + string.digits + "-_.=:~%/ é"
    tried = set()
    while len(tried) < 10_000:
        changed, position = list(token), chance.randrange(len(token))
        kind = chance.randrange(4)
        if kind == 0:
            changed[position] = chance.choice(letters)
        elif kind == 1:
            del changed[position]
        elif kind == 2:
            changed.insert(position, chance.choice(letters))
        else:
            other = chance.randrange(len(token))
            changed[position], changed[other] = changed[other], changed[position]
        if (text := "".join(changed)) != token:
            tried.add(text)
    for text in tried:
        with pytest.raises(InvalidLink):
            read_token(text)


@pytest.mark.parametrize("salt", ["", "django.core.signing", "another"])
def test_a_signature_for_another_purpose_is_not_accepted(salt):
    with pytest.raises(InvalidLink):
        read_token(signing.Signer(salt=salt, sep=".").sign_object(list(TARGET)))


def test_the_context_of_an_email_is_not_needed_for_its_link(ann):
    assert ORDER["order_number"] not in find_link(send(ann))


def test_the_footer_has_one_link_without_a_preference_centre(ann, no_preference_centre):
    message = send(ann, ShopEvents.NEWSLETTER, {})
    url = f"https://shop.example.com{find_link(message)}"
    assert f"\nUnsubscribe or choose what you get: {url}\n" in message.body
    assert message.alternatives[0][0].count(f'href="{url}"') == 1


@pytest.mark.parametrize("page", ["/settings/", "https://shop.example.com/settings/"])
def test_a_site_can_have_a_page_of_its_own_for_preferences(ann, settings, page):
    settings.NOTIFICATIONS = {"BASE_URL": "https://shop.example.com", "THEME": {"preferences_url": page}}
    message = send(ann, ShopEvents.NEWSLETTER, {})
    assert "\nChoose what you get: https://shop.example.com/settings/\n" in message.body
    assert f"\nUnsubscribe: https://shop.example.com{find_link(message)}\n" in message.body
    fire = send(ann, ShopEvents.STORE_ON_FIRE, {"place": "the cellar"})
    assert "\nChoose what you get: https://shop.example.com/settings/\n" in fire.body
    assert "Choose what you get" not in send(Address(email="bob@example.com")).body


def test_a_token_is_that_of_django_s_signer():
    signer = signing.Signer(salt="notifications.unsubscribe", sep=".")
    assert make_token(TARGET) == signer.sign_object(list(TARGET))

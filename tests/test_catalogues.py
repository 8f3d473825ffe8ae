"""The catalogues are complete: no page, email or explanation mixes English with another language."""

import re

import pytest
from django.utils.translation import override

from notifications.core.rules import WORDS, describe_rule
from notifications.outcomes import Rule, RuleKind
from tests.catalogues import LANGUAGES, compile_catalogue, extract, get_path, is_translated, read
from tests.factories import UserFactory

PLACE = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*[^}]*\}")


@pytest.fixture(scope="module")
def wanted():
    return {(message.context, message.id) for message in extract() if message.id}


def forms(text):
    return text if isinstance(text, tuple | list) else (text,)


@pytest.mark.needs("babel")
@pytest.mark.needs_program("xgettext")
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_text_for_users_is_translated(language, wanted):
    found = {(message.context, message.id): message for message in read(language) if message.id}
    assert found.keys() == wanted, "run python -m tests.catalogues"
    assert [key for key, message in found.items() if not is_translated(message)] == []


@pytest.mark.needs("babel")
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_places_of_its_text(language):
    for message in read(language):
        if message.id:
            # A form for one may leave out the number.
            expected = {frozenset(PLACE.findall(text)) for text in forms(message.id)}
            assert {frozenset(PLACE.findall(text)) for text in forms(message.string)} <= expected, message.id


@pytest.mark.needs("babel")
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_is_compiled(language):
    assert get_path(language, "mo").read_bytes() == compile_catalogue(read(language)), "run python -m tests.catalogues"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_rule_is_in_one_language(language):
    rules = [
        Rule(RuleKind.CHANNEL_OFF, "role Nurses", {"channel": "sms"}),
        Rule(RuleKind.MUTED, "user", {"kind": "topic", "value": "sale"}),
        Rule(RuleKind.DIGEST, "user", {"interval": "daily", "time": "08:00", "zone": "UTC"}),
    ]
    with override(language):
        texts = " ".join(map(describe_rule, rules))
    assert not set(re.findall(r"\w+", texts)) & (set(WORDS) | {"is", "role", "off", "for"}), texts
    assert "Nurses" in texts


@pytest.mark.django_db
def test_a_page_is_in_the_language_of_the_browser(client, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    client.force_login(UserFactory())
    with override("en"):  # the middleware activates a language and leaves it active
        page = client.get("/notifications/inbox/", headers={"Accept-Language": "de"}).content.decode()
    assert '<html lang="de" dir="ltr">' in page
    assert "Posteingang" in page
    assert "Sie haben noch keine Benachrichtigungen." in page

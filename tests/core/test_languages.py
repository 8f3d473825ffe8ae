"""The language of Klaxon's own texts: the reader's if it has a catalogue of them, else the site's, else English."""

import pytest
from django.http import HttpResponse
from django.utils import translation

from notifications.core.languages import find_own_language, get_direction, in_own_language, use_own_language


@pytest.fixture
def host_catalogues(tmp_path, settings):
    """Catalogues of the host for Polish, and for Slovak without the code of the language."""
    from babel.messages.catalog import Catalog
    from babel.messages.mofile import write_mo

    polish, slovak = Catalog(locale="pl"), Catalog(locale="sk")
    polish.add("en", "pl", context="language code")
    polish.add("Inbox", "Skrzynka odbiorcza")
    slovak.add("Inbox", "Schránka")
    for catalogue in (polish, slovak):
        folder = tmp_path / str(catalogue.locale) / "LC_MESSAGES"
        folder.mkdir(parents=True)
        with (folder / "django.mo").open("wb") as target:
            write_mo(target, catalogue)
    settings.LOCALE_PATHS = [tmp_path]


@pytest.mark.parametrize("language", ["en", "en-gb", "de", "de-at", "ar", "es", "fr"])
def test_a_language_with_a_catalogue_is_kept(language):
    assert find_own_language(language) == language


@pytest.mark.parametrize("language", ["pl", "he", "zh-hant", "xx"])
@pytest.mark.parametrize(("site", "own"), [("en", "en"), ("de", "de"), ("de-at", "de-at"), ("ar", "ar"), ("cs", "en")])
def test_other_languages_fall_back_to_that_of_the_site(language, site, own, settings):
    settings.LANGUAGE_CODE = site
    assert find_own_language(language) == own


def test_english_does_not_fall_back(settings):
    settings.LANGUAGE_CODE = "de"
    assert find_own_language("en") == "en"


@pytest.mark.needs("babel")
def test_a_host_can_bring_a_catalogue(host_catalogues):
    assert find_own_language("pl") == "pl"
    assert find_own_language("cs") == "en"


@pytest.mark.needs("babel")
def test_a_host_can_bring_a_catalogue_for_the_language_of_the_site(host_catalogues, settings):
    settings.LANGUAGE_CODE = "pl"
    assert find_own_language("cs") == "pl"


@pytest.mark.needs("babel")
def test_a_catalogue_of_the_host_without_the_code_is_not_used(host_catalogues):
    """It translates some of the words by chance."""
    with translation.override("sk"):
        assert translation.gettext("Inbox") == "Schránka"
    assert find_own_language("sk") == "en"


def test_without_a_language_it_is_that_of_the_site(settings):
    settings.LANGUAGE_CODE = "fr"
    with translation.override(None):
        assert find_own_language() == "fr"


def test_the_language_is_active_only_within():
    with translation.override("pl"):
        with use_own_language() as language:
            assert (language, translation.get_language()) == ("en", "en")
        assert translation.get_language() == "pl"


def test_a_view_names_its_language(rf):
    view = in_own_language(lambda request: HttpResponse(translation.get_language()))
    with translation.override("pl"):
        response = view(rf.get("/"))
    assert (response.content, response.headers["Content-Language"]) == (b"en", "en")


@pytest.mark.parametrize(("language", "direction"), [("ar", "rtl"), ("ar-dz", "rtl"), ("he", "rtl"), ("de-at", "ltr")])
def test_the_direction_of_a_language(language, direction):
    assert get_direction(language) == direction

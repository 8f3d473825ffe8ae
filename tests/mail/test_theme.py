"""The theme of emails, by cluster and event."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from notifications import conf
from notifications.mail import Theme, get_theme
from notifications.mail.theme import compute_contrast
from notifications.models import Cluster

calls = []


def theme_of(cluster, event):
    calls.append((str(cluster), event))
    return {"color": "#ffcc00", "base_url": f"https://{cluster.slug}.example.com/"} if event != "plain" else {}


def wrong_theme_of(cluster, event):
    return {"colour": "#ffcc00"}


THEME_OF, WRONG = (f"{__name__}.{name}" for name in ("theme_of", "wrong_theme_of"))


@pytest.fixture
def cluster():
    calls.clear()
    return Cluster(name="Rosewood", slug="rosewood")


def test_by_default_the_theme_has_the_name_of_the_cluster_and_the_address_of_the_site(cluster, settings):
    settings.NOTIFICATIONS = {"BASE_URL": "https://example.com/"}
    assert get_theme(cluster) == Theme(name="Rosewood", color="#003366", base_url="https://example.com")


def test_a_site_without_tenants_has_the_name_of_its_domain(settings):
    settings.NOTIFICATIONS = {"BASE_URL": "https://shop.example.com:8000/x"}
    assert get_theme(Cluster(name="Default", slug="default")).name == "shop.example.com"
    settings.NOTIFICATIONS = {}
    assert get_theme(Cluster(name="Default", slug="default")).name == ""


def test_the_setting_applies_to_the_whole_site(cluster, settings):
    settings.NOTIFICATIONS = {"THEME": {"name": "Shop", "reply_to": ["help@example.com"], "postal_address": "1 Mill"}}
    theme = get_theme(cluster, "order_shipped")
    assert (theme.name, theme.reply_to, theme.postal_address) == ("Shop", ("help@example.com",), "1 Mill")


@pytest.mark.parametrize(
    ("base_url", "given", "expected"),
    [
        ("https://example.com/", "/settings/", "https://example.com/settings/"),
        ("https://example.com", "https://accounts.example.com/x", "https://accounts.example.com/x"),
        ("", "/settings/", ""),
        ("https://example.com", "", ""),
    ],
)
def test_the_page_for_preferences_can_be_a_path_of_the_site(cluster, settings, base_url, given, expected):
    settings.NOTIFICATIONS = {"BASE_URL": base_url, "THEME": {"preferences_url": given}}
    assert get_theme(cluster).preferences_url == expected


def test_a_function_overrides_the_setting_for_a_cluster_and_an_event(cluster, settings):
    settings.NOTIFICATIONS = {"THEME": {"color": "#112233", "name": "Shop"}, "THEME_OF": THEME_OF}
    assert get_theme(cluster, "sale").color == "#ffcc00"
    assert get_theme(cluster, "sale").base_url == "https://rosewood.example.com"
    assert get_theme(cluster, "plain").color == "#112233"
    assert get_theme(cluster, "sale").name == "Shop"


def test_the_function_is_called_once_for_each_event_of_a_cluster_object(cluster, settings):
    settings.NOTIFICATIONS = {"THEME_OF": THEME_OF}
    for _ in range(3):
        get_theme(cluster, "sale")
    assert calls == [("Rosewood", "sale")]


def test_changed_settings_apply_to_the_next_call(cluster, settings):
    settings.NOTIFICATIONS = {"THEME": {"name": "Old"}}
    get_theme(cluster)
    settings.NOTIFICATIONS = {"THEME": {"name": "New"}}
    assert get_theme(cluster).name == "New"


def test_an_invalid_result_of_the_function_is_an_error_that_names_the_key(cluster, settings):
    settings.NOTIFICATIONS = {"THEME_OF": WRONG}
    with pytest.raises(ImproperlyConfigured, match="unknown key 'colour'. Did you mean 'color'?"):
        get_theme(cluster)


@pytest.mark.parametrize(
    ("theme", "key"),
    [
        ({"color": "blue"}, "color"),
        ({"color": "#36"}, "color"),
        ({"name": "Two\nlines"}, "name"),
        ({"logo_url": "logo.png"}, "logo_url"),
        ({"base_url": "example.com"}, "base_url"),
        ({"preferences_url": "settings/"}, "preferences_url"),
        ({"preferences_url": "//evil.example/"}, "preferences_url"),
        ({"reply_to": "help@example.com"}, "reply_to"),
        ({"postal_address": 5}, "postal_address"),
    ],
)
def test_the_check_reports_invalid_values(settings, theme, key):
    settings.NOTIFICATIONS = {"THEME": theme}
    [problem] = conf.problems()
    assert f"as {key!r}" in problem.message
    assert problem.hint.startswith("It must be")


@pytest.mark.parametrize("color", ["#003366", "#ffcc00", "#777777", "#ffffff", "#000000", "#c0392b"])
def test_text_on_the_color_of_the_theme_can_be_read(color):
    theme = Theme(color=color)
    assert compute_contrast(theme.text_color, color) >= 4.5
    assert compute_contrast(theme.link_color, "#ffffff") >= 4.5


def test_contrast_is_that_of_wcag():
    assert compute_contrast("#ffffff", "#000000") == 21
    assert round(compute_contrast("#777777", "#ffffff"), 2) == 4.48

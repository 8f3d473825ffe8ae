"""The tag ``{% notification_bell %}``: for signed-in users only, without a query and without inline code."""

import json
import re
from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.template import Context, Template
from django.test import AsyncRequestFactory, RequestFactory
from django.utils import translation

from notifications.templatetags.notifications import build_labels
from tests.factories import UserFactory

BELL = "{% load notifications %}{% notification_bell %}"


def render(user, text=BELL, factory=RequestFactory):
    request = factory().get("/")
    request.user = user
    return Template(text).render(Context({"request": request}))


@pytest.mark.django_db
def test_a_signed_in_user_gets_the_element_its_script_and_its_styles(django_assert_num_queries):
    user = UserFactory()
    with django_assert_num_queries(0):
        page = render(user)
    assert '<script type="module" src="/static/notifications/bell.js"></script>' in page
    assert 'href="/static/notifications/bell.css"' in page
    assert 'data-feed="/notifications/inbox/feed.json"' in page
    assert '<a class="notification-bell-link" href="/notifications/inbox/">' in page


@pytest.mark.django_db
def test_there_is_no_inline_script_or_style():
    page = render(UserFactory())
    assert " style=" not in page
    assert "<style" not in page
    assert not re.search(r"\son\w+=", page)
    assert page.count("<script") == page.count('<script type="module" src=')


@pytest.mark.parametrize("text", [BELL, "{% load notifications %}{% notification_bell sound='/ping.ogg' %}"])
def test_others_get_nothing(text):
    assert render(AnonymousUser(), text).strip() == ""
    assert Template(text).render(Context({})).strip() == ""


@pytest.mark.django_db
def test_the_stream_is_offered_under_asgi_only():
    user = UserFactory()
    assert "data-stream" not in render(user)
    assert 'data-stream="/notifications/inbox/stream"' in render(user, factory=AsyncRequestFactory)


@pytest.mark.django_db
def test_options_are_passed_on():
    text = "{% load notifications %}{% notification_bell socket=True sound='/ping.ogg' toasts=False %}"
    page = render(UserFactory(), text)
    for expected in ('data-socket="/ws/notifications"', 'data-sound="/ping.ogg"', 'data-toasts="off"'):
        assert expected in page


@pytest.mark.django_db
def test_the_key_differs_between_users_and_does_not_name_them():
    one, other = UserFactory(), UserFactory()
    keys = {render(user).split('data-key="')[1].split('"')[0] for user in (one, other)}
    assert len(keys) == 2
    assert str(one.pk) not in keys


def test_every_form_of_plurals_is_there():
    labels = build_labels()
    assert labels["unread"]["one"] == "%d unread notification"
    assert labels["unread"]["other"] == "%d unread notifications"
    with translation.override("ar"):
        assert set(build_labels()["news"]) == {"zero", "one", "two", "few", "many", "other"}
    assert json.dumps(labels)


class TestTheNamesOfItsFiles:
    """With hashes in them, a browser never combines modules of two versions."""

    STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}}

    @pytest.mark.django_db
    def test_all_contain_their_hashes(self, settings, tmp_path):
        settings.STORAGES = {**settings.STORAGES, **self.STORAGES}
        settings.STATIC_ROOT = tmp_path
        call_command("collectstatic", interactive=False, verbosity=0)
        names = re.findall(r'"/static/(notifications/\S+)"', render(UserFactory()))
        assert {re.sub(r"\.[0-9a-f]{12}\.", ".", name) for name in names} == {
            "notifications/bell.css",
            "notifications/bell.js",
            "notifications/live.js",
        }
        for name in names:
            assert re.search(r"\.[0-9a-f]{12}\.", name), name
            assert (tmp_path / name).exists()

    def test_no_module_imports_a_file_whose_name_it_cannot_know(self):
        folder = Path(finders.find("notifications/bell.js")).parent
        modules = [file for file in folder.glob("*.js") if file.name != "template-editor.js"]
        assert len(modules) >= 5
        for module in modules:
            statement = r"""^\s*(import|export)\b[^;()]*["']|\bimport\(\s*["'`]"""
            assert not re.search(statement, module.read_text(), re.MULTILINE), module.name

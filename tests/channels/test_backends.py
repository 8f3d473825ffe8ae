"""The email backend is created in the same way on every Django version, without a deprecation warning."""

import warnings

import django
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend
from django.test import override_settings

from notifications.channels.email import DJANGO_SMTP, EmailChannel, open_backend
from notifications.channels.smtp import EmailBackend as KlaxonSMTP
from notifications.core import extras
from notifications.exceptions import MissingExtra

LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
has_mailers = pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS is new in Django 6.1")


class Quiet(BaseEmailBackend):
    """A custom backend of a site."""


QUIET = f"{__name__}.Quiet"


def open_connection(backend=None, mailer=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return open_backend(backend, options, mailer)


class TestEmailBackend:
    """``EMAIL_BACKEND``, on every supported Django."""

    @pytest.fixture(autouse=True)
    def _old_settings(self):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The EMAIL_.* setting is deprecated")
            with override_settings(EMAIL_BACKEND=DJANGO_SMTP, EMAIL_HOST="mail.example.com"):
                if hasattr(settings, "MAILERS"):
                    del settings.MAILERS
                yield

    def test_djangos_smtp_backend_is_replaced_and_keeps_its_settings(self):
        backend = open_connection()
        assert (type(backend), backend.host, backend.port) == (KlaxonSMTP, "mail.example.com", 25)

    def test_options_of_the_channel_override_settings(self):
        assert open_connection(host="other.example.com").host == "other.example.com"
        assert open_connection(DJANGO_SMTP, host="other.example.com").host == "other.example.com"

    def test_a_custom_backend_is_used_unchanged(self):
        assert type(open_connection(QUIET)) is Quiet

    def test_a_mailer_requires_the_setting(self):
        with pytest.raises(ImproperlyConfigured, match="'mailer' is 'news', but there is no setting MAILERS"):
            open_connection(mailer="news")


@has_mailers
class TestMailers:
    """``MAILERS``, in Django 6.1 and later."""

    @pytest.fixture(autouse=True)
    def _mailers(self, settings):
        news = {"BACKEND": DJANGO_SMTP, "OPTIONS": {"host": "news.example.com", "port": 2525}}
        settings.MAILERS = {
            "default": {"OPTIONS": {"host": "mail.example.com"}},
            "news": news,
            "own": {"BACKEND": QUIET},
        }

    def test_the_default_mailer_is_used(self):
        backend = open_connection()
        assert (type(backend), backend.host, backend.alias) == (KlaxonSMTP, "mail.example.com", "default")

    def test_an_option_names_another_mailer(self):
        backend = open_connection(mailer="news")
        assert (type(backend), backend.host, backend.port, backend.alias) == (
            KlaxonSMTP,
            "news.example.com",
            2525,
            "news",
        )
        assert type(open_connection(mailer="own")) is Quiet
        assert EmailChannel(mailer="news").connection.host == "news.example.com"

    def test_an_unknown_mailer_is_an_error_that_names_it(self):
        with pytest.raises(ImproperlyConfigured, match="'nobody'"):
            open_connection(mailer="nobody")

    def test_a_backend_of_the_channel_gets_its_own_options(self):
        assert open_connection(DJANGO_SMTP, host="other.example.com").host == "other.example.com"

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"backend": DJANGO_SMTP}, "cannot be created: backend_options must define 'host'"),
            ({"backend": LOCMEM, "colour": "red"}, "Unknown options 'colour'"),
            ({"backend": LOCMEM, "mailer": "news"}, "Remove one of them"),
            ({"mailer": "news", "timeout": 3}, r"MAILERS\['news'\]\['OPTIONS'\]"),
            ({"timeout": 3}, r"MAILERS\['default'\]\['OPTIONS'\]"),
        ],
    )
    def test_contradictory_options_are_errors(self, wrong, message):
        with pytest.raises(ImproperlyConfigured, match=message):
            open_connection(**wrong)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(extras.EXTRA_BY_MODULE, "klaxon_no_such_module", "post")
    with pytest.raises(MissingExtra, match=r"pip install 'django-klaxon\[post\]'"):
        open_connection("klaxon_no_such_module.backends.EmailBackend")

"""SMTP without TLS is refused outside of this machine, as a fault of the site's configuration."""

import ssl
import warnings

import django
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.test import override_settings

from notifications.channels.email import DJANGO_SMTP, EmailChannel, open_backend
from notifications.channels.smtp_security import is_loopback
from notifications.checks import run_checks
from notifications.manager import NotificationManager
from notifications.models import Delivery, NotificationLog
from notifications.outcomes import DeliveryState, Reason
from tests.channels.servers import post_office
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

TLS_12 = ssl.TLSVersion.TLSv1_2


def make_site(allow=None, **options):
    entry = {"backend": DJANGO_SMTP, "backend_options": {"host": "mail.example.com", **options}}
    if allow is not None:
        entry["allow_smtp_without_tls"] = allow
    return {"CHANNELS": {"email": {"OPTIONS": entry}, "log": {}}, "BASE_URL": "https://shop.example.com"}


def find_errors():
    return [message for message in run_checks(None) if message.id == "klaxon.E021"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.8.9.10", "::1", "[::1]"])
def test_this_machine_is_recognised(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["mail.example.com", "192.0.2.1", "localhost.example.com", "127.example.com"])
def test_other_machines_are_recognised(host):
    assert not is_loopback(host)


def test_a_server_elsewhere_without_tls_is_an_error_of_the_check(settings):
    settings.NOTIFICATIONS = make_site()
    [error] = find_errors()
    assert "'mail.example.com' has no TLS" in error.msg
    assert error.hint.startswith("Set ")
    assert "'allow_smtp_without_tls' in OPTIONS" in error.hint


@pytest.mark.parametrize(
    "site", [{"use_tls": True}, {"use_ssl": True}, {"host": "localhost"}, {"allow": True}], ids=str
)
def test_tls_or_this_machine_or_the_option_is_fine(settings, site):
    settings.NOTIFICATIONS = make_site(**site)
    assert find_errors() == []


def test_the_option_must_be_a_bool():
    with pytest.raises(TypeError, match="allow_smtp_without_tls must be True or False, not 'yes'"):
        EmailChannel(allow_smtp_without_tls="yes")


@pytest.mark.django_db
def test_no_email_is_sent_and_none_is_lost(settings):
    settings.NOTIFICATIONS = make_site()
    context = {"order_number": "1017", "eta": None}
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, UserFactory(), context=context, channels=["email"])
    with post_office() as office:
        settings.NOTIFICATIONS = make_site(host="192.0.2.1", port=office.port)
        call_command("dispatch_notifications", skip_checks=True)
        row, log = Delivery.objects.get(), NotificationLog.objects.get()
        assert (row.state, row.reason, office.connections) == (DeliveryState.RETRY, Reason.CONFIGURATION, 0)
        assert "'192.0.2.1' has no TLS" in log.error_message
    assert office.mails == []


def test_the_setting_that_turns_tls_on_is_named():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The EMAIL_.* setting is deprecated")
        with override_settings(EMAIL_BACKEND=DJANGO_SMTP, EMAIL_HOST="mail.example.com"):
            if hasattr(django_settings, "MAILERS"):
                del django_settings.MAILERS
            assert EmailChannel().encryption_fault.advice.startswith("Set EMAIL_USE_TLS to True.")
            own = EmailChannel(backend_options={"use_tls": False})
            assert own.encryption_fault.advice.startswith("Set 'use_tls' in 'backend_options' of the email channel to")


@pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS is new in Django 6.1")
def test_the_option_of_a_mailer_is_named(settings):
    options = {"OPTIONS": {"host": "mail.example.com"}}
    settings.MAILERS = {"default": options, "news": options}
    assert EmailChannel().encryption_fault.advice.startswith("Set MAILERS['default']['OPTIONS']['use_tls'] to True.")
    assert EmailChannel(mailer="news").encryption_fault.advice.startswith("Set MAILERS['news']['OPTIONS']['use_tls']")


@pytest.mark.parametrize("certificate", [{}, {"ssl_certfile": "tests/channels/loopback.pem"}], ids=["", "own"])
def test_the_oldest_version_of_tls_is_1_2(certificate):
    backend = open_backend(DJANGO_SMTP, {"host": "mail.example.com", "use_tls": True, **certificate}, None)
    assert backend.ssl_context.minimum_version >= TLS_12

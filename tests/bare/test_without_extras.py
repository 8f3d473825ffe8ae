"""The package without a single extra: it imports, it does its main job, and it names the extra that is missing."""

import pkgutil
from importlib import import_module

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.checks import run_checks
from django.core.management import call_command

import notifications
from notifications.core import extras
from notifications.exceptions import MissingExtra
from notifications.manager import NotificationManager
from notifications.models import InboxItem

pytestmark = pytest.mark.bare


def modules():
    found = pkgutil.walk_packages(notifications.__path__, "notifications.", onerror=lambda name: None)
    return [module.name for module in found if ".migrations." not in module.name]


def missing():
    return [module for module in extras.EXTRA_BY_MODULE if not extras.is_installed(module)]


def test_no_extra_is_installed():
    assert missing() == list(extras.EXTRA_BY_MODULE)


def test_every_module_is_imported_or_names_its_extra():
    refused, in_workers = {}, []
    for name in modules():
        try:
            import_module(name)
        except MissingExtra as error:
            refused[name] = error.extra
        except ModuleNotFoundError:
            in_workers.append(name)
    assert len(modules()) > 200
    assert set(refused.values()) <= set(extras.EXTRA_BY_MODULE.values())
    # What needs an extra at once; anything else would be a hard dependency in disguise.
    assert refused == {
        "notifications.channels.watched_http": "http",
        "notifications.api.operations": "api",
        "notifications.formats": "formats",
        "notifications.live.consumer": "realtime",
        "notifications.live.routing": "realtime",
    }
    # Only a worker of Celery or of django.tasks, which Django 6.0 brought, imports these, and a check comes before.
    assert all(name.startswith(("notifications.celery.", "notifications.tasks.")) for name in in_workers)


@pytest.mark.django_db
def test_a_mail_and_an_inbox_item_arrive(client):
    user = get_user_model().objects.create_user("ann", "ann@example.com")
    assert NotificationManager.send_notification("Your order is on its way.", recipients=[user])
    call_command("dispatch_notifications")
    assert [message.to for message in mail.outbox] == [["ann@example.com"]]
    assert InboxItem.objects.get().recipient == user
    client.force_login(user)
    assert b"Your order is on its way." in client.get("/notifications/inbox/").content


@pytest.mark.django_db
def test_the_site_has_no_faults():
    assert run_checks(app_configs=None) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("setting", "extra"),
    [
        ({"CAN_RULES": "/etc/rules.toml"}, "can"),
        ({"CELERY": True}, "celery"),
        ({"CHANNELS": {"email": {"OPTIONS": {"backend": "anymail.backends.mailgun.EmailBackend"}}}}, "anymail"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_setting_that_needs_an_extra_names_it(settings, setting, extra):
    settings.NOTIFICATIONS = setting
    [message] = run_checks(app_configs=None)
    assert (message.id, message.hint) == ("klaxon.E005", f"Install it with: pip install 'django-klaxon[{extra}]'")

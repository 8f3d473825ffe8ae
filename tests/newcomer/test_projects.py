"""A project that lacks something, and what Klaxon says when it starts, checks or runs a command."""

import asyncio
import sys
from enum import Enum

import pytest
from django.apps.registry import Apps
from django.contrib.auth.models import User
from django.core.exceptions import AppRegistryNotReady, ImproperlyConfigured, ValidationError
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection

from notifications import conf
from notifications.channels import BaseChannel
from notifications.checks import run_checks
from notifications.events import NotificationEvent, NotificationPriority
from notifications.manager import NotificationManager
from notifications.models import NotificationLog, UserSettings
from notifications.models.installed import check_installed
from tests.factories import UserFactory
from tests.newcomer import is_one_clear_answer
from tests.newcomer.test_settings import own_events  # noqa: F401 - a fixture
from tests.shop.notification_events import ShopEvents

LOG = {"CHANNELS": {"log": {}}}


class Paid(Enum):
    ORDER_PAID = "order_paid"


class Two(Enum):
    ORDER_PAID = "order_paid"
    ORDER_LOST = "order_lost"


def event(name="order_paid", channels=("email",), **options):
    return NotificationEvent(name, NotificationPriority.LOW, channels, **options)


def templates(**files):
    """The setting TEMPLATES with files of an event ``order_paid`` and those of the apps."""
    named = {f"notifications/order_paid/{name.replace('_', '.')}": text for name, text in files.items()}
    loaders = [("django.template.loaders.locmem.Loader", named), "django.template.loaders.app_directories.Loader"]
    return [{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": loaders}}]


EVENTS = {
    "a template is missing": (
        {Paid.ORDER_PAID: event(channels=["log"])},
        templates(),
        [
            "E002 The event 'order_paid' supports 'log'. The template 'notifications/order_paid/log.txt' does not "
            "exist. Put templates into the templates folder of an installed app, or into a folder of "
            "TEMPLATES['DIRS']."
        ],
    ),
    "a template has a wrong ending": (
        {Paid.ORDER_PAID: event(channels=["log"])},
        templates(log_html="Paid."),
        [
            "E002 The event 'order_paid' supports 'log'. The template 'notifications/order_paid/log.txt' does not "
            "exist. Put templates into the templates folder of an installed app, or into a folder of "
            "TEMPLATES['DIRS']."
        ],
    ),
    "a template has a wrong tag": (
        {Paid.ORDER_PAID: event(channels=["log"])},
        templates(log_txt="{% if %}"),
        [
            "E002 The event 'order_paid' supports 'log'. The template 'notifications/order_paid/log.txt' cannot be "
            "read: "
        ],
    ),
    "a variable is misspelt": (
        {Paid.ORDER_PAID: event(channels=["log"], context={"total": int})},
        templates(log_txt="{{ totel }}"),
        [
            "W007 The template 'notifications/order_paid/log.txt' uses the variable 'totel', which the event "
            "'order_paid' does not declare. Did you mean 'total'?"
        ],
    ),
    "an event's channel is misspelt": (
        {Paid.ORDER_PAID: event(channels=["emial"])},
        templates(),
        [
            "W001 The channel 'emial' is not configured. These events will not use it: order_paid. Did you mean "
            "'email'? If not, add 'emial' to NOTIFICATIONS['CHANNELS'], or silence klaxon.W001 if this is intended."
        ],
    ),
    "an event has another name than its member": (
        {Paid.ORDER_PAID: event("paid", channels=["log"])},
        templates(),
        [
            "E004 Paid.ORDER_PAID is registered with an event named 'paid'. Set name='order_paid' in its "
            "NotificationEvent, or leave name out.",
            "E002",
        ],
    ),
    "a member is not registered": (
        {Two.ORDER_PAID: event(channels=["log"])},
        templates(log_txt="Paid."),
        ["E004 Two.ORDER_LOST has no registered event. Register it, or remove it from the enum."],
    ),
    "two events have one name": (
        {Paid.ORDER_PAID: event(channels=["log"]), Two.ORDER_PAID: event(channels=["log"])},
        templates(log_txt="Paid."),
        ["E003 The notification event 'order_paid' is registered 2 times: Paid.ORDER_PAID, Two.ORDER_PAID."],
    ),
}


@pytest.mark.parametrize("mistake", EVENTS)
def test_a_wrong_event_or_template_is_answered_by_check(mistake, settings, own_events):  # noqa: F811
    registered, settings.TEMPLATES, sentences = EVENTS[mistake]
    settings.NOTIFICATIONS = LOG
    own_events.update(registered)
    answers = [f"{message.id.removeprefix('klaxon.')} {message.msg} {message.hint}" for message in run_checks(None)]
    for sentence in sentences:
        [answer] = [answer for answer in answers if answer.startswith(sentence)]
        assert is_one_clear_answer(answer)


COMMANDS = {
    "workers are nought": ("dispatch_notifications --workers 0", "--workers must be at least 1."),
    "processes are nought": ("dispatch_notifications --watch --processes 0", "--processes must be at least 1."),
    "nobody is named": (
        "explain_notification order_shipped",
        "Name the recipient with either --user or --address.",
    ),
    "a user does not exist": (
        "explain_notification order_shipped --user nobody",
        "--user: there is no user 'nobody'.",
    ),
    "an address has no kind": (
        "explain_notification order_shipped --address ada@example.com",
        "--address requires a kind and an address, such as email=contact@example.com.",
    ),
    "a date of a context is a text": (
        [
            "explain_notification",
            "order_shipped",
            "--address=email=ada@example.com",
            '--context={"order_number": "1017", "eta": "2026-11-20"}',
        ],
        "The context of event 'order_shipped' is wrong: 'eta' is the text '2026-11-20', not datetime.date | None. In "
        '--context, write a date as {"$date": "2026-11-20"}.',
    ),
    "a cluster is no key": (
        "replay_dead_letters --cluster abc",
        "--cluster: there is no cluster 'abc'.",
    ),
    "a channel to pause is misspelt": (
        "pause_notifications --channel emial",
        "There is no channel 'emial'. Configured: app, email, log.",
    ),
    "an event of dead letters is misspelt": (
        "replay_dead_letters --event order_shiped",
        "--event: there is no event 'order_shiped'. Did you mean 'order_shipped'?",
    ),
    "a time is a word": (
        "replay_dead_letters --from yesterday",
        "--from must be a time such as 2026-11-20 or 2026-11-20T14:00, not 'yesterday'.",
    ),
    "days are negative": ("purge_dead_letters --days=-1", "--days must not be negative."),
    "there is no spool": (
        "replay_spool",
        "NOTIFICATIONS['SPOOL_DIR'] is not set, so there is no spool.",
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize("mistake", COMMANDS)
def test_a_wrong_option_is_answered_in_one_sentence(mistake, settings):
    settings.NOTIFICATIONS = LOG
    command, sentence = COMMANDS[mistake]
    with pytest.raises(CommandError) as refused:
        call_command(*(command.split() if isinstance(command, str) else command))
    assert str(refused.value) == sentence


def test_without_the_app_the_first_import_names_installed_apps():
    with pytest.raises(ImproperlyConfigured) as refused:
        check_installed(Apps(["django.contrib.auth", "django.contrib.contenttypes"]))
    assert str(refused.value) == (
        "'notifications' is not in INSTALLED_APPS, so notifications can be neither sent nor stored. Add it there."
    )


@pytest.mark.usefixtures("mysql_database")
def test_a_database_of_another_make_is_answered_by_check(settings, own_events):  # noqa: F811
    settings.NOTIFICATIONS = LOG
    [message] = [message for message in run_checks(None) if message.id == "klaxon.E031"]
    assert f"{message.msg} {message.hint}" == (
        "Klaxon's tables are in the database 'default', whose ENGINE 'django.db.backends.mysql' is not supported. "
        "Use 'django.db.backends.postgresql' or 'django.db.backends.sqlite3'."
    )


@pytest.mark.parametrize(
    ("module", "written"), [("celery", {"CELERY": True}), ("can", {"CAN_RULES": "/etc/rules.toml"})]
)
def test_a_missing_extra_is_answered_by_check(module, written, monkeypatch, settings, own_events):  # noqa: F811
    monkeypatch.setitem(sys.modules, module, None)
    settings.NOTIFICATIONS = LOG | written
    [message] = run_checks(None)
    assert f"{message.msg} {message.hint}" == (
        f"NOTIFICATIONS['{[*written][0]}'] requires '{module}', which is not installed. Install it with: pip install "
        f"'django-klaxon[{module}]'"
    )


def test_a_send_before_migrate_says_what_to_run(transactional_db):
    user = UserFactory()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE klaxon_notification RENAME TO klaxon_gone")
    try:
        with pytest.raises(DatabaseError, match="klaxon_notification") as refused:
            NotificationManager.send(ShopEvents.NEWSLETTER, [user])
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE klaxon_gone RENAME TO klaxon_notification")
    assert refused.value.__notes__ == [
        "If a table of django-klaxon is missing or not up to date, run `manage.py migrate`."
    ]


def test_an_environment_variable_that_cannot_be_read_is_named():
    environ = pytest.importorskip("environ")
    env = environ.Env()
    env.ENVIRON = {"NOTIFICATIONS_WORKERS": "many"}
    with pytest.raises(
        ImproperlyConfigured, match="^NOTIFICATIONS_WORKERS cannot be read: .*It must be a whole number"
    ):
        conf.from_env(env)


def test_a_call_in_async_code_names_the_one_to_make():
    async def view():
        return NotificationManager.send(ShopEvents.NEWSLETTER, [])

    with pytest.raises(Exception, match=r"Write: await NotificationManager\.asend\(…\)$"):
        asyncio.run(view())


PREFERENCES = {
    "an opt-out names no channel": ({"channels": {"mail": False}}, "There is no channel mail. Did you mean email?"),
    "a time zone is a town": ({"time_zone": "Berlin"}, "There is no time zone Berlin. Did you mean Europe/Berlin?"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("mistake", PREFERENCES)
def test_wrong_preferences_are_answered_by_full_clean(mistake):
    fields, sentence = PREFERENCES[mistake]
    with pytest.raises(ValidationError) as refused:
        UserSettings(user=UserFactory(), **fields).full_clean(exclude=["cluster"])
    assert sentence in refused.value.messages


@pytest.mark.django_db
def test_a_log_that_is_changed_names_the_way_to_purge_it():
    with pytest.raises(TypeError, match="To purge or erase rows, do it within `with allow_log_changes") as refused:
        NotificationLog.objects.all().delete()
    assert is_one_clear_answer(str(refused.value))


def test_models_that_are_imported_too_early_say_where_to_import_them():
    registry = Apps()
    registry.apps_ready = False
    with pytest.raises(AppRegistryNotReady) as refused:
        check_installed(registry)
    assert str(refused.value) == (
        "Models of notifications were imported before Django had loaded its apps, for example by the settings or "
        "by the __init__.py or apps.py of an app. Import them where they are used."
    )


def test_users_without_an_email_are_answered_by_check(monkeypatch, settings, own_events):  # noqa: F811
    settings.NOTIFICATIONS = LOG
    monkeypatch.setattr(User, "EMAIL_FIELD", "mail")
    [message] = run_checks(None)
    assert f"{message.id} {message.msg} {message.hint}" == (
        "klaxon.W010 The channel 'email' sends emails, but auth.User has no field 'mail' for the address. Set "
        "EMAIL_FIELD of auth.User, or NOTIFICATIONS['ADDRESS_FIELDS']['email'], to the name of the field. If addresses "
        "come only from UserSettings.addresses or from Address(…), silence klaxon.W010."
    )


class Answers(BaseChannel):
    """A channel whose author took receipts for answers."""

    answer = None

    def prepare(self, delivery, rendered):
        return rendered

    def send(self, messages):
        return self.answer


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("answer", "words"), [(None, "it returned None."), (True, "it returned True."), ([True], "it yielded True.")]
)
def test_a_channel_that_gives_no_receipts_is_told_in_the_log(answer, words, settings, monkeypatch):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {"BACKEND": f"{__name__}.Answers"}}}
    monkeypatch.setattr(Answers, "answer", answer)
    NotificationManager.send(ShopEvents.ORDER_REFUSED, [UserFactory()], context={})
    call_command("dispatch_notifications")
    assert NotificationLog.objects.get().error_message == (
        f"TypeError: send() of the channel class Answers must yield a Receipt for each message; {words}"
    )

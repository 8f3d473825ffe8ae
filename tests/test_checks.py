"""System checks: each configuration error is reported with a hint, never as a traceback."""

import sqlite3
import sys
from enum import Enum
from importlib import metadata

import pytest
from django.core.checks import Error, Warning
from django.core.checks import run_checks as run_all_checks
from django.db import connection

from notifications import checks
from notifications.channels import BaseChannel
from notifications.checks import package, run_checks
from notifications.conf.misplaced import find_misplaced
from notifications.core import extras
from notifications.events import BuiltInEvents, NotificationEvent, NotificationPriority
from notifications.exceptions import MissingExtra
from notifications.testing import temporary_events
from tests.shop.notification_events import ShopEvents

SMTP = "django.core.mail.backends.smtp.EmailBackend"

on_sqlite = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="about SQLite")


class Door(Enum):
    OPENED = "door_opened"


class TwoDoors(Enum):
    OPENED = "front_opened"
    CLOSED = "front_closed"


class Pager(BaseChannel):
    requires = ("klaxon_no_such_module",)


class Celery(BaseChannel):
    requires = ("celery",)


class Demanding(BaseChannel):
    def __init__(self, url):
        self.url = url


class Unready(BaseChannel):
    def __init__(self):
        raise MissingExtra("klaxon_no_such_module", "pager")


def found(id=None):
    """Return the messages of the checks: all, or only those with one id. Each has a hint and a sentence."""
    messages = run_checks(None)
    for message in messages:
        assert message.hint
        assert message.msg.endswith(".") or ":" in message.msg
        assert isinstance(message, Error if message.id.startswith("klaxon.E") else Warning)
    return [message for message in messages if id is None or message.id == f"klaxon.{id}"]


def event(name="door_opened", channels=("email",), **options):
    return NotificationEvent(name, NotificationPriority.LOW, channels, **options)


@pytest.fixture(autouse=True)
def events():
    """Klaxon's events and those of the shop, without those of other installed apps."""
    with temporary_events() as events:
        for member in list(events):
            if not isinstance(member, ShopEvents | BuiltInEvents):
                del events[member]
        yield events


def channels(**entries):
    return {"CHANNELS": {"log": {}, **entries}}


def backend(name):
    return {"BACKEND": f"{__name__}.{name}"}


def test_a_valid_site_has_no_messages():
    assert found() == []


def test_django_runs_them():
    assert run_all_checks(tags=["klaxon"]) == []


class TestSettingsE001:
    def test_an_unknown_key_is_reported_with_the_nearest_one(self, settings):
        settings.NOTIFICATIONS = {"BATCHSIZE": 5}
        [message] = found()
        assert (message.id, message.hint) == ("klaxon.E001", "Did you mean 'BATCH_SIZE'?")

    def test_every_problem_is_reported(self, settings):
        settings.NOTIFICATIONS = {"BATCHSIZE": 5, "WORKERS": "many", "CHANNELS": {"pigeon": {}}}
        assert len(found("E001")) == 3

    def test_a_setting_that_is_not_a_dict_is_reported(self, settings):
        settings.NOTIFICATIONS = None
        assert len(found("E001")) == 1


class TestMessageRecipientsE014:
    def test_a_callable_that_cannot_be_imported_or_called_is_reported(self, settings):
        for path in ("shop.no.such", f"{__name__}.Door.OPENED"):
            settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": path}
            [message] = found("E014")
            assert "cannot be imported" in message.msg
        settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": f"{__name__}.__doc__"}
        assert "not a callable" in found("E014")[0].msg

    def test_a_callable_and_the_name_of_a_group_are_fine(self, settings):
        for named in ("tests.sending.test_message.admins_of", "Operators", "Dr. Green's team"):
            settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": named}
            assert found("E014") == []


class TestTemplatesE002:
    def test_a_missing_required_template_is_reported_with_where_to_put_it(self, events):
        events[Door.OPENED] = event()
        names = [message.msg for message in found("E002")]
        assert len(names) == 2
        assert "notifications/door_opened/email.subject.txt" in names[0]
        assert "notifications/door_opened/email.txt" in names[1]

    def test_an_email_needs_text_or_html(self, events, settings):
        subject = {"notifications/door_opened/email.subject.txt": ""}
        events[Door.OPENED] = event()
        with_files(settings, subject)
        [message] = found("E002")
        assert "Neither 'notifications/door_opened/email.txt' nor 'notifications/door_opened/email.html'" in message.msg
        for part in ("txt", "html"):
            with_files(settings, {**subject, f"notifications/door_opened/email.{part}": "x"})
            assert found("E002") == []

    def test_html_that_django_cannot_read_is_reported(self, events, settings):
        files = {"subject.txt": "", "txt": "", "html": "{% if %}"}
        with_files(settings, {f"notifications/door_opened/email.{part}": text for part, text in files.items()})
        events[Door.OPENED] = event()
        [message] = found("E002")
        assert "'notifications/door_opened/email.html' cannot be read" in message.msg

    def test_an_email_with_html_only_needs_the_extra_that_makes_its_text(self, events, settings, monkeypatch):
        files = {"subject.txt": "", "html": "x"}
        with_files(settings, {f"notifications/door_opened/email.{part}": text for part, text in files.items()})
        events[Door.OPENED] = event()
        is_installed = extras.is_installed
        monkeypatch.setattr(extras, "is_installed", lambda name: name != "inscriptis" and is_installed(name))
        [message] = found("E005")
        assert "'door_opened'" in message.msg
        assert "django-klaxon[mail]" in message.hint

    def test_a_channel_that_is_not_configured_needs_none(self, events):
        events[Door.OPENED] = event(channels=["sms"])
        assert found("E002") == []

    def test_a_template_that_django_cannot_read_is_reported_too(self, events, settings):
        with_files(settings, {"notifications/door_opened/log.txt": "{% if %}"})
        events[Door.OPENED] = event(channels=["log"])
        assert any("notifications/door_opened/log.txt" in message.msg for message in found())


class JsonChannel(BaseChannel):
    """A channel whose part is not text, so that no batch can be composed of it."""

    address_kind = "email"
    required_parts = ("json",)


class TestTemplatesOfDigestsE002:
    def test_a_batch_needs_templates_for_every_part_of_its_channels(self, events, settings):
        settings.NOTIFICATIONS = channels(json={"BACKEND": f"{__name__}.JsonChannel"})
        files = {"notifications/Door_Opened/json.json": "{}"}
        with_files(settings, files)
        events[Door.OPENED] = event("Door_Opened", channels=["json"], batch_window=300)
        [message] = found("E002")
        assert "'notifications/Door_Opened/batch/json.json' does not exist" in message.msg
        files["notifications/Door_Opened/batch/json.json"] = "{}"
        with_files(settings, files)
        assert found("E002") == []

    def test_a_channel_of_digests_needs_templates_too(self, settings):
        json = {"json": {"BACKEND": f"{__name__}.JsonChannel"}}
        settings.NOTIFICATIONS = {**channels(**json), "DIGEST_CHANNELS": ["JSON", "email"]}
        assert [message.msg.split("'")[1] for message in found("E002")] == ["daily_digest", "weekly_digest"]


def with_files(settings, files):
    loaders = [("django.template.loaders.locmem.Loader", files), "django.template.loaders.app_directories.Loader"]
    backend = "django.template.backends.django.DjangoTemplates"
    settings.TEMPLATES = [{"BACKEND": backend, "OPTIONS": {"loaders": loaders}}]


class TestEnginesE032E033:
    BACKEND = "django.template.backends.django.DjangoTemplates"

    @pytest.mark.parametrize(
        "templates",
        [
            [],
            [{"BACKEND": "django.template.backends.dummy.TemplateStrings", "APP_DIRS": True}],
            [{"BACKEND": BACKEND, "APP_DIRS": True, "OPTIONS": {"loaders": []}}],
        ],
        ids=["none", "another kind", "contradictory"],
    )
    def test_a_site_without_an_engine_is_reported_once(self, settings, templates):
        settings.TEMPLATES = templates
        [message] = found()
        assert message.id == "klaxon.E032"
        assert message.msg.startswith("Notifications cannot be rendered: ")
        assert self.BACKEND in message.hint

    @pytest.mark.parametrize("options", [{}, {"loaders": ["django.template.loaders.filesystem.Loader"]}])
    def test_an_engine_that_does_not_search_apps_is_reported_once(self, settings, options):
        settings.TEMPLATES = [{"BACKEND": self.BACKEND, "OPTIONS": options}]
        [message] = found()
        assert message.id == "klaxon.E033"
        assert message.hint.startswith("Set its APP_DIRS to True")


NAMES = (
    "{% load i18n %}{{ order_number }} {{ recipient.email }} {{ cluster }} {{ base_url }} {{ original.order_number }}"
)


class TestUndeclaredVariablesW007:
    @pytest.fixture
    def check_template(self, events, settings):
        """Return a function that checks one template of an event that declares an order number."""

        def check_template(text="", name="log.txt", **options):
            declared = {"context": {"order_number": str, "eta": str | None}, **options}
            events[Door.OPENED] = event(channels=["log"], **declared)
            with_files(settings, {"notifications/door_opened/log.txt": "", f"notifications/door_opened/{name}": text})
            return [(message.msg, message.hint) for message in found("W007")]

        return check_template

    def test_a_misspelled_name_is_reported_with_the_nearest_declared_one(self, check_template):
        assert check_template("{{ order_nubmer }}") == [
            (
                "The template 'notifications/door_opened/log.txt' uses the variable 'order_nubmer', which the event "
                "'door_opened' does not declare.",
                "Did you mean 'order_number'?",
            )
        ]

    def test_an_unlike_name_is_reported_with_all_known_names(self, check_template):
        [(_message, hint)] = check_template("{{ zebra }}")
        assert hint == "It can use: base_url, cluster, eta, layout, order_number, original, recipient, variant."

    def test_declared_and_built_in_variables_are_not_reported(self, check_template):
        assert check_template(NAMES) == []

    @pytest.mark.parametrize(
        "text",
        [
            "{{ nubmer|default:'none' }}",
            "{{ eta|default:nubmer }}",
            "{% if eta and not nubmer %}{% endif %}",
            "{% if eta == 'x' %}{% elif nubmer > 2 %}{% endif %}",
            "{% for one in nubmer.parts %}{{ one }}{% endfor %}",
            "{% with total=nubmer %}{{ total }}{% endwith %}",
            "{% load i18n %}{% blocktranslate %}Order {{ nubmer }}{% endblocktranslate %}",
            "{% load i18n %}{% blocktranslate count n=nubmer %}one{% plural %}{{ n }}{% endblocktranslate %}",
            "{% load i18n %}{% translate nubmer %}",
            "{% block content %}{{ nubmer }}{% endblock %}",
            "{% url nubmer %}",
        ],
    )
    def test_it_is_found_everywhere(self, check_template, text):
        assert [message.split("'")[3] for message, _hint in check_template(text)] == ["nubmer"]

    @pytest.mark.parametrize(
        "text",
        [
            "{% for key, one in original.items %}{{ forloop.counter }} {{ key }} {{ one }}{% endfor %}",
            "{% with total=order_number %}{{ total }}{% endwith %}",
            "{% load i18n %}{% translate 'Order' as words %}{{ words }}",
            "{% load i18n %}{% blocktranslate with n=order_number %}Order {{ n }}{% endblocktranslate %}",
            "{% url 'x' as link %}{{ link }}",
            "{% regroup original by kind as kinds %}{{ kinds }}",
            "{% filter upper %}{{ eta }}{% endfilter %}",
            "{% if eta is not None and True %}{{ 'text' }} {{ 5 }}{% endif %}",
            "{% include 'layout.txt' with one=order_number only %}",
        ],
    )
    def test_variables_that_a_tag_sets_are_not_reported(self, check_template, text):
        assert check_template(text) == []

    def test_optional_parts_are_checked(self, events, settings):
        events[Door.OPENED] = event(context={"order_number": str})
        files = dict.fromkeys(["email.subject.txt", "email.txt", "email.html"], "{{ order_nubmer }}")
        with_files(settings, {f"notifications/door_opened/{name}": text for name, text in files.items()})
        assert len(found("W007")) == 3

    def test_translations_on_disk_are_checked(self, events, settings, tmp_path):
        folder = tmp_path / "notifications" / "door_opened"
        folder.mkdir(parents=True)
        for name in ("email.subject.txt", "email.txt", "email.de.txt", "email.de-at.subject.txt"):
            (folder / name).write_text("{{ order_nubmer }}" if ".de" in name else "")
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path], "APP_DIRS": True}]
        events[Door.OPENED] = event(context={"order_number": str})
        assert [message.msg.split("'")[1].rpartition("/")[2] for message in found("W007")] == [
            "email.de-at.subject.txt",
            "email.de.txt",
        ]

    @pytest.mark.parametrize("options", [{"context": None}, {"transforms": {"log": dict}}])
    def test_nothing_is_reported_if_any_variable_may_be_given(self, check_template, options):
        assert check_template("{{ anything }}", **options) == []

    def test_batches_have_their_own_variables(self, check_template):
        template = "{{ count }} {% for item in items %}{{ item.values.order_number }}{% endfor %}{{ order_number }}"
        [(message, hint)] = check_template(template, "batch/log.txt", batch_window=300)
        assert "the variable 'order_number'" in message
        assert "groups, items" in hint


class TestEventsE003E004:
    def test_two_events_of_one_name_are_reported_with_both_members(self, events):
        events[Door.OPENED] = event("order_shipped")
        [message] = found("E003")
        assert "ShopEvents.ORDER_SHIPPED" in message.msg
        assert "Door.OPENED" in message.msg

    def test_an_event_that_is_registered_twice_is_reported(self, events):
        events[ShopEvents.NEWSLETTER] = events[ShopEvents.NEWSLETTER]
        assert len(found("E003")) == 1

    def test_names_that_differ_in_case_only_are_one_name(self, events):
        events[Door.OPENED] = event("Order_Shipped")
        assert len(found("E003")) == 1

    def test_a_name_that_is_not_its_members_value_is_reported(self, events):
        events[Door.OPENED] = event("door_open", channels=["sms"])
        [message] = found("E004")
        assert "Door.OPENED" in message.msg
        assert "'door_open'" in message.msg

    def test_a_member_without_an_event_is_reported(self, events):
        events[TwoDoors.OPENED] = event("front_opened", channels=["sms"])
        [message] = found("E004")
        assert "TwoDoors.CLOSED has no registered event" in message.msg


class TestExtrasE005:
    def test_a_channel_that_requires_a_missing_module_is_reported(self, settings):
        settings.NOTIFICATIONS = channels(pager=backend("Pager"))
        [message] = found("E005")
        assert "'pager'" in message.msg
        assert "klaxon_no_such_module" in message.msg

    def test_the_extra_that_contains_it_is_named(self, settings, monkeypatch):
        monkeypatch.setitem(sys.modules, "celery", None)
        settings.NOTIFICATIONS = channels(tasks=backend("Celery"))
        [message] = found("E005")
        assert message.hint == "Install it with: pip install 'django-klaxon[celery]'"

    def test_a_channel_that_raises_missing_extra_is_reported(self, settings):
        settings.NOTIFICATIONS = channels(pager=backend("Unready"))
        [message] = found("E005")
        assert "django-klaxon[pager]" in message.hint

    @pytest.mark.parametrize("name", ["alarm", "zebra"])
    def test_each_of_several_channels_is_reported(self, settings, name):
        entries = {"beeper": backend("Pager"), name: backend("Unready")}
        settings.NOTIFICATIONS = channels(**entries)
        assert [f"'{word}'" in message.msg for word, message in zip(sorted(entries), found(), strict=True)] == [
            True
        ] * 2

    def test_can_rules_without_python_can_are_reported(self, settings, monkeypatch):
        monkeypatch.setitem(sys.modules, "can", None)
        settings.NOTIFICATIONS = {**channels(), "CAN_RULES": "/etc/rules.toml"}
        [message] = found("E005")
        assert "django-klaxon[can]" in message.hint


class TestChannelsE006:
    @pytest.mark.parametrize(
        "entry",
        [
            {"BACKEND": "shop.channels.Pigeon"},
            {"BACKEND": "Pigeon"},
            {"BACKEND": ""},
            backend("NoSuchClass"),
            backend("event"),
            backend("backend"),
            backend("Door"),
            {"BACKEND": "collections.Counter"},
            {"BACKEND": "sys"},
            backend("Demanding"),
            {**backend("Demanding"), "OPTIONS": {"uri": "x"}},
        ],
    )
    def test_a_channel_that_cannot_be_created_is_reported_once(self, settings, events, entry):
        events[Door.OPENED] = event(channels=["pigeon"])
        settings.NOTIFICATIONS = channels(pigeon=entry)
        [message] = found("E006")
        assert "'pigeon'" in message.msg

    @pytest.mark.parametrize(
        "options",
        [
            {"backend": "no.such.Backend"},
            {"backend": "anymail.backends.mailgun.EmailBackend"},
            {
                "backend": "django.core.mail.backends.smtp.EmailBackend",
                "backend_options": {"host": "127.0.0.1", "use_tls": True, "use_ssl": True},
            },
            {"colour": "red"},
        ],
    )
    def test_wrong_email_options_are_reported(self, settings, options):
        settings.NOTIFICATIONS = channels(email={"OPTIONS": options})
        [message] = found()
        assert message.id == "klaxon.E006"
        assert "'email'" in message.msg

    def test_a_level_that_does_not_exist_is_reported(self, settings):
        settings.NOTIFICATIONS = {"CHANNELS": {"log": {"OPTIONS": {"level": "loud"}}}}
        assert len(found("E006")) == 1

    @pytest.mark.parametrize(
        ("name", "options", "told"),
        [
            ("log", {"level": 5}, "has the option 'level', which must be a text."),
            ("email", {"html_from_text": "no"}, "'html_from_text', which must be True or False."),
            (
                "email",
                {"backend": "django.core.mail.backends.smtp.EmailBackend", "backend_options": ["x"]},
                "'backend_options', which must be a dict or None.",
            ),
        ],
    )
    def test_an_option_of_a_wrong_type_is_named(self, settings, name, options, told):
        settings.NOTIFICATIONS = channels(**{name: {"OPTIONS": options}})
        [message] = found("E006")
        assert told in message.msg

    @pytest.mark.needs("requests")
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"timeout": "10"}, "'timeout', which must be a number."),
            ({"max_segments": 2, "success": ["200"]}, "'success', which must be a list of whole numbers."),
            ({"success": 200}, "'success', which must be a list of whole numbers."),
            ({"recipient_errors": "GONE"}, "'recipient_errors', which must be a list of texts."),
            ({"headers": {"Key": 5}}, "'headers', which must be a dict of texts or None."),
            ({"url": None}, "'url', which must be a text."),
            ({"success": {200}, "timeout": 5, "recipient_errors": ["GONE"]}, ""),
        ],
    )
    def test_an_option_of_a_gateway_that_would_never_match_is_named(self, settings, options, told):
        options = {"url": "https://sms.example.com", "body": {"to": "{to}", "text": "{text}"}, **options}
        entry = {"BACKEND": "notifications.channels.sms_gateway.SMSGatewayChannel", "OPTIONS": options}
        settings.NOTIFICATIONS = channels(sms=entry)
        messages = [message.msg for message in found("E006")]
        assert told in "".join(messages)
        assert len(messages) == bool(told)

    def test_a_disabled_channel_is_not_checked(self, settings):
        settings.NOTIFICATIONS = channels(pigeon={"BACKEND": "no.such.Channel", "ENABLED": False})
        assert found() == []


UNUSABLE = [
    "Shop, Inc <shop@example.com>",
    "Shop: News <shop@example.com>",
    "a@example.com, b@example.com",
    "shop@example.com\nBcc: eve@example.com",
    "shop@example.com\n",
    "shop",
    "Shop <>",
    "Shop @ Home <shop@example.com>",
    "Shop <shop@example.com> x",
    "shop@\u2603.example",
    "sh op@example.com",
    "   ",
]
USABLE = [
    "shop@example.com",
    "Shop <shop@example.com>",
    '"Shop, Inc: News" <shop@example.com>',
    "webmaster@localhost",
    "Bücher Söhne <shop@bücher.example>",
    "Shop. Inc <shop@faß.de>",
    "büro@example.com",
]


class TestSendersE020:
    @pytest.mark.parametrize("sender", [*UNUSABLE, ""], ids=repr)
    def test_the_sites_own_sender_that_is_no_address_is_reported(self, settings, sender):
        settings.DEFAULT_FROM_EMAIL = sender
        settings.NOTIFICATIONS = channels(email={})
        [message] = found("E020")
        assert message.msg.startswith("A sender of emails is invalid: DEFAULT_FROM_EMAIL ")

    @pytest.mark.parametrize("option", ["from_email", "reply_to"])
    @pytest.mark.parametrize("sender", UNUSABLE, ids=repr)
    def test_the_senders_of_each_provider_are_checked(self, settings, sender, option):
        options = {option: [sender] if option == "reply_to" else sender}
        entry = {"PROVIDERS": [{"NAME": "one"}, {"NAME": "two", "OPTIONS": options}]}
        settings.NOTIFICATIONS = channels(email=entry)
        [message] = found("E020")
        assert option in message.msg

    @pytest.mark.parametrize("key", ["from_email", "reply_to"])
    def test_the_sender_of_the_theme_is_checked(self, settings, key):
        theme = {key: ["a@example.com, b@example.com"] if key == "reply_to" else "a@example.com, b@example.com"}
        settings.NOTIFICATIONS = {**channels(), "THEME": theme}
        [message] = found("E020")
        assert message.msg.startswith(f"A sender of emails is invalid: NOTIFICATIONS['THEME']['{key}'] ")

    @pytest.mark.parametrize("sender", USABLE)
    def test_one_address_with_or_without_a_name_is_fine(self, settings, sender):
        settings.NOTIFICATIONS = channels(email={"OPTIONS": {"from_email": sender, "reply_to": [sender]}})
        assert found("E020") == []


NOT_CALLABLE = "shop.members"


class TestClustersE007E008:
    @pytest.mark.parametrize("path", ["no.such.callable", "nothing", "", f"{__name__}.NOT_CALLABLE"])
    def test_members_of_that_cannot_be_called_is_reported(self, settings, path):
        settings.NOTIFICATIONS = {**channels(), "MEMBERS_OF": path}
        assert len(found("E007")) == 1

    def test_a_custom_cluster_model_requires_members_of(self, settings):
        settings.NOTIFICATIONS_CLUSTER_MODEL = "auth.Group"
        [message] = found("E007")
        assert "your own cluster model" in message.msg
        settings.NOTIFICATIONS = {**channels(), "MEMBERS_OF": f"{__name__}.found"}
        assert found("E007") == []

    @pytest.mark.parametrize("model", ["shop.Estate", "Estate", "", None])
    def test_a_cluster_model_that_is_not_installed_is_reported(self, settings, model):
        settings.NOTIFICATIONS_CLUSTER_MODEL = model
        assert len(found("E008")) == 1


class TestPreferencesE012:
    @pytest.mark.parametrize("path", ["no.such.Class", "", f"{__name__}.NOT_CALLABLE", f"{__name__}.found"])
    def test_preferences_that_cannot_be_loaded_are_reported(self, settings, path):
        settings.NOTIFICATIONS = {**channels(), "PREFERENCES": path}
        assert len(found("E012")) == 1


def sections(cluster, users, digest_kind, since, until):
    return {}


def theme_of(cluster, event):
    return {}


class TestThemesE016:
    def test_a_function_that_does_not_exist_is_reported(self, settings):
        settings.NOTIFICATIONS = {**channels(), "THEME_OF": "nowhere.theme_of"}
        assert len(found("E016")) == 1

    def test_a_function_must_accept_a_cluster_and_an_event(self, settings):
        settings.NOTIFICATIONS = {**channels(), "THEME_OF": f"{__name__}.theme_of"}
        assert found("E016") == []
        settings.NOTIFICATIONS = {**channels(), "THEME_OF": f"{__name__}.found"}
        [message] = found("E016")
        assert "does not accept 2 arguments" in message.msg


class TestDigestsE013:
    @pytest.mark.parametrize("path", ["no.such.function", f"{__name__}.NOT_CALLABLE"])
    def test_sections_that_cannot_be_called_are_reported(self, settings, path):
        settings.NOTIFICATIONS = {**channels(), "DIGEST_SECTIONS": path}
        assert len(found("E013")) == 1

    def test_none_and_a_function_are_valid(self, settings):
        assert found("E013") == []
        settings.NOTIFICATIONS = {**channels(), "DIGEST_SECTIONS": f"{__name__}.sections"}
        assert found("E013") == []

    def test_a_function_with_other_arguments_is_reported(self, settings):
        settings.NOTIFICATIONS = {**channels(), "DIGEST_SECTIONS": f"{__name__}.found"}
        [message] = found("E013")
        assert message.msg.endswith("which does not accept 5 arguments.")


class TestSQLiteE009W002:
    @on_sqlite
    def test_an_sqlite_that_is_too_old_is_reported(self, monkeypatch):
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
        assert len(found("E009")) == 1

    @on_sqlite
    @pytest.mark.parametrize(
        ("options", "lacking"),
        [
            ({}, ["WAL", "IMMEDIATE"]),
            ({"transaction_mode": "immediate"}, ["WAL"]),
            ({"init_command": "pragma journal_mode = wal"}, ["IMMEDIATE"]),
            ({"transaction_mode": "EXCLUSIVE", "init_command": "PRAGMA journal_mode=DELETE"}, ["WAL", "IMMEDIATE"]),
        ],
    )
    def test_options_that_are_lacking_are_reported(self, monkeypatch, options, lacking):
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
        [message] = found("W002")
        assert [word for word in ("WAL", "IMMEDIATE") if word in message.msg] == lacking
        assert "notifications.sqlite.tuned(path)" in message.hint

    @pytest.mark.skipif("connection.vendor == 'sqlite'", reason="about other databases")
    def test_other_databases_are_not_checked_for_sqlite(self, monkeypatch):
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
        assert found() == []


class TestEngineE031:
    @pytest.mark.usefixtures("mysql_database")
    def test_a_database_that_is_not_supported_is_reported(self):
        [message] = found("E031")
        assert "'django.db.backends.mysql'" in message.msg
        assert "'django.db.backends.postgresql'" in message.hint


class TestSettingsBesideW006:
    @pytest.mark.parametrize(
        ("name", "value", "hint"),
        [
            ("NOTIFICATIONS_BATCH_SIZE", 50, "Write it as NOTIFICATIONS['BATCH_SIZE']."),
            ("NOTIFICATIONS_BATCHSIZE", 50, "Did you mean NOTIFICATIONS['BATCH_SIZE']?"),
            ("NOTIFICATIONS_CLUSTER_MODLE", "shop.Shop", "Did you mean NOTIFICATIONS_CLUSTER_MODEL?"),
            ("NOTIFICATIONS_ZEBRA", 1, "Klaxon's settings are keys of the dict NOTIFICATIONS"),
            ("NOTIFICATION_BATCH_SIZE", 50, "Write it as NOTIFICATIONS['BATCH_SIZE']."),
            ("KLAXON_BATCH_SIZE", 50, "Write it as NOTIFICATIONS['BATCH_SIZE']."),
            ("NOTIFICATION", {"BATCH_SIZE": 50}, "Did you mean NOTIFICATIONS?"),
            ("NOTIFICATON", {"BATCH_SIZE": 50}, "Did you mean NOTIFICATIONS?"),
            ("KLAXON", {"BATCH_SIZE": 50}, "Did you mean NOTIFICATIONS?"),
        ],
    )
    def test_settings_outside_of_the_dict_are_reported_with_their_place(self, settings, name, value, hint):
        setattr(settings, name, value)
        [message] = found()
        assert (message.id, message.msg) == ("klaxon.W006", f"Klaxon does not read the setting {name}.")
        assert message.hint.startswith(hint)

    def test_settings_of_other_names_are_not_read(self):
        class Settings:
            @property
            def EMAIL_HOST(self):
                raise AssertionError

        assert list(find_misplaced(Settings(), ["BATCH_SIZE"])) == []

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("NOTIFICATIONS_CLUSTER_MODEL", "klaxon.Cluster"),
            ("NOTIFICATION_ZEBRA", 1),
            ("NOTIFICATION", {"zebra": 1}),
            ("CACHES_OF_KLAXON", {"BATCH_SIZE": 1}),
        ],
    )
    def test_settings_of_other_apps_are_not_reported(self, settings, name, value):
        setattr(settings, name, value)
        assert found("W006") == []


class TestPackageE034W009:
    @pytest.fixture
    def folder(self, tmp_path):
        """Two modules of Klaxon in site-packages, with the list of files that pip writes."""
        for name in ("notifications/__init__.py", "notifications/apps.py"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        (tmp_path / "django_klaxon-1.dist-info").mkdir()
        self.record(tmp_path, "django_klaxon", "notifications/__init__.py", "notifications/apps.py")
        return tmp_path

    def record(self, folder, name, *files):
        information = folder / f"{name}-1.dist-info"
        information.mkdir(exist_ok=True)
        (information / "METADATA").write_text(f"Name: {name.replace('_', '-')}\nVersion: 1\n")
        (information / "RECORD").write_text("".join(f"{file},,\n" for file in files))

    def foreign(self, folder):
        distribution = metadata.PathDistribution(folder / "django_klaxon-1.dist-info")
        return [path.as_posix() for path in package.find_foreign_files(folder / "notifications", distribution)]

    def test_own_files_are_not_reported(self, folder):
        assert self.foreign(folder) == []

    def test_foreign_modules_and_migrations_are_found(self, folder):
        (folder / "notifications/migrations").mkdir()
        for name in ("models.py", "migrations/0002_other.py", "notes.txt"):
            (folder / "notifications" / name).touch()
        assert self.foreign(folder) == ["notifications/migrations/0002_other.py", "notifications/models.py"]

    def test_an_editable_install_lists_no_files_of_the_folder(self, folder):
        self.record(folder, "django_klaxon", "_editable.pth")
        assert self.foreign(folder) == []

    def test_the_check_names_them_and_their_owner(self, folder, monkeypatch):
        (folder / "notifications/models.py").touch()
        self.record(folder, "django_notifications_hq", "notifications/models.py", "notifications/__init__.py")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setattr(package.notifications, "__file__", str(folder / "notifications/__init__.py"))
        [message] = found("E034")
        assert "notifications/models.py. They belong to django-notifications-hq." in message.msg

    @pytest.mark.parametrize("name", ["notifications/__init__.py", "notifications.py"])
    def test_another_package_on_the_path_is_reported(self, tmp_path, monkeypatch, name):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        monkeypatch.syspath_prepend(tmp_path)
        [message] = found()
        assert message.id == "klaxon.W009"
        assert str(tmp_path / "notifications") in message.msg

    @pytest.mark.parametrize("entry", ["x" * 5000, "nul\0"], ids=["too long", "impossible"])
    def test_a_folder_that_cannot_be_read_is_skipped(self, monkeypatch, entry):
        monkeypatch.setattr(sys, "path", [*sys.path, entry])
        assert found("W009") == []


class TestSpoolW003:
    def test_a_folder_that_can_be_created_is_not_reported(self, settings, tmp_path):
        settings.NOTIFICATIONS = {**channels(), "SPOOL_DIR": str(tmp_path / "to be made")}
        assert found() == []
        assert not list(tmp_path.iterdir()), "a check creates nothing"

    def test_a_file_in_its_place_is_reported(self, settings, tmp_path):
        (tmp_path / "spool").touch()
        settings.NOTIFICATIONS = {**channels(), "SPOOL_DIR": tmp_path / "spool"}
        [message] = found("W003")
        assert str(tmp_path / "spool") in message.msg


class TestStateW005:
    @pytest.fixture
    def state(self, settings, tmp_path):
        settings.NOTIFICATIONS = {**channels(), "STATE_DIR": str(tmp_path / "state")}
        return tmp_path / "state"

    def test_a_folder_that_can_be_created_is_not_reported(self, state):
        assert found() == []
        assert not state.exists(), "a check creates nothing"

    def test_a_private_folder_is_not_reported(self, state):
        state.mkdir(mode=0o700)
        assert found() == []

    def test_a_file_in_its_place_is_reported(self, state):
        state.touch()
        [message] = found("W005")
        assert f"{state} is not a folder" in message.msg

    def test_a_folder_that_others_may_write_to_is_reported(self, state):
        state.mkdir()
        state.chmod(0o777)
        [message] = found("W005")
        assert "Other users may write to" in message.msg
        assert "STATE_DIR" in message.hint

    def test_a_folder_of_another_user_is_reported(self, state, monkeypatch):
        state.mkdir()
        monkeypatch.setattr("os.getuid", lambda: 12345)
        [message] = found("W005")
        assert "must belong to the user of the worker" in message.msg

    def test_a_folder_that_this_process_may_not_write_to_is_reported(self, state, monkeypatch):
        state.mkdir()
        monkeypatch.setattr("os.access", lambda path, mode: False)
        [message] = found("W005")
        assert f"may not write to {state}" in message.msg


class TestChannelsThatAreNotConfiguredW001:
    def test_each_is_reported_once_with_its_events(self, events):
        events[Door.OPENED] = event(channels=["sms", "voice"])
        events[ShopEvents.NEWSLETTER] = event("shop_newsletter", ["sms"])
        first, second = found("W001")
        assert "'sms'" in first.msg
        assert "shop_newsletter" in first.msg
        assert "door_opened" in first.msg
        assert "'voice'" in second.msg
        assert isinstance(first, Warning)

    def test_built_in_events_do_not_require_a_channel(self, settings, events):
        del events[ShopEvents.ORDER_REFUSED]
        settings.NOTIFICATIONS = {}
        assert found("W001") == []

    def test_a_disabled_channel_is_reported_too(self, settings):
        settings.NOTIFICATIONS = channels(app={"ENABLED": False})
        [message] = found("W001")
        assert "'app'" in message.msg


def test_the_docstring_lists_every_check():
    for number in [*(f"E{number:03}" for number in range(1, 10)), *(f"W{number:03}" for number in range(1, 6))]:
        assert number in checks.__doc__


class TestStaticFilesW013:
    def test_files_that_are_found_are_not_reported(self):
        assert found("W013") == []

    def test_a_site_with_the_pages_and_without_static_files_is_reported(self, settings):
        settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django.contrib.staticfiles"]
        [message] = found("W013")
        assert message.hint.startswith("Add 'django.contrib.staticfiles' to INSTALLED_APPS")

    def test_a_site_that_does_not_look_into_apps_is_reported(self, settings):
        settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
        [message] = found("W013")
        assert "AppDirectoriesFinder" in message.hint

    @pytest.mark.parametrize("urlconf", ["django.contrib.auth.urls", None])
    def test_a_site_without_the_pages_needs_no_static_files(self, urlconf, settings):
        settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django.contrib.staticfiles"]
        settings.ROOT_URLCONF = urlconf
        if urlconf is None:
            del settings.ROOT_URLCONF
        assert found("W013") == []


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL has pools")
class TestPoolsW004:
    @pytest.mark.parametrize(
        ("pool", "workers", "is_reported"),
        [
            (False, 8, False),
            (True, 4, False),
            (True, 5, True),
            ({"max_size": 5}, 5, False),
            ({"min_size": 1}, 2, True),
            ({"min_size": 1, "max_size": 2}, 2, False),
            ({"min_size": 1, "max_size": 1}, 1, True),
        ],
    )
    def test_a_pool_that_is_too_small_is_reported(self, settings, monkeypatch, pool, workers, is_reported):
        settings.NOTIFICATIONS = {**channels(), "WORKERS": workers}
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"pool": pool})
        messages = found("W004")
        assert bool(messages) == is_reported
        assert all(f"to at least {max(2, workers)}" in message.hint for message in messages)

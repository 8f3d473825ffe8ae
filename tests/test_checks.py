"""System checks: what is wrong with a site is told with a hint, and never as a traceback."""

import sqlite3
import sys
from enum import Enum

import pytest
from django.core.checks import Error, Warning
from django.core.checks import run_checks as run_all_checks
from django.db import connection

from notifications import checks
from notifications.channels import BaseChannel
from notifications.checks import run_checks
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
    """What the checks tell: everything, or only that of one id, each with a hint and a sentence."""
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
    """Ours and the shop's; whatever else is installed is not looked at here."""
    with temporary_events() as events:
        for member in list(events):
            if not isinstance(member, ShopEvents | BuiltInEvents):
                del events[member]
        yield events


def channels(**entries):
    return {"CHANNELS": {"log": {}, **entries}}


def backend(name):
    return {"BACKEND": f"{__name__}.{name}"}


def test_a_good_site_is_told_nothing():
    assert found() == []


def test_django_runs_them():
    assert run_all_checks(tags=["klaxon"]) == []


class TestSettingsE001:
    def test_an_unknown_key_is_told_with_the_nearest_one(self, settings):
        settings.NOTIFICATIONS = {"BATCHSIZE": 5}
        [message] = found()
        assert (message.id, message.hint) == ("klaxon.E001", "Did you mean 'BATCH_SIZE'?")

    def test_every_problem_is_told(self, settings):
        settings.NOTIFICATIONS = {"BATCHSIZE": 5, "WORKERS": "many", "CHANNELS": {"pigeon": {}}}
        assert len(found("E001")) == 3

    def test_a_setting_that_is_no_dict_is_told(self, settings):
        settings.NOTIFICATIONS = None
        assert len(found("E001")) == 1


class TestMessageRecipientsE014:
    def test_a_callable_that_cannot_be_imported_or_called_is_told(self, settings):
        for path, told in (("shop.no.such", "cannot be imported"), (f"{__name__}.Door.OPENED", "cannot be imported")):
            settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": path}
            [message] = found("E014")
            assert told in message.msg
        settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": f"{__name__}.__doc__"}
        assert "not a callable" in found("E014")[0].msg

    def test_a_callable_and_the_name_of_a_group_are_fine(self, settings):
        for named in ("tests.test_manager.admins_of", "Operators", "Dr. Green's team"):
            settings.NOTIFICATIONS = {"MESSAGE_RECIPIENTS": named}
            assert found("E014") == []


class TestTemplatesE002:
    def test_a_missing_required_template_is_told_with_where_to_put_it(self, events):
        events[Door.OPENED] = event()
        names = [message.msg for message in found("E002")]
        assert len(names) == 2
        assert "notifications/door_opened/email.subject.txt" in names[0]
        assert "notifications/door_opened/email.txt" in names[1]

    def test_a_channel_that_is_not_configured_needs_none(self, events):
        events[Door.OPENED] = event(channels=["sms"])
        assert found("E002") == []

    def test_a_template_that_django_cannot_read_is_told_too(self, events, settings):
        with_files(settings, {"notifications/door_opened/log.txt": "{% if %}"})
        events[Door.OPENED] = event(channels=["log"])
        assert any("notifications/door_opened/log.txt" in message.msg for message in found())


class JsonChannel(BaseChannel):
    """What is not text cannot be put together out of texts."""

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

    def test_so_does_a_channel_of_digests(self, settings):
        json = {"json": {"BACKEND": f"{__name__}.JsonChannel"}}
        settings.NOTIFICATIONS = {**channels(**json), "DIGEST_CHANNELS": ["JSON", "email", "nowhere"]}
        assert [message.msg.split("'")[1] for message in found("E002")] == ["daily_digest", "weekly_digest"]


def with_files(settings, files):
    loaders = [("django.template.loaders.locmem.Loader", files), "django.template.loaders.app_directories.Loader"]
    backend = "django.template.backends.django.DjangoTemplates"
    settings.TEMPLATES = [{"BACKEND": backend, "OPTIONS": {"loaders": loaders}}]


class TestEventsE003E004:
    def test_two_events_of_one_name_are_told_with_both_members(self, events):
        events[Door.OPENED] = event("order_shipped")
        [message] = found("E003")
        assert "ShopEvents.ORDER_SHIPPED" in message.msg
        assert "Door.OPENED" in message.msg

    def test_an_event_that_is_registered_twice_is_told(self, events):
        events[ShopEvents.NEWSLETTER] = events[ShopEvents.NEWSLETTER]
        assert len(found("E003")) == 1

    def test_names_that_differ_in_case_only_are_one_name(self, events):
        events[Door.OPENED] = event("Order_Shipped")
        assert len(found("E003")) == 1

    def test_a_name_that_is_not_its_members_value_is_told(self, events):
        events[Door.OPENED] = event("door_open", channels=["sms"])
        [message] = found("E004")
        assert "Door.OPENED" in message.msg
        assert "'door_open'" in message.msg

    def test_a_member_without_an_event_is_told(self, events):
        events[TwoDoors.OPENED] = event("front_opened", channels=["sms"])
        [message] = found("E004")
        assert "TwoDoors.CLOSED has no registered event" in message.msg


class TestExtrasE005:
    def test_a_channel_that_requires_a_missing_module_is_told(self, settings):
        settings.NOTIFICATIONS = channels(pager=backend("Pager"))
        [message] = found("E005")
        assert "'pager'" in message.msg
        assert "klaxon_no_such_module" in message.msg

    def test_the_extra_that_brings_it_is_named(self, settings, monkeypatch):
        monkeypatch.setitem(sys.modules, "celery", None)
        settings.NOTIFICATIONS = channels(tasks=backend("Celery"))
        [message] = found("E005")
        assert message.hint == "Install it with: pip install 'django-klaxon[celery]'"

    def test_a_channel_that_says_so_itself_is_told(self, settings):
        settings.NOTIFICATIONS = channels(pager=backend("Unready"))
        [message] = found("E005")
        assert "django-klaxon[pager]" in message.hint

    @pytest.mark.parametrize("name", ["alarm", "zebra"])
    def test_wherever_it_stands_among_the_others_only_it_is_told(self, settings, name):
        entries = {"beeper": backend("Pager"), name: backend("Unready")}
        settings.NOTIFICATIONS = channels(**entries)
        assert [f"'{word}'" in message.msg for word, message in zip(sorted(entries), found(), strict=True)] == [
            True
        ] * 2

    def test_can_rules_without_python_can_are_told(self, settings, monkeypatch):
        monkeypatch.setitem(sys.modules, "can", None)
        settings.NOTIFICATIONS = {**channels(), "CAN_RULES": "coach.rules.rules"}
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
    def test_a_channel_that_cannot_be_made_is_told_once(self, settings, events, entry):
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
                "backend_options": {"use_tls": True, "use_ssl": True},
            },
            {"colour": "red"},
        ],
    )
    def test_email_that_is_wrongly_set_up_is_told(self, settings, options):
        settings.NOTIFICATIONS = channels(email={"OPTIONS": options})
        [message] = found()
        assert message.id == "klaxon.E006"
        assert "'email'" in message.msg

    def test_a_level_that_does_not_exist_is_told(self, settings):
        settings.NOTIFICATIONS = {"CHANNELS": {"log": {"OPTIONS": {"level": "loud"}}}}
        assert len(found("E006")) == 1

    def test_a_channel_that_is_off_is_not_looked_at(self, settings):
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
    def test_the_sites_own_sender_that_is_no_address_is_told(self, settings, sender):
        settings.DEFAULT_FROM_EMAIL = sender
        settings.NOTIFICATIONS = channels(email={})
        [message] = found("E020")
        assert message.msg.startswith("A sender of mails cannot be used: DEFAULT_FROM_EMAIL ")

    @pytest.mark.parametrize("option", ["from_email", "reply_to"])
    @pytest.mark.parametrize("sender", UNUSABLE, ids=repr)
    def test_so_is_that_of_each_provider(self, settings, sender, option):
        options = {option: [sender] if option == "reply_to" else sender}
        entry = {"PROVIDERS": [{"NAME": "one"}, {"NAME": "two", "OPTIONS": options}]}
        settings.NOTIFICATIONS = channels(email=entry)
        [message] = found("E020")
        assert option in message.msg

    @pytest.mark.parametrize("sender", USABLE)
    def test_one_address_with_or_without_a_name_is_fine(self, settings, sender):
        settings.NOTIFICATIONS = channels(email={"OPTIONS": {"from_email": sender, "reply_to": [sender]}})
        assert found("E020") == []


NOT_CALLABLE = "shop.members"


class TestClustersE007E008:
    @pytest.mark.parametrize("path", ["no.such.callable", "nothing", "", f"{__name__}.NOT_CALLABLE"])
    def test_members_that_cannot_be_asked_are_told(self, settings, path):
        settings.NOTIFICATIONS = {**channels(), "MEMBERS_OF": path}
        assert len(found("E007")) == 1

    def test_a_cluster_model_of_the_sites_own_needs_its_own_members(self, settings):
        settings.NOTIFICATIONS_CLUSTER_MODEL = "auth.Group"
        [message] = found("E007")
        assert "cluster model of your own" in message.msg
        settings.NOTIFICATIONS = {**channels(), "MEMBERS_OF": f"{__name__}.found"}
        assert found("E007") == []

    @pytest.mark.parametrize("model", ["shop.Estate", "Estate", "", None])
    def test_a_cluster_model_that_is_not_installed_is_told(self, settings, model):
        settings.NOTIFICATIONS_CLUSTER_MODEL = model
        assert len(found("E008")) == 1


class TestPreferencesE012:
    @pytest.mark.parametrize("path", ["no.such.Class", "", f"{__name__}.NOT_CALLABLE", f"{__name__}.found"])
    def test_preferences_that_cannot_be_loaded_are_told(self, settings, path):
        settings.NOTIFICATIONS = {**channels(), "PREFERENCES": path}
        assert len(found("E012")) == 1


class TestDigestsE013:
    @pytest.mark.parametrize("path", ["no.such.function", f"{__name__}.NOT_CALLABLE"])
    def test_sections_that_cannot_be_called_are_told(self, settings, path):
        settings.NOTIFICATIONS = {**channels(), "DIGEST_SECTIONS": path}
        assert len(found("E013")) == 1

    def test_none_and_a_function_are_right(self, settings):
        assert found("E013") == []
        settings.NOTIFICATIONS = {**channels(), "DIGEST_SECTIONS": f"{__name__}.found"}
        assert found("E013") == []


class TestSQLiteE009W002:
    @on_sqlite
    def test_an_sqlite_that_is_too_old_is_told(self, monkeypatch):
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
    def test_options_that_are_lacking_are_told(self, monkeypatch, options, lacking):
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
        [message] = found("W002")
        assert [word for word in ("WAL", "IMMEDIATE") if word in message.msg] == lacking
        assert "notifications.sqlite.tuned(path)" in message.hint

    @pytest.mark.skipif("connection.vendor == 'sqlite'", reason="about other databases")
    def test_another_database_is_told_nothing_of_sqlite(self, monkeypatch):
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
        assert found() == []


class TestSpoolW003:
    def test_a_folder_that_can_be_made_is_told_nothing(self, settings, tmp_path):
        settings.NOTIFICATIONS = {**channels(), "SPOOL_DIR": str(tmp_path / "to be made")}
        assert found() == []
        assert not list(tmp_path.iterdir()), "a check makes nothing"

    def test_a_file_in_its_place_is_told(self, settings, tmp_path):
        (tmp_path / "spool").touch()
        settings.NOTIFICATIONS = {**channels(), "SPOOL_DIR": tmp_path / "spool"}
        [message] = found("W003")
        assert str(tmp_path / "spool") in message.msg


class TestStateW005:
    @pytest.fixture
    def state(self, settings, tmp_path):
        settings.NOTIFICATIONS = {**channels(), "STATE_DIR": str(tmp_path / "state")}
        return tmp_path / "state"

    def test_a_folder_that_can_be_made_is_told_nothing(self, state):
        assert found() == []
        assert not state.exists(), "a check makes nothing"

    def test_a_private_folder_is_told_nothing(self, state):
        state.mkdir(mode=0o700)
        assert found() == []

    def test_a_file_in_its_place_is_told(self, state):
        state.touch()
        [message] = found("W005")
        assert f"{state} is no folder" in message.msg

    def test_a_folder_that_others_may_write_to_is_told(self, state):
        state.mkdir()
        state.chmod(0o777)
        [message] = found("W005")
        assert "Other users may write to" in message.msg
        assert "STATE_DIR" in message.hint

    def test_a_folder_of_another_user_is_told(self, state, monkeypatch):
        state.mkdir()
        monkeypatch.setattr("os.getuid", lambda: 12345)
        [message] = found("W005")
        assert "must belong to the user of the worker" in message.msg

    def test_a_folder_that_this_process_may_not_write_to_is_told(self, state, monkeypatch):
        state.mkdir()
        monkeypatch.setattr("os.access", lambda path, mode: False)
        [message] = found("W005")
        assert f"may not write to {state}" in message.msg


class TestChannelsThatAreNotConfiguredW001:
    def test_each_is_told_once_with_its_events(self, events):
        events[Door.OPENED] = event(channels=["sms", "voice"])
        events[ShopEvents.NEWSLETTER] = event("shop_newsletter", ["sms"])
        first, second = found("W001")
        assert "'sms'" in first.msg
        assert "shop_newsletter" in first.msg
        assert "door_opened" in first.msg
        assert "'voice'" in second.msg
        assert isinstance(first, Warning)

    def test_our_own_events_are_no_reason_to_configure_a_channel(self, settings, events):
        del events[ShopEvents.ORDER_REFUSED]
        settings.NOTIFICATIONS = {}
        assert found("W001") == []

    def test_a_channel_that_was_switched_off_is_told_too(self, settings):
        settings.NOTIFICATIONS = channels(app={"ENABLED": False})
        [message] = found("W001")
        assert "'app'" in message.msg


def test_every_check_has_a_number_of_its_own():
    for number in [*(f"E{number:03}" for number in range(1, 10)), *(f"W{number:03}" for number in range(1, 6))]:
        assert number in checks.__doc__


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL has pools")
class TestPoolsW004:
    @pytest.mark.parametrize(
        ("pool", "workers", "told"),
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
    def test_a_pool_that_is_too_small_for_the_threads_is_told(self, settings, monkeypatch, pool, workers, told):
        settings.NOTIFICATIONS = {**channels(), "WORKERS": workers}
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"pool": pool})
        messages = found("W004")
        assert bool(messages) == told
        assert all(f"to at least {max(2, workers)}" in message.hint for message in messages)

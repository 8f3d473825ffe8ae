"""The ``NOTIFICATIONS`` setting: its defaults, its problems, and reading it from environment variables."""

from pathlib import Path

import environ
import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from notifications import conf
from notifications.conf.channels import CHANNEL_KEYS


@pytest.fixture
def find_problems(settings):
    def find_problems(value):
        settings.NOTIFICATIONS = value
        return list(conf.problems())

    return find_problems


def test_an_empty_setting_has_all_defaults(settings):
    settings.NOTIFICATIONS = {}
    current = conf.current()
    assert current == conf.Conf()
    assert current.delivery == "queued"
    assert current.retry_delays == (60, 300, 900)
    assert current.batch_size == 10
    assert current.workers == 2


def test_a_site_without_the_setting_has_all_defaults(settings):
    del settings.NOTIFICATIONS
    assert conf.current() == conf.Conf()


def test_email_and_app_are_enabled_by_default_and_others_if_they_are_configured(settings):
    settings.NOTIFICATIONS = {}
    assert conf.current().enabled_channels == {"email", "app"}
    settings.NOTIFICATIONS = {"CHANNELS": {"app": {"ENABLED": False}, "log": {}}}
    assert conf.current().enabled_channels == {"email", "log"}
    assert conf.current().channel("app") is None
    assert conf.current().channel("sms") is None


def test_a_changed_setting_has_effect_at_the_next_reading(settings):
    settings.NOTIFICATIONS = {"BATCH_SIZE": 3}
    assert conf.current().batch_size == 3
    settings.NOTIFICATIONS = {"BATCH_SIZE": 4}
    assert conf.current().batch_size == 4


def test_a_built_in_channel_needs_no_backend_and_keeps_its_options(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {"OPTIONS": {"level": "DEBUG"}, "RETRY_DELAYS": [1, 2]}}}
    log = conf.current().channel("log")
    assert log.backend == "notifications.channels.log.LogChannel"
    assert log.options == {"level": "DEBUG"}
    assert log.retry_delays == (1, 2)


def test_channel_names_are_in_lower_case(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"LOG": {}}}
    assert "log" in conf.current().enabled_channels


@pytest.mark.parametrize(
    ("misspelled", "suggested"),
    [
        ("BATCHSIZE", "BATCH_SIZE"),
        ("MEMBER_OF", "MEMBERS_OF"),
        ("channels", "CHANNELS"),
        ("RETRY_DELAY", "RETRY_DELAYS"),
        ("Base_Url", "BASE_URL"),
    ],
)
def test_an_unknown_key_is_reported_with_the_most_similar_known_one(find_problems, misspelled, suggested):
    [problem] = find_problems({misspelled: 1})
    assert repr(misspelled) in problem.message
    assert problem.hint == f"Did you mean {suggested!r}?"


def test_a_key_that_is_not_similar_to_any_is_reported_with_all_known_ones(find_problems):
    [problem] = find_problems({"ZZZZ": 1})
    assert all(key in problem.hint for key in conf.KEYS)


def test_a_key_that_is_not_a_string_is_reported(find_problems):
    [problem] = find_problems({5: 1})
    assert "5" in problem.message


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("CHANNELS", ["email"]),
        ("DELIVERY", "later"),
        ("ON_BAD_CALL", "ignore"),
        ("CRITICAL_MESSAGE_PERMISSION", "raise_alarm"),
        ("DELIVERY", True),
        ("MEMBERS_OF", print),
        ("RETRY_DELAYS", 60),
        ("RETRY_DELAYS", [60, "300"]),
        ("RETRY_DELAYS", [-1]),
        ("RETRY_DELAYS", [True]),
        ("RETRY_DELAYS", "60"),
        ("RETRY_DELAYS", "exponential:60,2"),
        ("RETRY_JITTER", 1.5),
        ("RETRY_JITTER", -0.1),
        ("CHUNK_SIZE", 0),
        ("CHUNK_SIZE", 2.5),
        ("BATCH_SIZE", "10"),
        ("BATCH_SIZE", True),
        ("WORKERS", 0),
        ("LEASE_SECONDS", 0),
        ("IDLE_SECONDS", -1),
        ("ADDRESS_FIELDS", "phone"),
        ("LIMITS", "100/h"),
        ("THEME", "#003366"),
        ("CRITICAL_LIMIT", "many"),
        ("CRITICAL_LIMIT", "0/h"),
        ("CRITICAL_LIMIT", 1000),
        ("THROTTLE_DEPTH", -1),
        ("THROTTLE_DEPTH", 1.5),
        ("QUIET_HOURS", "22:00-07:00"),
        ("QUIET_HOURS", ["22:00"]),
        ("QUIET_HOURS", ["22:00", "25:00"]),
        ("QUIET_HOURS", ["22:00", "22:00"]),
        ("QUIET_HOURS", [22, 7]),
        ("DIGEST_CHANNELS", "email"),
        ("DIGEST_CHANNELS", [1]),
        ("SPOOL_DIR", "spool"),
        ("SPOOL_DIR", None),
    ],
)
def test_a_wrong_value_is_reported_with_its_requirement(find_problems, key, wrong):
    [problem] = find_problems({key: wrong})
    assert key in problem.message
    assert problem.hint.startswith("It must be ")


@pytest.mark.parametrize(
    "good",
    [
        {"SPOOL_DIR": Path("/var/spool")},
        {"SPOOL_DIR": ""},
        {"RETRY_DELAYS": []},
        {"RETRY_DELAYS": (0,)},
        {"RETRY_DELAYS": "exponential:60,2,6h"},
        {"CHANNELS": {"email": {"RETRY_DELAYS": "exponential:60,2,6h"}}},
        {"RETRY_JITTER": 0},
        {"IDLE_SECONDS": 0.01},
    ],
)
def test_limits_are_allowed(find_problems, good):
    assert find_problems(good) == []


def test_a_setting_that_is_not_a_dict_is_reported(find_problems):
    [problem] = find_problems(["email"])
    assert problem.message == "NOTIFICATIONS must be a dict."


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ({"email": "smtp"}, "must be a dict"),
        ({7: {}}, "name as a text"),
        ({"email": {"OPTION": {}}}, "Did you mean 'OPTIONS'?"),
        ({"email": {"ENABLED": "no"}}, "True or False"),
        ({"email": {"ENABLED": 0}}, "True or False"),
        ({"email": {"OPTIONS": []}}, "dict"),
        ({"email": {"RETRY_DELAYS": 5}}, "list"),
        ({"pigeon": {}}, "Add the dotted path"),
    ],
)
def test_a_wrong_channel_entry_is_reported(find_problems, entry, hint):
    [problem] = find_problems({"CHANNELS": entry})
    assert hint in problem.hint


def test_wrong_delays_of_a_channel_are_reported_as_delays(find_problems):
    [problem] = find_problems({"CHANNELS": {"email": {"RETRY_DELAYS": [60, "300"]}}})
    assert "seconds" in problem.hint, "a list was given; the hint must say what belongs in it"


def test_a_wrong_schedule_is_reported_with_its_fault(find_problems):
    for written in (
        {"RETRY_DELAYS": "exponential:60,1,6h"},
        {"CHANNELS": {"email": {"RETRY_DELAYS": "exponential:60,1,6h"}}},
    ):
        [problem] = find_problems(written)
        assert problem.hint == "It must have a factor above 1, so that its delays grow."


@pytest.mark.parametrize(
    ("limits", "hint"),
    [
        ({"users": "100/h"}, "Did you mean 'user'?"),
        ({7: "100/h"}, "Known keys: cluster, global, user, user_channel, user_event."),
        ({"user": "100"}, 'Write "100/h"'),
        ({"user": 100}, 'Write "100/h"'),
        ({"user": ["100/h"]}, 'Write "100/h"'),
        ({"user": None}, 'Write "100/h"'),
        ({"user": {"email": "100/h"}}, 'Write "100/h"'),
        ({"global": "0/h"}, "at least 1"),
        ({"cluster": "1/d burst 100000"}, "within ten years"),
        ({"user_channel": {"email": "often"}}, 'Write "100/h"'),
        ({"user_channel": {"emial": "50/h"}}, "Did you mean 'email'?"),
        ({"user_channel": {3: "50/h"}}, "Known channels: app, email."),
    ],
)
def test_a_wrong_limit_is_reported_with_advice(find_problems, limits, hint):
    [problem] = find_problems({"LIMITS": limits})
    assert "NOTIFICATIONS['LIMITS']" in problem.message
    assert hint in problem.hint


def test_a_limit_may_be_set_for_each_channel_or_for_all(settings):
    settings.NOTIFICATIONS = {
        "LIMITS": {"user": "9/h", "user_channel": {"EMAIL": "5/h", "pager": "1/h burst 2"}},
        "CHANNELS": {"Pager": {"BACKEND": "shop.Pager"}},
    }
    current = conf.current()
    assert current.limit("user", "email") == "9/h"
    assert [current.limit("user_channel", name) for name in ("email", "pager", "app")] == ["5/h", "1/h burst 2", None]
    assert current.limit("cluster") is None
    settings.NOTIFICATIONS = {"LIMITS": {"user_channel": "5/h"}}
    assert conf.current().limit("user_channel", "app") == "5/h"


def test_all_problems_are_reported_at_once(find_problems):
    assert len(find_problems({"BATCHSIZE": 1, "WORKERS": 0, "CHANNELS": {"pigeon": {"X": 1}}})) == 4


def test_reading_a_wrong_setting_raises_with_every_problem_and_hint(settings):
    settings.NOTIFICATIONS = {"BATCHSIZE": 1, "WORKERS": 0}
    with pytest.raises(ImproperlyConfigured) as raised:
        conf.current()
    assert "BATCHSIZE" in str(raised.value)
    assert "Did you mean 'BATCH_SIZE'?" in str(raised.value)
    assert "WORKERS" in str(raised.value)


@hypothesis_settings(deadline=None)
@given(st.text(max_size=20), st.sampled_from([dict(conf.KEYS), CHANNEL_KEYS]))
def test_there_is_a_hint_for_any_misspelling(word, known):
    hint = conf.suggest(word, known)
    assert any(key in hint for key in known)


def make_env(**variables):
    env = environ.Env()
    env.ENVIRON = {f"NOTIFICATIONS_{key}": value for key, value in variables.items()}
    return env


def test_only_variables_that_are_set_are_read():
    assert conf.from_env(make_env()) == {}


def test_every_key_is_read_from_the_environment_in_its_type(settings):
    found = conf.from_env(
        make_env(
            CHANNELS='{"log": {"OPTIONS": {"level": "DEBUG"}}, "app": {"ENABLED": false}}',
            DELIVERY="immediate",
            MEMBERS_OF="shop.members.of",
            ENABLED="true",
            MESSAGE_RECIPIENTS="Operators",
            OPERATORS="role:Operators,address:email=ops@example.com",
            ALARM='{"HOOK": "https://hooks.example.com/klaxon", "LIMITS": {"queue": 5000}}',
            CRITICAL_MESSAGE_PERMISSION="shop.raise_alarm",
            ON_BAD_CALL="log",
            PREFERENCES="shop.wishes.UserPreferences",
            BASE_URL="https://example.com",
            ESCALATION_TARGETS='{"supervisor": "role:Supervisors"}',
            THEME='{"color": "#112233"}',
            THEME_OF="shop.mail.theme_of",
            TRACKING_URL="https://t.example.com",
            ADDRESS_FIELDS="phone=mobile,pager=pager_number",
            RETRY_DELAYS="1,2.5,30",
            RETRY_JITTER="0.5",
            CHUNK_SIZE="200",
            BATCH_SIZE="50",
            MAX_BATCH_SIZE="500",
            WORKERS="4",
            LEASE_SECONDS="90",
            BEAT_SECONDS="10",
            CONTEXT_BYTES="1000",
            ATTACHMENT_BYTES="1000",
            QUEUE_LIMIT="10000",
            CLUSTER_QUEUE_LIMIT="500",
            QUEUE_FULL="shed",
            IDLE_SECONDS="0.5",
            ERROR_PAUSE_SECONDS="2",
            SPOOL_DIR="/var/spool/shop",
            CAN_BUS='{"interface": "socketcan", "channel": "can0"}',
            CAN_RULES="/etc/coach/rules.toml,/etc/coach/more.toml",
            ENCRYPTION_KEYS="a2V5IG9mIHRoZSBkb2N1bWVudGF0aW9uIG9ubHkhISE=",
            METRICS='{"TOKEN": "correct-horse-battery-staple"}',
            TRACING="true",
            CELERY="true",
            MAGIC_LINKS="true",
            MAGIC_LINK_SECONDS="600",
            TASK_BACKEND="default",
            BREAKER_FAILURES="3",
            OUTAGE_SECONDS="86400",
            STOP_SECONDS="20",
            STATE_DIR="/var/lib/shop",
            BREAKER_SECONDS="30",
            BREAKER_MOST_SECONDS="600",
            RAMP_SECONDS="120",
            RAMP_START="5",
            LIMITS='{"user": "100/h", "user_channel": {"email": "50/h"}}',
            CRITICAL_LIMIT="500/h burst 50",
            THROTTLE_DEPTH="5000",
            QUIET_HOURS="22:00,07:00",
            DIGEST_CHANNELS="email,app",
            DIGEST_SECTIONS="shop.digests.sections",
            INBOX_OF_FORMER_MEMBERS="true",
            LIVE_REDIS="redis://127.0.0.1:6379/0",
            TOPICS_OF="shop.topics.topics_of",
            API='{"THROTTLE": "60/m"}',
            RETENTION='{"LOG": 180}',
            STORAGE='{"LIMIT_BYTES": 1000000}',
        )
    )
    assert found.keys() == conf.KEYS.keys()
    settings.NOTIFICATIONS = found
    assert list(conf.problems()) == []
    current = conf.current()
    assert current.enabled_channels == {"email", "log"}
    assert current.address_fields == {"phone": "mobile", "pager": "pager_number"}
    assert current.retry_delays == (1, 2.5, 30)
    assert (current.batch_size, current.retry_jitter, current.delivery) == (50, 0.5, "immediate")
    assert current.celery is True
    assert current.limit("user_channel", "email") == "50/h"
    assert current.quiet_hours == ("22:00", "07:00")
    assert current.digest_sections == "shop.digests.sections"
    assert current.digest_channels == ("email", "app")
    assert (current.critical_limit, current.throttle_depth) == ("500/h burst 50", 5000)
    assert current.can_rules == ("/etc/coach/rules.toml", "/etc/coach/more.toml")


@pytest.mark.parametrize("value", ["rules.toml", ["/etc/rules.toml", "rules.toml"], [1], "coach.rules.rules"])
def test_paths_of_can_rules_must_be_absolute(settings, value):
    settings.NOTIFICATIONS = {"CAN_RULES": value}
    [problem] = conf.problems()
    assert problem.hint == "It must be the absolute path of a rule file, or a list of these."


@pytest.mark.parametrize(
    ("value", "paths"),
    [("", ()), ("/a.toml", ("/a.toml",)), (Path("/a.toml"), (Path("/a.toml"),)), (["/a.toml"], ("/a.toml",))],
)
def test_can_rules_can_be_one_path_or_several(settings, value, paths):
    settings.NOTIFICATIONS = {"CAN_RULES": value}
    assert conf.current().can_rules == paths


def test_retries_can_be_disabled_by_the_environment(settings):
    settings.NOTIFICATIONS = conf.from_env(make_env(RETRY_DELAYS=""))
    assert conf.current().retry_delays == ()


def test_a_schedule_is_read_from_the_environment(settings):
    settings.NOTIFICATIONS = conf.from_env(make_env(RETRY_DELAYS="exponential:1m,2,2m"))
    assert conf.current().retry_delays == (60, 120)


def test_the_prefix_of_the_variables_can_be_changed():
    env = environ.Env()
    env.ENVIRON = {"KLAXON_BATCH_SIZE": "7", "NOTIFICATIONS_BATCH_SIZE": "8"}
    assert conf.from_env(env, prefix="KLAXON_") == {"BATCH_SIZE": 7}


def test_the_process_environment_is_read(monkeypatch):
    monkeypatch.setenv("NOTIFICATIONS_WORKERS", "3")
    assert conf.from_env(environ.Env())["WORKERS"] == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [("BATCH_SIZE", "many"), ("CHANNELS", "{log}"), ("RETRY_DELAYS", "60,soon"), ("ADDRESS_FIELDS", "phone")],
)
def test_an_unreadable_variable_is_an_error_that_names_it(key, value):
    with pytest.raises(ImproperlyConfigured, match=f"NOTIFICATIONS_{key}"):
        conf.from_env(make_env(**{key: value}))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"CHANNELS": {"log": {"PROVIDERS": []}}}, "['PROVIDERS'] is empty."),
        ({"CHANNELS": {"log": {"PROVIDERS": [{}]}}}, "has no NAME."),
        ({"CHANNELS": {"log": {"PROVIDERS": [{"NAME": "a"}, {"NAME": "a"}]}}}, "two providers named 'a'."),
        ({"CHANNELS": {"log": {"PROVIDERS": [{"NAME": "x" * 50}]}}}, "['NAME'] is"),
        ({"CHANNELS": {"log": {"PROVIDERS": ["a"]}}}, "is 'a'."),
        ({"CHANNELS": {"log": "https://x.example/key"}}, "['log'] is of the type str."),
        ({"CHANNELS": {"log": {"OPTIONS": "a token of many letters"}}}, "['OPTIONS'] is of the type str."),
        ({"CHANNELS": {"log": {"PROVIDERS": ["https://x.example/key"]}}}, "is of the type str."),
        ({"CHANNELS": {"log": {"PROVIDERS": [{"NAME": "a", "RATE": "often"}]}}}, "['RATE'] is 'often'."),
        ({"CHANNELS": {"log": {"RATE": "0/s"}}}, "['RATE'] is '0/s'."),
        ({"BREAKER_SECONDS": 600, "BREAKER_MOST_SECONDS": 10}, "BREAKER_MOST_SECONDS 10."),
    ],
)
def test_problems_of_channels_are_reported(settings, written, message):
    settings.NOTIFICATIONS = written
    assert any(message in problem.message for problem in conf.problems())


def test_the_representation_of_a_channel_shows_no_options(settings):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {"OPTIONS": {"level": "a secret"}}}}
    assert "a secret" not in repr(conf.get_channel_conf("log"))
    assert conf.get_channel_conf("log").providers[0].options == {"level": "a secret"}

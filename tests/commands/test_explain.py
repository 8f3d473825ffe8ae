"""``explain_notification``: its sentences and its exit codes."""

import os
import subprocess
import sys
from datetime import time

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError

from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, NotificationLog, UserSettings
from notifications.recipients import Address
from tests.factories import ClusterFactory, UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db
ORDER = '{"order_number": "7", "eta": {"$date": "2026-11-20"}}'


@pytest.fixture
def ann():
    return UserFactory(username="ann")


@pytest.fixture
def run(capsys):
    def run(*arguments, code=0):
        try:
            call_command("explain_notification", *arguments)
            ended, words = 0, capsys.readouterr().out
        except SystemExit as end:
            ended, words = end.code, capsys.readouterr().out
        except CommandError as error:
            ended, words = error.returncode, str(error)
        assert ended == code
        return words

    return run


def test_it_explains_an_event(run, ann):
    output = run("order_shipped", "--user", "ann", "--context", ORDER)
    assert output.startswith("order_shipped to ann, as of ")
    assert "email: It would be sent as soon as a worker runs.\n" in output
    assert "  recipient: deliver (the user is active and a member of the cluster).\n" in output


def test_a_user_can_be_named_by_primary_key_and_a_time_can_be_given(run, ann):
    UserSettings.objects.create(
        user=ann, cluster=Cluster.objects.default(), quiet_from=time(22), quiet_until=time(7), time_zone="Europe/Berlin"
    )
    output = run("shop_newsletter", "--user", str(ann.pk), "--at", "2026-11-21T23:00")
    hours = "Europe/Berlin: quiet hours of this user"
    assert f"email: It would be sent at 07:00 on Sunday 22 November 2026, {hours}" in output


def test_the_exit_code_is_1_if_no_channel_reaches_the_recipient(run, ann):
    away = ClusterFactory()
    output = run("shop_newsletter", "--user", "ann", "--cluster", str(away.pk), code=1)
    assert "It would not be sent: MEMBERS_OF does not name this user." in output
    assert "\nemail:" not in run("order_shipped", "--user", "ann", "--channel", "app", "--context", ORDER)


def test_an_address_may_have_several_kinds(run, settings):
    sms = {"BACKEND": "example_project.quality.channels.TextStandIn", "OPTIONS": {"file": "never-written.jsonl"}}
    settings.NOTIFICATIONS = {"CHANNELS": {"sms": sms}}
    output = run("shop_newsletter", "--address", "email=x@example.com", "--address", "phone=+4915112345678")
    assert Address(email="x@example.com", phone="+4915112345678").key in output


def test_it_explains_a_delivery_and_a_notification(run, ann):
    stranger = UserFactory(username="bob", is_active=False)
    result = NotificationManager.send(ShopEvents.NEWSLETTER, [ann, stranger])
    number = str(result.notification_id)
    assert "It is ready and waits for a worker." in run("--delivery", str(Delivery.objects.get().pk))
    assert "It is ready and waits for a worker." in run("--notification", number, "--user", "ann")
    assert "It was not sent: The user is inactive." in run("--notification", number, "--user", "bob", code=1)
    UserFactory(username="carl")
    nothing = run("--notification", number, "--user", "carl", code=1)
    assert "The notification was not meant for this recipient." in nothing


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "exactly one of"),
        (["order_shipped", "--delivery", "1"], "exactly one of"),
        (["shop_newsletter"], "either --user or --address"),
        (["shop_newsletter", "--user", "ann", "--address", "email=x@example.com"], "either --user or --address"),
        (["shop_newsletter", "--user", "nobody"], "--user: there is no user 'nobody'"),
        (["shop_newsletter", "--user", "ann", "--actor", "nobody"], "--actor: there is no user 'nobody'"),
        (["shop_newsletter", "--user", "ann", "--cluster", "x"], "--cluster: there is no cluster 'x'"),
        (["shop_newsletter", "--user", "ann", "--cluster", ""], "--cluster: there is no cluster ''"),
        (["shop_newsletter", "--address", "x@example.com"], "email=contact@example.com"),
        (["shop_newsletter", "--user", "ann", "--at", "noon"], "--at must be a time"),
        (["shop_newsletter", "--user", "ann", "--context", "{"], "--context must be JSON"),
        (["message", "--user", "ann", "--context", "[" * 200_000], "--context is nested too deeply"),
        (["message", "--user", "ann", "--context", '{"message": ' * 900 + "1" + "}" * 900], "context"),
        (["message", "--user", "ann", "--context", "5"], "It must be a mapping"),
        (["shop_newsletter", "--user", "\udcff"], "--user: there is no user"),
        (["shop_newsletter", "--user", "a\0"], "--user: there is no user"),
        (["shop_newsletter", "--user", "9" * 40], "--user: there is no user"),
        (["shop_newsletter", "--user", "ann", "--level", "loud"], "level must be one of"),
        (["shop_newsletter", "--user", "ann", "--topic", "a\0"], "topic may have"),
        (["shop_newsletter", "--user", "ann", "--at", "0001-01-01"], "must be a time from 1970 to 8999"),
        (["shop_newsletter", "--address", "self=x"], "sends to the kind 'self'. Known kinds: email."),
        (["shop_newsletter", "--address", "phone=+4915112345678"], "sends to the kind 'phone'. Known kinds: email."),
        (["shop_newsletter", "--address", "user=1"], "Known kinds: email."),
        (["shop_newsletter", "--address", "email= "], "email=contact@example.com"),
        (["shop_newsletter", "--address", "email=a@example.com", "--address", "email=b@example.com"], "email twice"),
        (["nonsense", "--user", "ann"], "Known events"),
        (["order_shipped", "--user", "ann"], "'order_number' is missing"),
        (["--delivery", "77"], "--delivery: there is no delivery '77'"),
        (["--notification", "x", "--user", "ann"], "--notification: there is no notification 'x'"),
        (["--delivery", "9" * 40], "--delivery: there is no delivery"),
        (
            ["--delivery", "1", "--user", "ann", "--at", "2026-11-20"],
            "does not use --user, --at. Remove them.",
        ),
        (["--delivery", "1", "--context", "{}", "--send-at", "2026-11-20"], "does not use --context, --send-at."),
        (["--delivery", "1", "--address", "email=x@example.com"], "does not use --address. Remove it."),
        (["--delivery", "1", "--notification", "1"], "exactly one of"),
        (["--notification", "1", "--user", "ann", "--level", "info"], "--notification does not use --level."),
    ],
)
def test_wrong_arguments_are_errors_that_say_what_to_do(run, ann, arguments, words):
    assert words in run(*arguments, code=2)
    assert not NotificationLog.objects.exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('{"$date": 5}', "$date cannot be '5'"),
        ('{"$date": "foo"}', "$date cannot be 'foo'"),
        ('{"$datetime": null}', "$datetime cannot be 'None'"),
        ('{"$time": []}', "$time cannot be '[]'"),
        ('{"$decimal": "x"}', "$decimal cannot be 'x'"),
        ('{"$seconds": 1e300}', "$seconds cannot be '1e+300'"),
        ('{"$uuid": 1}', "$uuid cannot be '1'"),
        ('{"$dict": 1}', "$dict must be a mapping, not '1'"),
    ],
)
def test_a_value_of_a_wrong_type_is_not_reported_as_invalid_json(run, ann, value, words):
    output = run("message", "--user", "ann", "--context", f'{{"message": {value}}}', code=2)
    assert output.startswith(f"--context contains an invalid value: {words}")


def test_a_level_can_be_given(run, ann):
    UserSettings.objects.create(user=ann, cluster=Cluster.objects.default(), digest="daily", digest_hour=18)
    assert "The user would have to turn off the digest" in run("shop_newsletter", "--user", "ann")
    critical = run("shop_newsletter", "--user", "ann", "--level", "critical")
    assert "It would be sent as soon as a worker runs." in critical


def test_the_log_channel_alone_reaches_nobody(run, ann):
    output = run("message", "--user", "ann", "--channel", "log", "--context", '{"message": "hello"}', code=1)
    assert "It reaches nobody" in output


def test_wrong_settings_are_an_error_with_exit_code_2(ann, settings):
    settings.NOTIFICATIONS = {"QUEUE_LIMIT": "many"}
    with pytest.raises(SystemCheckError, match="QUEUE_LIMIT") as raised:
        call_command("explain_notification", "shop_newsletter", "--user", "ann", skip_checks=False)
    assert raised.value.returncode == 2


def test_an_unmigrated_database_is_reported(tmp_path):
    """The command runs in a separate process, whose database is an empty file."""
    settings = "from tests.settings import *\nDATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': "
    (tmp_path / "empty_site.py").write_text(f"{settings}{str(tmp_path / 'empty.db')!r}}}}}\n")
    command = [sys.executable, "-m", "django", "explain_notification", "shop_newsletter", "--user", "ann"]
    paths = os.pathsep.join([str(tmp_path), os.getcwd()])
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "empty_site", "PYTHONPATH": paths}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "The tables of django-klaxon are missing or not up to date (no such table" in ended.stderr
    assert "Traceback" not in ended.stderr

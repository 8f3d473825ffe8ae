"""``explain_notification``: sentences, and an exit code that a script can read."""

from datetime import time

import pytest
from django.core.management import CommandError, call_command

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


def test_it_tells_what_would_become_of_an_event(run, ann):
    said = run("order_shipped", "--user", "ann", "--context", ORDER)
    assert said.startswith(f"order_shipped to u:{ann.pk}, asked for ")
    assert "email: It would go out at once.\n" in said
    assert "  recipient says deliver: active, and a member of the cluster.\n" in said


def test_a_user_may_be_named_by_primary_key_and_a_time_be_chosen(run, ann):
    UserSettings.objects.create(
        user=ann, cluster=Cluster.objects.default(), quiet_from=time(22), quiet_until=time(7), time_zone="Europe/Berlin"
    )
    said = run("shop_newsletter", "--user", str(ann.pk), "--at", "2026-11-21T23:00")
    assert "email: It would go out at 07:00 on Sunday 22 November 2026, Europe/Berlin: quiet hours of this user" in said


def test_who_is_not_reached_on_any_channel_is_told_by_the_exit_code(run, ann):
    away = ClusterFactory()
    said = run("shop_newsletter", "--user", "ann", "--cluster", str(away.pk), code=1)
    assert "It would not go out: MEMBERS_OF does not name this user." in said
    assert "email says" not in run("order_shipped", "--user", "ann", "--channel", "app", "--context", ORDER)


def test_an_address_may_have_several_kinds(run):
    said = run("shop_newsletter", "--address", "email=x@example.com", "--address", "phone=+4915112345678")
    assert Address(email="x@example.com", phone="+4915112345678").key in said


def test_it_tells_of_a_delivery_and_of_a_notification(run, ann):
    stranger = UserFactory(username="bob", is_active=False)
    result = NotificationManager.send(ShopEvents.NEWSLETTER, [ann, stranger])
    number = str(result.notification_id)
    assert "It is ready, and waits for a worker." in run("--delivery", str(Delivery.objects.get().pk))
    assert "It is ready, and waits for a worker." in run("--notification", number, "--user", "ann")
    assert "It did not go out: The user is inactive." in run("--notification", number, "--user", "bob", code=1)
    UserFactory(username="carl")
    nothing = run("--notification", number, "--user", "carl", code=1)
    assert "Nothing of it was meant for this recipient." in nothing


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "one of them"),
        (["order_shipped", "--delivery", "1"], "one of them"),
        (["shop_newsletter"], "--user or by --address"),
        (["shop_newsletter", "--user", "ann", "--address", "email=x@example.com"], "--user or by --address"),
        (["shop_newsletter", "--user", "nobody"], "--user: there is no user 'nobody'"),
        (["shop_newsletter", "--user", "ann", "--actor", "nobody"], "--actor: there is no user 'nobody'"),
        (["shop_newsletter", "--user", "ann", "--cluster", "x"], "--cluster: there is no cluster 'x'"),
        (["shop_newsletter", "--address", "x@example.com"], "email=contact@example.com"),
        (["shop_newsletter", "--user", "ann", "--at", "noon"], "--at must be a time"),
        (["shop_newsletter", "--user", "ann", "--context", "{"], "--context must be JSON"),
        (["nonsense", "--user", "ann"], "Known events"),
        (["order_shipped", "--user", "ann"], "'order_number' is missing"),
        (["--delivery", "77"], "--delivery: there is no delivery '77'"),
        (["--notification", "x", "--user", "ann"], "--notification: there is no notification 'x'"),
    ],
)
def test_what_is_not_understood_says_what_to_do(run, ann, arguments, words):
    assert words in run(*arguments, code=2)
    assert not NotificationLog.objects.exists()

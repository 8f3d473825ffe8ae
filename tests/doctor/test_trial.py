"""A test message takes the way of every notification, and the command waits for the answers of the providers."""

import io
import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from notifications.channels import BaseChannel
from notifications.models import Delivery
from notifications.outcomes import Receipt, Verdict
from tests.doctor.diagnosing import diagnose, run
from tests.doctor.test_ten_breaks import execute
from tests.factories import UserFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]


class PagerChannel(BaseChannel):
    """Accepts or refuses every message."""

    address_kind = "email"

    def __init__(self, verdict="accepted"):
        self.verdict = Verdict(verdict)

    def prepare(self, delivery, rendered):
        return [rendered.text]

    def send(self, messages):
        for message in messages:
            is_good = self.verdict is Verdict.ACCEPTED
            yield Receipt(message, self.verdict, "pager service", "page-1" if is_good else "", "" if is_good else "No.")


@pytest.fixture
def use(settings):
    def use(verdict="accepted", **more):
        pager = {"BACKEND": f"{__name__}.PagerChannel", "OPTIONS": {"verdict": verdict}}
        channels = {"sms": pager, "email": {"ENABLED": False}, "app": {"ENABLED": False}}
        settings.NOTIFICATIONS = {"CHANNELS": channels, "BASE_URL": "https://shop.example.com", **more}

    use()
    return use


@pytest.fixture
def worker(monkeypatch):
    """Deliver what is queued, in another thread, as soon as the command waits."""
    from notifications.monitoring.doctor import trial

    def deliver():
        call_command("dispatch_notifications", stdout=io.StringIO())
        connections.close_all()

    def sleep(seconds):
        thread = threading.Thread(target=deliver)
        thread.start()
        thread.join()

    monkeypatch.setattr(trial.time, "sleep", sleep)


def send(*args):
    """Return the exit code and the output of the command."""
    out, code = io.StringIO(), 0
    try:
        call_command("send_test_notification", *args, stdout=out, no_color=True)
    except SystemExit as end:
        code = end.code
    return code, " ".join(out.getvalue().split())


def test_a_user_gets_a_message_and_the_provider_is_quoted(use, worker):
    UserFactory(username="ann")
    code, output = send("ann")
    assert code == 0, output
    assert "[ok] test message by sms: Accepted by pager service as page-1 in 0.0 s." in output


@pytest.mark.parametrize("address", ["contact@example.org", "email=contact@example.org"])
def test_an_address_gets_a_message(use, worker, address):
    assert send(address)[0] == 0
    assert Delivery.objects.get().address == "contact@example.org"


@pytest.mark.parametrize("verdict", ["permanent", "configuration", "temporary"])
def test_a_refusal_is_an_error_with_the_answer(use, worker, verdict):
    use(verdict)
    code, output = send("contact@example.org")
    assert code == 1
    assert "The answer by pager service: No." in output
    assert "notifications_doctor --only channels" in output


def test_without_a_worker_the_message_waits_and_the_command_says_what_to_start(use):
    code, output = send("contact@example.org", "--wait", "0")
    assert (code, Delivery.objects.count()) == (2, 1)
    assert "Run dispatch_notifications" in output


def test_immediate_delivery_needs_no_worker(use):
    use(DELIVERY="immediate")
    assert send("contact@example.org")[0] == 0


def test_a_user_without_an_address_is_an_error_for_a_channel_that_was_named(use):
    UserFactory(username="ann", email="")
    code, output = send("ann", "--channel", "sms")
    assert (code, "would have to" in output) == (1, True)
    code, output = send("ann")
    assert (code, "no channel reaches the recipient" in output) == (1, True)


def test_a_channel_that_is_not_configured_is_an_error(use):
    code, output = send("contact@example.org", "--channel", "voice")
    assert (code, "NOTIFICATIONS['CHANNELS']" in output) == (1, True)


def test_a_site_that_is_switched_off_says_so(use):
    use(ENABLED=False)
    code, output = send("contact@example.org")
    assert (code, "ENABLED" in output) == (1, True), output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nobody"], "there is no user 'nobody'"),
        (["fax=1"], "no channel of this site sends to the kind 'fax'"),
        (["contact@example.org", "--channel", "fax"], "cannot be sent on the channel 'fax'"),
        (["contact@example.org", "--wait", "-1"], "0 or more"),
    ],
)
def test_a_wrong_argument_is_refused(use, args, message):
    with pytest.raises(CommandError, match=message):
        send(*args)
    assert not Delivery.objects.exists()


def test_the_doctor_sends_it_too(use, worker):
    code, output = run("--only", "database", "--send-test", "contact@example.org")
    assert code == 0, output
    assert "Test message\n[ok] test message by sms" in output


@pytest.mark.parametrize("recipient", ["nobody", "fax=1"])
def test_a_wrong_recipient_is_one_result_of_the_doctor(use, recipient):
    code, results = diagnose("database", options=["--send-test", recipient])
    assert (code, results[0]["status"]) == (1, "ok")
    assert results[1]["examination"] == "test"
    assert results[1]["detail"].startswith("Nothing was sent. --")


@pytest.mark.django_db(transaction=True)
def test_without_a_table_the_test_message_is_not_checked(use):
    execute("ALTER TABLE klaxon_delivery RENAME TO klaxon_gone")
    try:
        _code, results = diagnose("database", options=["--send-test", "contact@example.org"])
    finally:
        execute("ALTER TABLE klaxon_gone RENAME TO klaxon_delivery")
    assert (results[1]["examination"], results[1]["status"]) == ("test", "not checked")

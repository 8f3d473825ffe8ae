"""``NOTIFICATIONS["ENABLED"] = False`` switches Klaxon off."""

import os
import signal
import threading
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from notifications import conf
from notifications.checks import run_checks
from notifications.core import clock
from notifications.core.databases import get_current_partition
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.workers.worker import Worker
from notifications.exceptions import UnknownEvent
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification, NotificationLog
from notifications.sending.options import SendOptions
from notifications.sending.request import validate_request
from notifications.spool.calls import to_record
from notifications.spool.files import Spool
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


@pytest.fixture
def switch_klaxon(settings):
    """Return a function that switches Klaxon on or off and sets other keys of the setting."""

    def switch_klaxon(on, **more):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ENABLED": on, **more}

    conf._log_warning_once.cache_clear()
    yield switch_klaxon
    conf._log_warning_once.cache_clear()


def send(user=None, **options):
    return NotificationManager.send(ShopEvents.NEWSLETTER, user or UserFactory(), **options)


def states():
    return sorted(Delivery.objects.values_list("state", flat=True))


def test_a_send_is_refused_completely_with_one_log_row(switch_klaxon):
    switch_klaxon(False)
    result = send(UserFactory.create_batch(3))
    assert (bool(result), result.queued, dict(result.reasons)) == (False, 0, {"switched_off": 1})
    assert states() == []
    row = NotificationLog.objects.get()
    assert (row.kind, row.reason, row.recipient_key) == ("drop", "switched_off", "*")


def test_an_invalid_call_still_raises(switch_klaxon):
    switch_klaxon(False)
    with pytest.raises(UnknownEvent):
        NotificationManager.send("no_such_event", UserFactory())


def test_an_idempotency_key_can_be_used_again_afterwards(switch_klaxon):
    switch_klaxon(False)
    assert not send(idempotency_key="one")
    switch_klaxon(True)
    result = send(idempotency_key="one")
    assert (result.queued, result.duplicate) == (1, False)


def test_a_limited_queue_also_refuses_it(switch_klaxon):
    switch_klaxon(False, QUEUE_LIMIT=5)
    assert dict(send().reasons) == {"switched_off": 1}


def test_it_is_logged_once(switch_klaxon, caplog):
    switch_klaxon(False)
    send()
    send()
    Dispatcher().run_until_idle()
    assert [record.getMessage() for record in caplog.records] == [conf.OFF_MESSAGE]


def test_workers_do_not_send_queued_deliveries(switch_klaxon):
    send()
    switch_klaxon(False)
    assert dict(Dispatcher().run_until_idle()) == {}
    assert dict(Worker().drain()) == {}
    assert states() == ["ready"]
    switch_klaxon(True)
    assert dict(Worker().drain()) == {"sent": 1}


def test_immediate_delivery_does_not_send_queued_deliveries(switch_klaxon, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks:
        send()
    switch_klaxon(False, DELIVERY="immediate")
    for callback in callbacks:
        callback()
    assert states() == ["ready"]


def test_a_watching_worker_waits_until_it_is_stopped(switch_klaxon):
    switch_klaxon(False)
    worker = Worker()
    thread = threading.Thread(target=worker.watch)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    worker.stop()
    thread.join(5)
    assert not thread.is_alive()


class Stopping(StringIO):
    """A terminal whose user presses Ctrl-C after reading the output."""

    def flush(self):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_watching_command_reports_it_once_at_the_start(switch_klaxon):
    switch_klaxon(False)
    out = Stopping()
    call_command("dispatch_notifications", "--watch", stdout=out)
    assert out.getvalue() == f"{conf.OFF_MESSAGE}\n"


@pytest.mark.parametrize("command", ["dispatch_notifications", "make_digests"])
def test_commands_report_it_and_do_nothing(switch_klaxon, capsys, command):
    send()
    switch_klaxon(False)
    call_command(command)
    assert capsys.readouterr().out == f"{conf.OFF_MESSAGE}\n"
    assert states() == ["ready"]


def test_spooled_sends_stay_in_the_spool(switch_klaxon, tmp_path):
    request = validate_request(ShopEvents.NEWSLETTER, None, None, SendOptions(idempotency_key="one"))
    Spool(tmp_path).append(to_record(request, [UserFactory()], clock.local_now()))
    switch_klaxon(False, SPOOL_DIR=str(tmp_path))
    with pytest.raises(CommandError, match="switched off .* The other lines stay spooled"):
        call_command("replay_spool")
    assert not Notification.objects.exists()
    switch_klaxon(True)
    call_command("replay_spool")
    assert states() == ["ready"]


def test_explain_and_why_report_it(switch_klaxon):
    user = UserFactory()
    queued = send(user)
    switch_klaxon(False)
    explained = NotificationManager.explain(ShopEvents.NEWSLETTER, user)
    assert "NOTIFICATIONS['ENABLED'] is False" in str(explained)
    assert not explained.reaches
    waiting = Notification.objects.get(pk=queued.notification_id)
    assert "nothing is sent until it is True" in str(NotificationManager.why(waiting, user))
    refused = Notification.objects.get(pk=send(user).notification_id)
    assert "NOTIFICATIONS['ENABLED'] would have to be True" in str(NotificationManager.why(refused, user))


def test_the_check_reports_it(switch_klaxon):
    switch_klaxon(False)
    [message] = [message for message in run_checks(None) if message.id == "klaxon.W008"]
    assert message.hint.startswith("Set NOTIFICATIONS['ENABLED'] to True")


@pytest.mark.needs("celery")
def test_celery_workers_do_not_send_queued_deliveries(switch_klaxon):
    from notifications.celery import tasks

    queued = send()
    switch_klaxon(False)
    tasks.dispatch(get_current_partition(), [queued.notification_id])
    tasks.sweep(get_current_partition())
    assert states() == ["ready"]

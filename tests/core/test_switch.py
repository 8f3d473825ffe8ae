"""``NOTIFICATIONS["ENABLED"] = False`` switches the whole system off."""

import os
import signal
import threading
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from notifications.checks import run_checks
from notifications.core import clock, partitions, switch
from notifications.delivering.dispatcher import Dispatcher
from notifications.delivering.workers.worker import Worker
from notifications.exceptions import UnknownEvent
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification, NotificationLog
from notifications.sending.request import Options
from notifications.sending.validation import validate_request
from notifications.spool.calls import to_record
from notifications.spool.files import Spool
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


@pytest.fixture
def turn(settings):
    """Switch it off or on, with whatever else the setting says."""

    def turn(on, **more):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ENABLED": on, **more}

    switch._log_warning_once.cache_clear()
    yield turn
    switch._log_warning_once.cache_clear()


def send(user=None, **options):
    return NotificationManager.send(ShopEvents.NEWSLETTER, user or UserFactory(), **options)


def states():
    return sorted(Delivery.objects.values_list("state", flat=True))


def test_a_send_is_refused_whole_with_one_row_in_the_log(turn):
    turn(False)
    result = send(UserFactory.create_batch(3))
    assert (bool(result), result.queued, dict(result.reasons)) == (False, 0, {"switched_off": 1})
    assert states() == []
    row = NotificationLog.objects.get()
    assert (row.kind, row.reason, row.recipient_key) == ("drop", "switched_off", "*")


def test_a_wrong_call_is_told_all_the_same(turn):
    turn(False)
    with pytest.raises(UnknownEvent):
        NotificationManager.send("no_such_event", UserFactory())


def test_an_idempotency_key_is_free_again_afterwards(turn):
    turn(False)
    assert not send(idempotency_key="one")
    turn(True)
    result = send(idempotency_key="one")
    assert (result.queued, result.duplicate) == (1, False)


def test_a_limited_queue_refuses_it_too(turn):
    turn(False, QUEUE_LIMIT=5)
    assert dict(send().reasons) == {"switched_off": 1}


def test_it_is_logged_once(turn, caplog):
    turn(False)
    send()
    send()
    Dispatcher().run_until_idle()
    assert [record.getMessage() for record in caplog.records] == [switch.OFF_MESSAGE]


def test_workers_leave_what_was_queued_before(turn):
    send()
    turn(False)
    assert dict(Dispatcher().run_until_idle()) == {}
    assert dict(Worker().drain()) == {}
    assert states() == ["ready"]
    turn(True)
    assert dict(Worker().drain()) == {"sent": 1}


def test_immediate_delivery_leaves_it_too(turn, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks:
        send()
    turn(False, DELIVERY="immediate")
    for callback in callbacks:
        callback()
    assert states() == ["ready"]


def test_a_worker_that_watches_waits_for_its_stop(turn):
    turn(False)
    worker = Worker()
    thread = threading.Thread(target=worker.watch)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    worker.stop()
    thread.join(5)
    assert not thread.is_alive()


class Stopping(StringIO):
    """A terminal whose user presses Ctrl-C once they have read what there is."""

    def flush(self):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_command_that_watches_says_so_once_and_before_it_is_stopped(turn):
    turn(False)
    out = Stopping()
    call_command("dispatch_notifications", "--watch", stdout=out)
    assert out.getvalue() == f"{switch.OFF_MESSAGE}\n"


@pytest.mark.parametrize("command", ["dispatch_notifications", "make_digests"])
def test_commands_say_so_and_do_nothing(turn, capsys, command):
    send()
    turn(False)
    call_command(command)
    assert capsys.readouterr().out == f"{switch.OFF_MESSAGE}\n"
    assert states() == ["ready"]


def test_spooled_sends_stay_in_the_spool(turn, tmp_path):
    request = validate_request(ShopEvents.NEWSLETTER, None, None, Options(idempotency_key="one"))
    Spool(tmp_path).append(to_record(request, [UserFactory()], clock.local_now()))
    turn(False, SPOOL_DIR=str(tmp_path))
    with pytest.raises(CommandError, match="switched off .* The other lines stay spooled"):
        call_command("replay_spool")
    assert not Notification.objects.exists()
    turn(True)
    call_command("replay_spool")
    assert states() == ["ready"]


def test_explain_names_it_before_and_why_afterwards(turn):
    user = UserFactory()
    queued = send(user)
    turn(False)
    explained = NotificationManager.explain(ShopEvents.NEWSLETTER, user)
    assert "NOTIFICATIONS['ENABLED'] is False" in str(explained)
    assert not explained.reaches
    waiting = Notification.objects.get(pk=queued.notification_id)
    assert "nothing is sent until it is True" in str(NotificationManager.why(waiting, user))
    refused = Notification.objects.get(pk=send(user).notification_id)
    assert "NOTIFICATIONS['ENABLED'] would have to be True" in str(NotificationManager.why(refused, user))


def test_the_check_reminds_of_it(turn):
    turn(False)
    [message] = [message for message in run_checks(None) if message.id == "klaxon.W008"]
    assert message.hint.startswith("Set NOTIFICATIONS['ENABLED'] to True")


@pytest.mark.needs("celery")
def test_celery_workers_leave_it_too(turn):
    from notifications.celery import tasks

    queued = send()
    turn(False)
    tasks.dispatch(partitions.current(), [queued.notification_id])
    tasks.sweep(partitions.current())
    assert states() == ["ready"]

"""Wake-ups: by PostgreSQL's notifications if they arrive, and by polling behind a pooler that drops them."""

import json
import threading
import time
from contextlib import ExitStack

import pytest
from django.db import connection

from notifications.delivering.workers.wake_up import Waker, warn_once
from notifications.manager import NotificationManager
from notifications.models import Cluster
from tests.factories import UserFactory
from tests.poolers import pgbouncer
from tests.processes import finished, start, until
from tests.shop.notification_events import ShopEvents

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="about PostgreSQL"),
]


def never():
    return False


def settled(waker):
    """Wait until a waker has decided how to wait. It may wake before that."""
    until(lambda: quiet(waker), seconds=10)


def watched(waker, seconds):
    """Let a waker wait repeatedly: any write on the same server wakes one that polls."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        waker.wait(left, never)


def quiet(waker):
    began = time.monotonic()
    waker.wait(2.5, never)
    return time.monotonic() - began >= 2.5


def woken_after(waker, commit):
    """Return the seconds from a commit in another thread until the waker returns."""
    times = []

    def committing():
        time.sleep(0.3)
        commit()
        times.append(time.monotonic())
        connection.close()

    thread = threading.Thread(target=committing)
    thread.start()
    waker.wait(10, never)
    woken = time.monotonic()
    thread.join()
    return woken - times[0]


def send_to(user):
    return lambda: NotificationManager.send(ShopEvents.ORDER_REFUSED, user, None, {})


@pytest.fixture
def behind(short_folder, monkeypatch):
    """Make wakers behind a PgBouncer in a given mode. The test itself connects directly."""
    warn_once.cache_clear()
    with ExitStack() as stack:

        def behind(mode):
            place = stack.enter_context(pgbouncer(short_folder / mode, mode))

            def waker():
                with monkeypatch.context() as patch:
                    for name, value in place.items():
                        patch.setitem(connection.settings_dict, name, value)
                    waking = Waker()
                stack.callback(waking.close)
                return waking

            return waker

        yield behind
    warn_once.cache_clear()


@pytest.mark.needs_program("pgbouncer")
def test_a_waker_behind_a_pooler_in_transaction_mode_polls_and_logs_it_once(behind, caplog):
    user = UserFactory()
    make = behind("transaction")
    wakers = [make(), make()]
    for waker in wakers:
        watched(waker, seconds=4)
    assert woken_after(wakers[0], send_to(user)) < 0.25
    [warning] = [record.getMessage() for record in caplog.records if record.name == "notifications.worker"]
    assert "notifications do not reach this worker" in warning
    assert "DISABLE_SERVER_SIDE_CURSORS" in warning


@pytest.mark.needs_program("pgbouncer")
def test_notifications_arrive_behind_a_pooler_in_session_mode(behind, caplog):
    user = UserFactory()
    waker = behind("session")()
    settled(waker)
    assert woken_after(waker, send_to(user)) < 0.25
    Cluster.objects.create(name="Unheard", slug="unheard")
    assert quiet(waker), "a commit without a notification does not wake it: it listens, and does not poll"
    assert caplog.messages == []


def test_a_direct_connection_listens_immediately(caplog):
    waker = Waker()
    waker.wait(0.5, never)
    waker.wait(0.5, never)
    Cluster.objects.create(name="Unheard", slug="unheard")
    assert quiet(waker)
    assert woken_after(waker, send_to(UserFactory())) < 0.25
    waker.close()
    assert caplog.messages == []


def test_a_waker_fails_after_its_connection_was_terminated():
    waker = Waker()
    settled(waker)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE query LIKE 'LISTEN klaxon%' AND datname = current_database()"
        )
    with pytest.raises(Exception, match="terminating connection|connection is closed|consuming input failed"):
        waker.wait(2, never)
    waker.close()


@pytest.mark.needs_program("pgbouncer")
def test_a_send_through_a_pooler_wakes_workers_that_are_connected_directly(short_folder):
    UserFactory(username="reader")
    waker = Waker()
    settled(waker)
    code = (
        "from django.contrib.auth.models import User; from notifications.manager import NotificationManager; "
        "from tests.shop.notification_events import ShopEvents; "
        "NotificationManager.send(ShopEvents.ORDER_REFUSED, User.objects.get(username='reader'), None, {})"
    )
    with pgbouncer(short_folder / "pooler") as place:
        sender = start("shell", "--no-imports", "-c", code, KLAXON_DATABASE_MORE=json.dumps(place))
        began = time.monotonic()
        waker.wait(30, never)
        assert time.monotonic() - began < 25
        finished(sender)
    waker.close()

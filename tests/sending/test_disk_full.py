"""A full disk: a send is refused as a whole, and workers continue when there is space again.

The tests simulate it with a limit on the pages of a real SQLite file. PostgreSQL has no such limit.
"""

import threading
from contextlib import contextmanager

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, connections, transaction

from notifications.delivering.workers.worker import Worker
from notifications.manager import NotificationManager
from notifications.models import AttachedFile, Cluster, Delivery, InboxItem, Notification, NotificationLog
from tests.factories import UserFactory
from tests.processes import until
from tests.shop.notification_events import ShopEvents

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'sqlite'", reason="about SQLite"),
]
LONG = {"order_number": "7" * 50_000}


@contextmanager
def full_disk(pages_left=2):
    """Limit the pages for every connection that is opened in the block. A connection keeps its limit."""
    with connection.cursor() as cursor:
        # Otherwise freed pages would be used first.
        cursor.execute("VACUUM")
        most = cursor.execute("PRAGMA page_count").fetchone()[0] + pages_left
    options = connection.settings_dict["OPTIONS"]
    before = options["init_command"]
    options["init_command"] = f"{before} PRAGMA max_page_count={most};"
    connections.close_all()
    try:
        yield
    finally:
        options["init_command"] = before
        connections.close_all()


@pytest.fixture
def users():
    Cluster.objects.default()
    return UserFactory.create_batch(300)


def order_shipped(users, **options):
    return NotificationManager.send(ShopEvents.ORDER_SHIPPED, users, None, LONG, **options)


def send_news(users, **options):
    return NotificationManager.send(ShopEvents.NEWSLETTER, users, None, {}, **options)


def is_nothing_written():
    return not any(model.objects.exists() for model in (Notification, Delivery, NotificationLog))


@pytest.mark.parametrize("key", [None, "order-7"])
def test_a_send_is_refused_with_a_clear_error_and_leaves_nothing(users, key):
    with full_disk(), pytest.raises(OperationalError, match="disk is full"):
        order_shipped(users, idempotency_key=key)
    assert is_nothing_written()
    result = order_shipped(users, idempotency_key=key)
    assert (result.queued, result.duplicate) == (600, False), "and the key is not used up"


def test_a_send_that_fails_after_many_of_its_chunks_leaves_nothing(users, settings):
    settings.NOTIFICATIONS = {"CHUNK_SIZE": 20}
    with full_disk(pages_left=30), pytest.raises(OperationalError, match="disk is full"):
        order_shipped(users)
    assert is_nothing_written()


def test_the_callers_own_rows_are_rolled_back_with_it(users):
    def register():
        with transaction.atomic():
            User.objects.create(username="in the same transaction")
            order_shipped(users)

    with full_disk(pages_left=20), pytest.raises(OperationalError):
        register()
    assert is_nothing_written()
    assert not User.objects.filter(username="in the same transaction").exists()


@pytest.mark.parametrize("pages_left", [0, 2, 14, 20, 26])
@pytest.mark.parametrize("count", [1, 2, 300])
def test_a_caller_who_catches_the_error_commits_only_its_own_rows(users, pages_left, count):
    """Whichever row does not fit."""
    refused = False
    with full_disk(pages_left=pages_left), transaction.atomic():
        user = User.objects.get(pk=users[0].pk)
        user.username = "in the same transaction"
        user.save()
        try:
            order_shipped(users[:count])
        except OperationalError:
            refused = True
    assert refused or (count < 300 and pages_left > 12)
    assert not refused or is_nothing_written()
    assert User.objects.filter(username="in the same transaction").exists()


@pytest.mark.parametrize("files", [1, 2])
@pytest.mark.parametrize("key", [None, "order-7"])
def test_a_caller_who_catches_the_error_of_attachments_commits_its_own_rows(users, files, key):
    attachments = [("bill.pdf", b"x" * 200_000)] * files
    with full_disk(pages_left=20), transaction.atomic():
        User.objects.filter(pk=users[0].pk).update(username="in the same transaction")
        with pytest.raises(OperationalError, match="disk is full"):
            send_news(users[:1], attachments=attachments, idempotency_key=key)
    assert is_nothing_written()
    assert not AttachedFile.objects.exists()
    assert User.objects.filter(username="in the same transaction").exists()


def test_a_worker_continues_when_there_is_space_again(users, caplog):
    NotificationManager.send(ShopEvents.ORDER_SHIPPED, users[:100], None, {"order_number": "7"}, channels=["app"])
    worker = Worker(workers=1, idle=0.05, error_pause=0.1)
    thread = threading.Thread(target=worker.watch)
    with full_disk():
        thread.start()
        until(lambda: worker.errors > 3)
        assert "disk is full" in caplog.text
    try:
        until(lambda: not Delivery.objects.exclude(state="sent").exists(), seconds=40)
    finally:
        worker.stop()
        thread.join(timeout=20)
    assert InboxItem.objects.count() == 100
    assert not thread.is_alive()

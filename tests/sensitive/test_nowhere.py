"""The content of a sensitive event is nowhere in plain text: everything that a send leaves is searched."""

import io
import json
import logging
from pathlib import Path

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connection

from notifications.delivering.workers.worker import Worker
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, InboxItem, NotificationLog
from notifications.outcomes import DeliveryState
from notifications.spool.files import Spool
from notifications.testing import travelling
from tests.digests.conftest import FRIDAY
from tests.factories import UserFactory, UserSettingsFactory
from tests.sensitive.conftest import CODE, CONTEXT, LabEvents
from tests.spool.outage import outage

pytestmark = [pytest.mark.needs("cryptography"), pytest.mark.django_db(transaction=True)]

SECRETS = [text.encode() for text in (CODE, "Zebrowska", "47110815471")]


def read_database():
    """Return the bytes of the database: its files on SQLite, and every row of every table as text on PostgreSQL."""
    if connection.vendor == "sqlite":
        path = Path(connection.settings_dict["NAME"])
        return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    with connection.cursor() as cursor:
        texts = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT row_data::text FROM "{table}" row_data')
            texts += [text for (text,) in cursor.fetchall()]
    return "\n".join(texts).encode()


def dump_data():
    out = io.StringIO()
    call_command("dumpdata", stdout=out)
    return out.getvalue().encode()


def find_secrets(content):
    return [secret for secret in SECRETS if secret in content]


@pytest.fixture(autouse=True)
def merged_search_index(transactional_db):
    """On SQLite, the search index keeps the words of deleted items of earlier tests until it is merged."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO klaxon_inboxsearch (klaxon_inboxsearch) VALUES ('optimize')")
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.fixture
def logged(caplog):
    """Record every log line, including each statement with its values."""
    caplog.set_level(logging.DEBUG)
    connection.force_debug_cursor = True
    yield lambda: caplog.text.encode()
    connection.force_debug_cursor = False


def send(*recipients, **options):
    return NotificationManager.send(LabEvents.RESULT, recipients, context=CONTEXT, **options)


def test_the_search_finds_the_same_content_of_an_event_that_is_not_sensitive(site, declare, reader, logged):
    declare(sensitive=False)
    send(reader)
    call_command("dispatch_notifications")
    assert find_secrets(read_database())
    assert find_secrets(dump_data())
    assert find_secrets(logged())
    assert find_secrets(mail.outbox[0].message().as_bytes())


def test_a_send_leaves_the_content_nowhere(site, reader, logged):
    result = send(reader, UserFactory(), idempotency_key="result-1")
    call_command("dispatch_notifications")
    assert (result.queued, set(Delivery.objects.values_list("state", flat=True))) == (6, {DeliveryState.SENT})
    assert find_secrets(read_database()) == []
    assert find_secrets(dump_data()) == []
    assert find_secrets(logged()) == []
    assert len(mail.outbox) == 2
    for message in mail.outbox:
        assert find_secrets(message.message().as_bytes()) == []


def test_the_content_is_where_it_must_be(site, reader, client):
    """So that the other tests do not pass because nothing was stored."""
    send(reader)
    call_command("dispatch_notifications")
    item = InboxItem.objects.get()
    assert (item.title, item.body) == ("Test result", "")
    assert item.reveal() == (f"Result {CODE}", f"The code is {CODE}.\n")


def test_a_digest_has_only_the_name_and_a_link(site, reader, logged):
    cluster = Cluster.objects.default()
    UserSettingsFactory(user=reader, cluster=cluster, digest="daily", digest_hour=8, time_zone="Europe/Berlin")
    with travelling(FRIDAY) as clock:
        first = send(reader)
        send(reader)
        clock.forward(days=1)
        Worker(workers=1).drain()
    [digest] = [message for message in mail.outbox if "Test result" in message.body]
    assert find_secrets(digest.message().as_bytes()) == []
    assert find_secrets(read_database()) == []
    assert find_secrets(logged()) == []
    assert first.held


def test_a_batch_has_only_the_name_and_a_link(site, declare, reader, logged):
    declare(batch_window=300)
    with travelling(FRIDAY) as clock:
        send(reader)
        send(reader)
        clock.forward(minutes=6)
        Worker(workers=1).drain()
    assert InboxItem.objects.count() == 1
    assert find_secrets(InboxItem.objects.get().body.encode()) == []
    assert find_secrets(read_database()) == []
    assert find_secrets(logged()) == []


@pytest.mark.parametrize(
    "fault",
    ["{{ code|broken_filter }}", "{% include code %}", "{% url code %}", "{{ original.code.missing }}{% now %}"],
)
def test_a_template_that_fails_leaves_the_content_nowhere(site, templates, reader, logged, fault):
    for part in ("subject.txt", "txt"):
        templates[f"notifications/test_result/app.{part}"] = fault
    send(reader)
    call_command("dispatch_notifications")
    assert Delivery.objects.get(channel="app").state == DeliveryState.DEAD
    assert NotificationLog.objects.get(channel="app").error_message
    assert find_secrets(read_database()) == []
    assert find_secrets(logged()) == []


def test_code_of_the_site_that_fails_leaves_the_content_nowhere(site, declare, reader, logged):
    def fail(context):
        raise ValueError(f"cannot use {context['code']}")

    declare(transforms={"app": fail}, urgency=fail)
    send(reader)
    call_command("dispatch_notifications")
    log = NotificationLog.objects.get(channel="app")
    assert log.error_message == "ValueError. The event is sensitive, so the text of the error is not recorded."
    assert find_secrets(read_database()) == []
    assert find_secrets(logged()) == []


def test_a_wrong_call_is_refused_without_quoting_a_value(site, reader, logged):
    wrong = [
        {"code": 47110815471, "patient": CODE},
        {**CONTEXT, "code": ["47110815471"]},
        CODE,
        {**CONTEXT, "more": 1, 47110815471: 2},
    ]
    for context in wrong:
        with pytest.raises(Exception, match="wrong") as raised:
            NotificationManager.send(LabEvents.RESULT, reader, context=context)
        assert find_secrets(str(raised.value).encode()) == []
    assert find_secrets(logged()) == []


class Result:
    """An object of the site, whose text is secret."""

    def __str__(self):
        return CODE


def test_a_critical_event_with_a_wrong_context_leaves_it_nowhere(site, declare, reader, logged):
    from notifications.events import NotificationPriority

    declare(priority=NotificationPriority.CRITICAL)
    context = {"code": 47110815471, "patient": Result(), "more": CODE}
    result = NotificationManager.send(LabEvents.RESULT, reader, context=context)
    call_command("dispatch_notifications")
    assert len(result.problems) >= 3
    assert find_secrets(" ".join(result.problems).encode()) == []
    assert find_secrets(read_database()) == []
    assert find_secrets(logged()) == []


def test_the_spool_has_it_only_encrypted(site, use_keys, tmp_path, settings, reader, logged):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "SPOOL_DIR": tmp_path / "spool"}
    with outage():
        assert send(reader).spooled
    [file] = [path for path in (tmp_path / "spool").iterdir() if path.suffix == ".spool"]
    assert find_secrets(file.read_bytes()) == []
    call_command("replay_spool")
    call_command("dispatch_notifications")
    assert InboxItem.objects.get().reveal()[0] == f"Result {CODE}"
    assert find_secrets(read_database()) == []
    assert find_secrets(logged()) == []


def test_a_replay_without_the_key_keeps_the_call(site, key, use_keys, tmp_path, settings, reader):
    from tests.sensitive.conftest import make_key

    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "SPOOL_DIR": tmp_path / "spool"}
    with outage():
        send(reader)
    use_keys(make_key())
    with pytest.raises(Exception, match="1 rejected"):
        call_command("replay_spool")
    entry = json.loads(Spool(tmp_path / "spool").rejected.read_text())
    assert "which NOTIFICATIONS['ENCRYPTION_KEYS'] does not contain" in entry["rejected"]
    use_keys(key)
    call_command("replay_spool", "--rejected")
    assert Delivery.objects.count() == 3


def test_hashes_of_the_content_cannot_be_tried_out(site, declare, reader, settings):
    """A short code could be found by hashing all codes, unless the hash needs a secret."""
    from notifications.models import Fingerprint, Notification

    declare(dedup_window=60, dedup_keys=["code"])
    send(reader, idempotency_key="1")
    hashes = [Notification.objects.get().idempotency_hash, *Fingerprint.objects.values_list("pk", flat=True)]
    Notification.objects.all().delete()
    Fingerprint.objects.all().delete()
    settings.SECRET_KEY = "another"
    send(reader, idempotency_key="1")
    again = [Notification.objects.get().idempotency_hash, *Fingerprint.objects.values_list("pk", flat=True)]
    assert len(hashes) == 2
    assert not set(hashes) & set(again)

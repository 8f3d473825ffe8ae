"""``rotate_encryption_keys`` encrypts everything with the first key, so that the older keys can be removed."""

import io

import pytest
from django.core.management import CommandError, call_command

from notifications.core.encryption import get_key_id
from notifications.manager import NotificationManager
from notifications.models import InboxItem, Notification
from tests.factories import UserFactory
from tests.sensitive.conftest import CODE, CONTEXT, LabEvents, make_key
from tests.spool.outage import outage

pytestmark = [pytest.mark.needs("cryptography"), pytest.mark.django_db]


def rotate(*args):
    """Return the exit code and the output."""
    out = io.StringIO()
    try:
        call_command("rotate_encryption_keys", *args, stdout=out, skip_checks=True)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


@pytest.fixture
def sent(site, reader):
    for _ in range(5):
        NotificationManager.send(LabEvents.RESULT, reader, context=CONTEXT, channels=["app"])
    call_command("dispatch_notifications")


def get_key_ids():
    tokens = [row.context["$encrypted"] for row in Notification.objects.all()]
    tokens += InboxItem.objects.values_list("encrypted", flat=True)
    return {token.partition(":")[0] for token in tokens}


def test_after_it_the_new_key_is_enough(sent, key, use_keys, settings):
    new = make_key()
    use_keys(new, key, CHUNK_SIZE=2)
    code, output = rotate()
    assert (code, output.splitlines()[0]) == (0, "Encrypted again: 5 notifications and 5 inbox items.")
    assert get_key_ids() == {get_key_id(new)}
    use_keys(new)
    assert {row.values["code"] for row in Notification.objects.all()} == {CODE}
    assert {item.reveal()[0] for item in InboxItem.objects.all()} == {f"Result {CODE}"}


def test_a_second_run_has_nothing_to_do(sent, key, use_keys):
    use_keys(make_key(), key)
    rotate()
    assert rotate()[1].startswith("Encrypted again: 0 notifications and 0 inbox items.")


def test_a_dry_run_only_counts(sent, key, use_keys):
    use_keys(make_key(), key)
    code, output = rotate("--dry-run")
    expected = "Not encrypted with the first key: 5 notifications and 5 inbox items, 0 spooled calls.\n"
    assert (code, output, get_key_ids()) == (0, expected, {get_key_id(key)})


def test_content_whose_key_is_missing_stays_and_is_counted(sent, key, use_keys):
    use_keys(make_key())
    code, output = rotate()
    assert (code, output) == (
        1,
        "Of 5 notifications and 5 inbox items, 10 cannot be decrypted. Add their keys to "
        "NOTIFICATIONS['ENCRYPTION_KEYS'], and do not remove any.",
    )
    assert get_key_ids() == {get_key_id(key)}


def test_content_from_before_the_event_was_sensitive_is_encrypted_too(site, declare, reader, key):
    declare(sensitive=False)
    NotificationManager.send(LabEvents.RESULT, reader, context=CONTEXT)
    call_command("dispatch_notifications")
    declare()
    assert rotate()[1].startswith("Encrypted again: 1 notification and 1 inbox item.")
    assert get_key_ids() == {get_key_id(key)}
    item = InboxItem.objects.get()
    assert (item.title, item.body, item.reveal()[0]) == ("Test result", "", f"Result {CODE}")


def test_other_notifications_are_left_alone(sent, reader, key, use_keys):
    NotificationManager.send_notification("Hello", recipients=[UserFactory()])
    use_keys(make_key(), key)
    assert rotate()[1].startswith("Encrypted again: 5 notifications and 5 inbox items.")
    assert Notification.objects.latest("pk").context == {"message": "Hello", "title": None}


def test_without_a_key_it_says_so(site, use_keys):
    use_keys()
    code, output = rotate()
    assert (code, "is empty" in output) == (1, True)


@pytest.mark.django_db(transaction=True)
def test_calls_in_the_spool_need_their_key_until_they_are_replayed(site, key, use_keys, tmp_path):
    user, new = UserFactory(), make_key()
    use_keys(key, SPOOL_DIR=tmp_path / "spool")
    with outage():
        NotificationManager.send(LabEvents.RESULT, user, context=CONTEXT)
    use_keys(new, key)
    code, output = rotate()
    assert (code, "The spool contains 1 spooled call not encrypted with the first key." in output) == (2, True)
    call_command("replay_spool")
    assert rotate()[0] == 0
    assert get_key_ids() == {get_key_id(new)}


def test_rows_that_another_process_stores_with_an_older_key_are_reported(sent, key, use_keys, monkeypatch):
    from notifications.management.commands import rotate_encryption_keys

    def reencrypt(rows, *args):
        """Stands for a process that was not restarted, and stores rows behind the command."""
        return 0

    use_keys(make_key(), key)
    monkeypatch.setattr(rotate_encryption_keys, "reencrypt", reencrypt)
    code, output = rotate()
    assert (code, "Another process has stored 10 rows without the first key" in output) == (2, True)

"""Run as a process by tests/packaging/test_tenant_site.py: migrate an empty database, send, deliver."""

import django
import pytest
from django.core.management import call_command


def main() -> None:
    django.setup()
    from django.core import mail
    from django.core.mail.backends import locmem  # noqa: F401 - makes mail.outbox

    from notifications.exceptions import InvalidCluster
    from notifications.inbox.feed import Cursor
    from notifications.live.reading import load_changes
    from notifications.live.sessions import Visitor, find_ended
    from notifications.manager import NotificationManager
    from notifications.models import Delivery, InboxItem, NotificationLog
    from notifications.recipients import Members
    from tests.tenant_site.estates.models import Estate, Resident

    mail.outbox = []
    call_command("migrate", verbosity=0)
    call_command("check", fail_level="WARNING", databases=["default"])
    home, away = Estate.objects.create(name="Home"), Estate.objects.create(name="Away")
    lives_here = Resident.objects.create(email_address="a@example.com", estate=home)
    lives_there = Resident.objects.create(email_address="b@example.com", estate=away)
    Resident.objects.create(email_address="c@example.com", estate=home, moved_out=True)
    result = NotificationManager.send("message", [lives_here, lives_there], home, {"message": "Hello"})
    assert (result.queued, dict(result.reasons)) == (2, {"not_member": 2}), result
    assert NotificationManager.send("message", Members(home), home, {"message": "Hello"}).queued == 2
    call_command("dispatch_notifications", workers=1)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert [message.to for message in mail.outbox] == [["a@example.com"]] * 2
    assert InboxItem.objects.filter(recipient=lives_here, cluster=home).count() == 2
    position = lives_here.pk, Cursor(0)
    assert len(load_changes([position])[position].items) == 2
    assert find_ended([Visitor(lives_here.pk)]) == set()
    with pytest.raises(InvalidCluster, match="must be a Estate"):
        NotificationManager.send("message", lives_here, None, {"message": "Hello"})
    lives_here.delete()
    assert NotificationLog.objects.filter(success=True).count() == 4
    print("told")


if __name__ == "__main__":
    main()

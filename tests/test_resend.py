"""``resend()``: a person has a dead or unknown delivery sent again, and the log keeps who and why."""

import pytest
from django.contrib.auth.models import Permission
from django.core import mail

from notifications.dispatch.dispatcher import Dispatcher
from notifications.exceptions import InvalidOption, NotPermitted
from notifications.manager import NotificationManager
from notifications.models import Delivery, NotificationLog
from notifications.outcomes import DeliveryState
from notifications.signals import notifications_queued
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def delivery_in(state):
    NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory())
    Delivery.objects.update(state=state, attempts=4, strikes=1, fence=7)
    return Delivery.objects.get()


@pytest.mark.parametrize("state", ["dead", "unknown"])
def test_it_gets_a_new_epoch_and_arrives(state):
    again = NotificationManager.resend(delivery_in(state), "the mailbox works again")
    assert (again.state, again.epoch, again.attempts, again.strikes, again.fence) == ("ready", 1, 0, 0, 7)
    assert Dispatcher().run_until_idle() == {"sent": 1}
    assert len(mail.outbox) == 1


def test_the_log_names_who_and_why_and_no_person():
    actor = UserFactory(username="anna", is_superuser=True)
    delivery = delivery_in("dead")
    NotificationManager.resend(delivery, "ann@example.com has written", actor)
    row = NotificationLog.objects.get()
    assert (row.kind, row.reason, row.delivery_id, row.success) == ("resent", "retried", delivery.pk, False)
    assert row.error_message == f"by u:{actor.pk}: a***@example.com has written"


def test_workers_are_told_after_the_commit(django_capture_on_commit_callbacks):
    told = []
    receiver = lambda notification_ids, **kwargs: told.extend(notification_ids)  # noqa: E731
    notifications_queued.connect(receiver)
    delivery = delivery_in("dead")
    with django_capture_on_commit_callbacks(execute=True):
        NotificationManager.resend(delivery, "again")
        assert told == []
    assert told == [delivery.notification_id]


@pytest.mark.parametrize("state", sorted({*DeliveryState.values} - {"dead", "unknown"}))
def test_any_other_state_is_refused_and_named(state):
    delivery = delivery_in(state)
    with pytest.raises(InvalidOption, match=rf"Delivery {delivery.pk} is {state}; only what is dead or unknown"):
        NotificationManager.resend(delivery, "again")
    assert Delivery.objects.get().epoch == 0
    assert not NotificationLog.objects.exists()


def test_what_is_stale_or_gone_is_looked_up():
    delivery = delivery_in("dead")
    NotificationManager.resend(delivery, "again")
    with pytest.raises(InvalidOption, match="is ready"):
        NotificationManager.resend(delivery, "and again")
    Delivery.objects.all().delete()
    with pytest.raises(InvalidOption, match="is gone"):
        NotificationManager.resend(delivery, "and again")


@pytest.mark.parametrize("reason", ["", "  ", None])
def test_a_reason_must_be_given(reason):
    with pytest.raises(InvalidOption, match="needs a reason"):
        NotificationManager.resend(delivery_in("dead"), reason)


def test_an_actor_needs_the_permission():
    actor, delivery = UserFactory(), delivery_in("dead")
    with pytest.raises(NotPermitted, match="klaxon.retry_delivery"):
        NotificationManager.resend(delivery, "again", actor)
    assert Delivery.objects.get().state == "dead"
    actor.user_permissions.add(Permission.objects.get(codename="retry_delivery"))
    del actor._perm_cache
    assert NotificationManager.resend(delivery, "again", type(actor).objects.get(pk=actor.pk)).state == "ready"

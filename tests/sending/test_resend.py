"""``resend()``: send a dead or unknown delivery again. The log records who did it and why."""

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission
from django.core import mail

from notifications.delivering.dispatcher import Dispatcher
from notifications.exceptions import InvalidOption, NotPermitted
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification, NotificationLog
from notifications.outcomes import DeliveryState, SendResult
from notifications.signals import notifications_queued
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def delivery_in(state):
    NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory())
    Delivery.objects.update(state=state, attempts=4, strikes=1, fence=7)
    return Delivery.objects.get()


@pytest.mark.parametrize("state", ["dead", "unknown"])
def test_a_resent_delivery_gets_a_new_epoch_and_is_sent(state):
    again = NotificationManager.resend(delivery_in(state), "the mailbox works again")
    assert (again.state, again.epoch, again.attempts, again.strikes, again.fence) == ("ready", 1, 0, 0, 7)
    assert Dispatcher().run_until_idle() == {"sent": 1}
    assert len(mail.outbox) == 1


def test_the_log_has_the_reason_and_the_actors_key_but_no_name():
    actor = UserFactory(username="anna", is_superuser=True)
    delivery = delivery_in("dead")
    NotificationManager.resend(delivery, "ann@example.com has written", actor)
    row = NotificationLog.objects.get()
    assert (row.kind, row.reason, row.delivery_id, row.success) == ("resent", "retried", delivery.pk, False)
    assert row.error_message == f"by u:{actor.pk}: a***@example.com has written"


def test_the_signal_is_sent_after_the_commit(django_capture_on_commit_callbacks):
    queued_ids = []
    receiver = lambda notification_ids, **kwargs: queued_ids.extend(notification_ids)  # noqa: E731
    notifications_queued.connect(receiver)
    delivery = delivery_in("dead")
    with django_capture_on_commit_callbacks(execute=True):
        NotificationManager.resend(delivery, "again")
        assert queued_ids == []
    assert queued_ids == [delivery.notification_id]


@pytest.mark.parametrize("state", sorted({*DeliveryState.values} - {"dead", "unknown"}))
def test_any_other_state_is_refused_and_named(state):
    delivery = delivery_in(state)
    with pytest.raises(InvalidOption, match=rf"Delivery {delivery.pk} is {state}; only a dead or unknown delivery"):
        NotificationManager.resend(delivery, "again")
    assert Delivery.objects.get().epoch == 0
    assert not NotificationLog.objects.exists()


def test_a_stale_or_deleted_delivery_is_read_again():
    delivery = delivery_in("dead")
    NotificationManager.resend(delivery, "again")
    with pytest.raises(InvalidOption, match="is ready"):
        NotificationManager.resend(delivery, "and again")
    Delivery.objects.all().delete()
    with pytest.raises(InvalidOption, match="no longer exists"):
        NotificationManager.resend(delivery, "and again")


@pytest.mark.parametrize("reason", ["", "  ", None])
def test_a_reason_must_be_given(reason):
    with pytest.raises(InvalidOption, match="requires a reason"):
        NotificationManager.resend(delivery_in("dead"), reason)


@pytest.mark.parametrize("reason", ["x" * 501, "the mailbox\0", "half \ud800"])
def test_a_reason_that_is_too_long_or_cannot_be_stored_is_an_error(reason):
    with pytest.raises(InvalidOption, match="may have 500 plain characters"):
        NotificationManager.resend(delivery_in("dead"), reason)
    assert Delivery.objects.get().state == "dead"


def test_the_longest_reason_is_stored():
    actor = UserFactory(is_superuser=True)
    NotificationManager.resend(delivery_in("dead"), "x" * 500, actor)
    assert NotificationLog.objects.get().error_message == f"by u:{actor.pk}: {'x' * 500}"


@pytest.mark.parametrize("thing", ["notification", "nothing", "key", "result", "unsaved"])
def test_something_other_than_a_saved_delivery_is_an_error(thing):
    delivery = delivery_in("dead")
    notification = Notification(pk=delivery.pk)
    things = {"notification": notification, "nothing": None, "key": delivery.pk, "result": SendResult(delivery.pk)}
    with pytest.raises(InvalidOption, match="takes a saved Delivery"):
        NotificationManager.resend(things.get(thing, Delivery()), "again")
    assert Delivery.objects.get().state == "dead"


@pytest.mark.parametrize("actor", ["anna", 1, Group(name="staff"), UserFactory.build(is_superuser=True)])
def test_an_actor_is_a_saved_user(actor):
    with pytest.raises(InvalidOption, match="actor must be a saved user"):
        NotificationManager.resend(delivery_in("dead"), "again", actor)


def test_an_anonymous_actor_is_refused():
    with pytest.raises(NotPermitted, match="requires the permission"):
        NotificationManager.resend(delivery_in("dead"), "again", AnonymousUser())


def test_an_actor_without_the_permission_is_refused():
    actor, delivery = UserFactory(), delivery_in("dead")
    with pytest.raises(NotPermitted, match="klaxon.retry_delivery"):
        NotificationManager.resend(delivery, "again", actor)
    assert Delivery.objects.get().state == "dead"
    actor.user_permissions.add(Permission.objects.get(codename="retry_delivery"))
    del actor._perm_cache
    assert NotificationManager.resend(delivery, "again", type(actor).objects.get(pk=actor.pk)).state == "ready"

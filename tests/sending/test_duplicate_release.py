"""The first notifications that make later ones duplicates, and those that do not."""

from datetime import timedelta

import pytest
from django.utils import timezone

from notifications.core import clock
from notifications.digests import make_due
from notifications.manager import NotificationManager
from notifications.models import Delivery, Fingerprint, Notification
from notifications.models.fingerprint import UNSUCCESSFUL_STATES
from notifications.outcomes import WAITING, DeliveryState
from notifications.testing import travelling
from tests.factories import UserFactory
from tests.sending.alarms import DROPPED, SERVED, Alarms, figures, send

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("state", DeliveryState.values)
def test_the_key_is_released_if_the_first_was_not_sent(declare, user, state):
    first = send(user)
    Delivery.objects.filter(channel="email").update(state="dead")
    assert figures(send(user)) == DROPPED, "one channel may still reach them"
    Delivery.objects.filter(channel="app").update(state=state)
    expected = SERVED if state in UNSUCCESSFUL_STATES else DROPPED
    second = send(user)
    assert figures(second) == expected
    now_first = second if expected == SERVED else first
    assert Fingerprint.objects.get().notification_id == now_first.notification_id
    assert figures(send(user)) == DROPPED


def test_the_first_of_one_recipient_does_not_block_another(declare):
    lucky, unlucky = UserFactory(), UserFactory()
    send([lucky, unlucky])
    Delivery.objects.filter(recipient=unlucky).update(state="expired")
    second = send([lucky, unlucky])
    assert figures(second) == (2, {"duplicate": 2})
    assert set(Delivery.objects.filter(notification=second.notification_id).values_list("recipient", flat=True)) == {
        unlucky.pk
    }


def test_cancelling_the_first_releases_the_key(declare, user):
    send(user, cancel_key="false alarm")
    NotificationManager.cancel(None, "false alarm")
    assert figures(send(user)) == SERVED


def test_a_first_that_was_cancelled_while_claimed_releases_the_key_once_it_waits_again(declare, user):
    send(user, cancel_key="false alarm")
    Delivery.objects.update(state="claimed")
    NotificationManager.cancel(None, "false alarm")
    assert figures(send(user)) == DROPPED, "it may be on its way"
    Delivery.objects.update(state="retry")
    assert figures(send(user)) == SERVED


@pytest.mark.parametrize("state", WAITING)
def test_an_expired_first_releases_the_key_before_a_worker_sees_it(declare, user, state):
    with travelling() as clock:
        send(user, expires_at=clock() + timedelta(minutes=5))
        Delivery.objects.update(state=state)
        clock.forward(minutes=5, microseconds=-1)
        assert figures(send(user)) == DROPPED
        assert not NotificationManager.explain(Alarms.SMOKE, user, None, {"room": "hall", "seen": 1}).reaches
        clock.forward(microseconds=1)
        assert NotificationManager.explain(Alarms.SMOKE, user, None, {"room": "hall", "seen": 1}).reaches
        assert figures(send(user)) == SERVED


@pytest.mark.parametrize("state", ["claimed", "sending", "unknown", "sent"])
def test_a_first_that_expired_after_it_was_claimed_counts(declare, user, state):
    with travelling() as clock:
        send(user, expires_at=clock() + timedelta(minutes=5))
        Delivery.objects.update(state=state)
        clock.forward(minutes=5)
        assert figures(send(user)) == DROPPED


def test_a_first_that_is_held_past_its_expiry_releases_the_key(declare, user):
    with travelling() as clock:
        send(user, send_at=clock() + timedelta(minutes=5), expires_at=clock() + timedelta(minutes=10))
        assert figures(send(user)) == DROPPED
        Delivery.objects.update(due_at=clock() + timedelta(minutes=10), reason="quiet_hours")
        assert figures(send(user)) == SERVED


def batch_of_two(declare, user, **more):
    """Send two alarms of a batch. Yield the delivery of the batch, then whether the first alarm's key is released."""
    declare(channels=["email"], batch_window=300, **more)
    with travelling() as clock:
        send(user, "hall"), send(user, "attic")
        clock.forward(minutes=6)
        make_due()
        assert figures(send(user, "hall")) == (0, {"duplicate": 1})
        yield Delivery.objects.get(notification__digest_kind="batch")
        yield send(user, "hall").held == 1


@pytest.mark.parametrize("state", DeliveryState.values)
def test_a_batch_item_releases_the_key_if_the_batch_was_not_sent(declare, user, state):
    steps = batch_of_two(declare, user)
    Delivery.objects.filter(pk=next(steps).pk).update(state=state)
    is_free = next(steps)
    assert is_free == (state in UNSUCCESSFUL_STATES)


def test_a_batch_item_counts_if_the_fallback_channel_has_the_batch(declare, user):
    steps = batch_of_two(declare, user, fallback={"email": "app"})
    batch = next(steps)
    Delivery.objects.filter(pk=batch.pk).update(state="dead")
    Delivery.build(batch.notification, "app", f"u:{user.pk}", "", recipient=user).save()
    is_free = next(steps)
    assert not is_free


@pytest.mark.parametrize(("state", "frees"), [("retry", True), ("ready", True), ("sending", False), ("sent", False)])
@pytest.mark.parametrize("called_off", ["cancelled_at", "expires_at"])
def test_a_cancelled_item_leaves_a_waiting_batch_and_releases_the_key(declare, user, called_off, state, frees):
    steps = batch_of_two(declare, user)
    Delivery.objects.filter(pk=next(steps).pk).update(state=state)
    Notification.objects.filter(digest_kind="").update(**{called_off: timezone.now() - timedelta(days=1)})
    is_free = next(steps)
    assert is_free == frees


def test_an_item_of_a_deleted_batch_counts(declare, user):
    steps = batch_of_two(declare, user)
    next(steps).notification.delete()
    is_free = next(steps)
    assert not is_free


def test_a_delivery_to_the_log_does_not_count(declare, user):
    declare(channels=["email", "log"])
    narrowed = send(user, channels=["log"])
    assert (figures(narrowed), Fingerprint.objects.count()) == ((1, {}), 0)
    assert figures(send(user)) == (2, {})
    Delivery.objects.filter(channel="email").update(state="dead")
    assert figures(send(user)) == (2, {})
    assert figures(send(user)) == (0, {"duplicate": 2})


def test_a_delivery_to_the_log_counts_if_it_is_the_only_channel(declare, user):
    declare(channels=["log"])
    assert [figures(send(user)) for _ in range(2)] == [(1, {}), (0, {"duplicate": 1})]


def test_a_resent_dead_letter_counts_again(declare, user):
    send(user)
    Delivery.objects.update(state="dead")
    Delivery.objects.reopen(clock.now())
    assert figures(send(user)) == DROPPED


def test_a_delivery_on_a_fallback_channel_counts(declare, user):
    declare(channels=["email"], fallback={"email": "app"})
    send(user)
    first = Notification.objects.get()
    Delivery.objects.update(state="dead")
    Delivery.build(first, "app", f"u:{user.pk}", "", recipient=user).save()
    assert figures(send(user)) == (0, {"duplicate": 1})


def test_a_deleted_first_does_not_count(declare, user):
    send(user)
    Notification.objects.all().delete()
    assert figures(send(user)) == SERVED


def test_a_held_delivery_counts(declare, user):
    with travelling() as clock:
        held = send(user, send_at=clock() + timedelta(hours=1))
        assert held.held == 2
        assert figures(send(user)) == DROPPED

"""Two calls with the same idempotency key."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from notifications.exceptions import IdempotencyConflict, InvalidRecipient
from notifications.models import Delivery, Notification
from tests.factories import ClusterFactory, UserFactory
from tests.sending.calls import send, send_newsletter


class TestIdempotency:
    def test_the_same_content_is_queued_once(self, user):
        first = send([user], idempotency_key="order-7")
        second = send([user], idempotency_key="order-7")
        assert not first.duplicate
        assert second.duplicate
        assert second.notification_id == first.notification_id
        assert second.as_dict() == first.as_dict()
        assert Delivery.objects.count() == 2

    def test_the_figures_of_the_first_call_include_its_drops(self, db):
        users = [UserFactory(email=""), UserFactory()]
        options = {"idempotency_key": "order-7", "send_at": datetime(2100, 1, 1, tzinfo=UTC)}
        first, second = send(users, **options), send(users, **options)
        assert second.as_dict() == first.as_dict() == {
            "queued": 0, "held": 3, "dropped": 1, "reasons": {"no_address": 1},
        }  # fmt: skip
        assert bool(second) is bool(first) is False
        assert list(second.outcomes()) == list(first.outcomes())

    @pytest.mark.parametrize(
        "other",
        [
            {"context": {"order_number": "8"}},
            {"channels": ["email"]},
            {"level": "debug"},
            {"topic": "other"},
            {"cancel_key": "other"},
            {"expires_at": datetime(2100, 1, 1, tzinfo=UTC)},
        ],
    )
    def test_different_content_is_a_conflict(self, user, other):
        send([user], idempotency_key="order-7")
        with pytest.raises(IdempotencyConflict, match="order-7"):
            send([user], idempotency_key="order-7", **other)
        assert Notification.objects.count() == 1

    def test_the_order_of_channels_does_not_matter(self, user):
        send([user], idempotency_key="order-7", channels=["email", "app"])
        assert send([user], idempotency_key="order-7", channels=["app", "email"]).duplicate

    def test_the_order_in_a_set_does_not_matter(self, user, event_with):
        event = event_with()
        send([user], event, {"numbers": {0, 8}}, idempotency_key="order-7")
        assert send([user], event, {"numbers": {8, 0}}, idempotency_key="order-7").duplicate

    def test_the_offset_from_utc_does_not_matter(self, user, event_with):
        at = datetime(2100, 1, 1, 12, tzinfo=UTC)
        also_at = at.astimezone(timezone.get_fixed_timezone(60))
        for moment in (at, also_at):
            times = {"send_at": moment, "expires_at": moment + timedelta(days=1)}
            result = send([user], event_with(), {"begins": [moment]}, idempotency_key="order-7", **times)
        assert result.duplicate
        with pytest.raises(IdempotencyConflict):
            send([user], event_with(), {"begins": [at.replace(hour=13)]}, idempotency_key="order-7", **times)

    def test_a_channel_that_the_site_has_added_since_does_not_matter(self, user, event_with, settings):
        event = event_with(channels=["email", "sms"])
        send([user], event, {}, idempotency_key="order-7")
        settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"BACKEND": "notifications.channels.log.LogChannel"}}}
        assert send([user], event, {}, idempotency_key="order-7").duplicate

    def test_two_clusters_may_use_the_same_key(self, user):
        for cluster in (ClusterFactory(members=[user]), ClusterFactory(members=[user])):
            assert not send_newsletter([user], cluster, idempotency_key="order-7").duplicate
        assert Notification.objects.count() == 2

    def test_two_events_may_use_the_same_key(self, user):
        assert not send([user], idempotency_key="order-7").duplicate
        assert not send_newsletter([user], idempotency_key="order-7").duplicate

    @pytest.mark.parametrize("none", [None, ""])
    def test_without_a_key_every_call_is_new(self, user, none):
        assert not send([user], idempotency_key=none).duplicate
        assert not send([user], idempotency_key=none).duplicate

    def test_a_repeated_call_leaves_the_callers_transaction_usable(self, user):
        with transaction.atomic():
            send([user], idempotency_key="order-7")
            send([user], idempotency_key="order-7")
            UserFactory()
        assert User.objects.count() == 2

    def test_a_failed_call_does_not_use_its_key(self, user):
        with pytest.raises(InvalidRecipient):
            send(["bob"], idempotency_key="order-7")
        assert not send([user], idempotency_key="order-7").duplicate

    def test_a_repeated_call_sends_no_signal(self, user, queued_ids, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            send([user], idempotency_key="order-7")
        with django_capture_on_commit_callbacks(execute=True) as callbacks:
            send([user], idempotency_key="order-7")
        assert len(queued_ids) == 1
        assert callbacks == []

"""``cancel()``."""

from datetime import UTC, datetime

import pytest

from notifications.exceptions import InvalidOption
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification
from notifications.outcomes import DeliveryState
from tests.factories import ClusterFactory
from tests.sending.calls import send_newsletter


class TestCancel:
    def test_unclaimed_deliveries_are_cancelled(self, user):
        cluster = ClusterFactory(members=[user])
        send_newsletter([user], cluster, cancel_key="order-7")
        send_newsletter([user], cluster, cancel_key="order-7", send_at=datetime(2100, 1, 1, tzinfo=UTC))
        assert NotificationManager.cancel(cluster, "order-7") == 2
        for delivery in Delivery.objects.all():
            assert (delivery.state, delivery.reason, delivery.due_at) == ("cancelled", "cancelled", None)
            assert delivery.settled_at is not None

    @pytest.mark.parametrize("state", ["claimed", "sending", "sent", "dead", "unknown", "dropped"])
    def test_claimed_and_finished_deliveries_are_not_cancelled(self, user, state):
        cluster = ClusterFactory(members=[user])
        send_newsletter([user], cluster, cancel_key="order-7")
        Delivery.objects.update(state=state)
        assert NotificationManager.cancel(cluster, "order-7") == 0

    def test_the_cancellation_is_stored_for_the_recheck_and_counts_only_cancelled_deliveries(self, user):
        cluster = ClusterFactory(members=[user])
        send_newsletter([user], cluster, cancel_key="order-7")
        Delivery.objects.update(state="claimed")
        assert NotificationManager.cancel(cluster, "order-7") == 0
        first = Notification.objects.get().cancelled_at
        assert first is not None
        Delivery.objects.update(state="retry")
        assert NotificationManager.cancel(cluster, "order-7") == 1
        assert Notification.objects.get().cancelled_at == first

    def test_other_keys_and_other_clusters_are_not_cancelled(self, user):
        cluster, other = ClusterFactory(members=[user]), ClusterFactory(members=[user])
        send_newsletter([user], cluster, cancel_key="order-8")
        send_newsletter([user], cluster)
        send_newsletter([user], other, cancel_key="order-7")
        assert NotificationManager.cancel(cluster, "order-7") == 0
        assert set(Notification.objects.values_list("cancelled_at", flat=True)) == {None}

    def test_a_site_without_clusters_can_cancel(self, user):
        send_newsletter([user], cancel_key="order-7")
        assert NotificationManager.cancel(None, "order-7") == 1

    @pytest.mark.parametrize("no_key", [None, ""])
    def test_a_missing_key_is_an_error(self, user, no_key):
        cluster = ClusterFactory(members=[user])
        send_newsletter([user], cluster)
        with pytest.raises(InvalidOption):
            NotificationManager.cancel(cluster, no_key)
        assert Delivery.objects.get().state == DeliveryState.READY

"""The recipients that ``send()`` accepts, and the result that it returns."""

import pytest
from django.contrib.auth.models import Permission, User

from notifications.exceptions import InvalidRecipient
from notifications.models import Cluster, Delivery, Notification, NotificationLog
from notifications.outcomes import Outcome, Reason
from notifications.recipients import Address, Members
from tests.factories import ClusterFactory, UserFactory
from tests.sending.calls import send, send_newsletter


class TestRecipients:
    def test_someone_named_twice_gets_one_delivery(self, user):
        cluster = ClusterFactory(members=[user])
        send_newsletter([user, user, User.objects.filter(pk=user.pk), Members(cluster)], cluster)
        assert Delivery.objects.count() == 1

    def test_members_means_all_members(self, db):
        members = UserFactory.create_batch(3)
        UserFactory()
        cluster = ClusterFactory(members=members)
        assert send_newsletter(Members(cluster), cluster).queued == 3

    def test_members_of_another_cluster_are_dropped(self, user):
        other = ClusterFactory(members=[user])
        assert send_newsletter(Members(other), ClusterFactory()).reasons == {Reason.NOT_MEMBER: 1}

    def test_an_address_needs_no_account_but_has_no_inbox(self, db):
        result = send(Address(email="ann@example.com"))
        [delivery] = Delivery.objects.all()
        assert (delivery.channel, delivery.address, delivery.recipient) == ("email", "ann@example.com", None)
        assert result.reasons == {Reason.NO_ADDRESS: 1}

    def test_many_chunks_are_one_notification(self, db, settings):
        settings.NOTIFICATIONS = {"CHUNK_SIZE": 2}
        users = UserFactory.create_batch(5)
        for recipients in (users, User.objects.all(), Members(Cluster.objects.default())):
            assert send_newsletter(recipients).queued == 5
        assert Notification.objects.count() == 3

    def test_no_recipients_are_no_error(self, db):
        result = send([])
        assert (result.queued, result.dropped, bool(result)) == (0, 0, True)

    @pytest.mark.parametrize("wrong", [None, "ann@example.com", [5], Permission.objects.none()])
    def test_a_wrong_recipient_is_an_error_and_leaves_nothing(self, user, wrong):
        with pytest.raises(InvalidRecipient):
            send(wrong)
        assert not Notification.objects.exists()

    def test_a_wrong_recipient_after_valid_ones_leaves_nothing(self, user):
        with pytest.raises(InvalidRecipient):
            send([user, "bob"])
        assert not Notification.objects.exists()
        assert not Delivery.objects.exists()

    def test_a_malformed_address_does_not_affect_other_recipients(self, user):
        bad = [
            Address(email="\0nul@example.com"),
            Address(email="nul@exa\0mple.com"),
            Address(email=f"long@{'x' * 400}.example"),
            Address(email="two@example.com\nBcc: x@example.com"),
        ]
        result = send_newsletter([user, *bad])
        assert result.queued == 1
        assert result.reasons == {Reason.INVALID_ADDRESS: 4}
        assert NotificationLog.objects.filter(reason=Reason.INVALID_ADDRESS).count() == 4


class TestResult:
    def test_outcomes_are_read_lazily(self, user):
        stranger = UserFactory()
        result = send_newsletter([user, stranger], ClusterFactory(members=[user]))
        assert list(result.outcomes()) == [
            Outcome(f"u:{user.pk}", "email", "ready", ""),
            Outcome(f"u:{stranger.pk}", "email", "dropped", "not_member"),
        ]
        Delivery.objects.update(state="sent")
        assert next(result.outcomes()).state == "sent"

    def test_outcomes_are_only_those_of_the_notification(self, user):
        send_newsletter([UserFactory()])
        assert len(list(send_newsletter([user]).outcomes())) == 1

    def test_figures_as_a_dict(self, user):
        result = send([user, UserFactory(email="")])
        assert result.as_dict() == {"queued": 3, "held": 0, "dropped": 1, "reasons": {"no_address": 1}}

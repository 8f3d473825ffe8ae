"""Drops, and the addresses that are used for the other recipients."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import JSONField, Value
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.models import Cluster, Delivery, NotificationLog, Suppression, UserSettings
from notifications.outcomes import Reason
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.sending.calls import NOON, send, send_newsletter
from tests.shop.notification_events import ShopEvents


class TestDrops:
    def read_drops(self):
        return list(NotificationLog.objects.values_list("recipient_id", "channel", "reason", "kind", "success"))

    def test_a_stranger_is_dropped_with_the_reason_and_a_log_row(self, user):
        cluster = ClusterFactory()
        result = send_newsletter([user], cluster)
        assert (result.queued, result.reasons) == (0, {Reason.NOT_MEMBER: 1})
        assert result
        assert self.read_drops() == [(user.pk, "email", "not_member", "drop", False)]
        assert not Delivery.objects.exists()

    def test_an_inactive_user_is_dropped_with_that_reason(self, db):
        inactive = UserFactory(is_active=False)
        result = send_newsletter([inactive], ClusterFactory(members=[inactive]))
        assert result.reasons == {Reason.INACTIVE: 1}
        assert result
        assert self.read_drops() == [(inactive.pk, "email", "inactive", "drop", False)]

    def test_a_missing_address_makes_the_result_false(self, db):
        nobody = UserFactory(email="")
        result = send([nobody])
        assert result.reasons == {Reason.NO_ADDRESS: 1}
        assert result.queued == 1, "the inbox needs no address"
        assert not result
        assert self.read_drops() == [(nobody.pk, "email", "no_address", "drop", False)]

    def test_a_malformed_address_makes_the_result_false(self, db):
        result = send_newsletter([UserFactory(email="ann")])
        assert result.reasons == {Reason.INVALID_ADDRESS: 1}
        assert not result

    def test_an_opt_out_keeps_the_result_true(self, user):
        UserSettingsFactory(user=user, cluster=Cluster.objects.default(), channels={"EMAIL": False})
        result = send([user])
        assert (result.queued, result.reasons) == (1, {Reason.PREFERENCE: 1})
        assert result
        assert self.read_drops() == [(user.pk, "email", "preference", "drop", False)]
        assert NotificationLog.objects.get().error_message == "user: channel email is off"

    def test_opt_outs_saved_without_validation_apply_in_any_spelling(self, user):
        row = UserSettingsFactory(user=user, cluster=Cluster.objects.default())
        UserSettings.objects.filter(pk=row.pk).update(events={"ORDER_SHIPPED": {"Email": False}})
        assert send([user]).reasons == {Reason.PREFERENCE: 1}

    def test_a_preference_of_another_cluster_does_not_count(self, user):
        UserSettingsFactory(user=user, channels={"email": False})
        assert send_newsletter([user]).queued == 1

    def test_reading_preferences_creates_no_rows(self, user):
        send([user])
        assert not UserSettings.objects.exists()

    def test_critical_events_bypass_preferences(self, user):
        UserSettingsFactory(user=user, cluster=Cluster.objects.default(), channels={"email": False, "app": False})
        assert send([user], ShopEvents.STORE_ON_FIRE, {"place": "hall"}).queued == 2

    def test_critical_events_reach_neither_strangers_nor_the_inactive(self, user):
        inactive = UserFactory(is_active=False)
        result = send([user, inactive], ShopEvents.STORE_ON_FIRE, {"place": "hall"}, ClusterFactory(members=[inactive]))
        assert result.queued == 0
        assert result.reasons == {Reason.NOT_MEMBER: 2, Reason.INACTIVE: 2}

    def test_no_level_makes_an_event_ignore_an_opt_out(self, user):
        UserSettingsFactory(user=user, cluster=Cluster.objects.default(), channels={"email": False})
        assert send_newsletter([user], level="critical").reasons == {Reason.PREFERENCE: 1}

    def test_the_log_row_masks_the_address_and_keeps_only_loggable_values(self, db, event_with):
        stranger = UserFactory(email="secret.name@example.com")
        event = event_with(loggable=("number",))
        send([stranger], event, {"number": "7", "diagnosis": "private"}, ClusterFactory())
        row = NotificationLog.objects.get()
        assert row.address == "s***@example.com"
        assert "private" not in str(row.context_data)

    @pytest.mark.parametrize("field", ["channels", "events", "categories", "addresses"])
    @pytest.mark.parametrize("malformed", [[], None])
    def test_malformed_preferences_of_a_user_do_not_prevent_the_send(self, user, field, malformed):
        row = UserSettingsFactory(user=user, cluster=Cluster.objects.default())
        if malformed is None:
            malformed = Value(None, JSONField())  # JSON's null; the column itself is never NULL
        UserSettings.objects.filter(pk=row.pk).update(**{field: malformed})
        assert send_newsletter([user, UserFactory()]).queued == 2


class TestOwnAddresses:
    """Addresses in a user's settings."""

    @pytest.fixture
    def choose(self, user):
        return lambda address: UserSettingsFactory(
            user=user, cluster=Cluster.objects.default(), addresses={"EMAIL": address}
        )

    def notes(self):
        return list(NotificationLog.objects.filter(kind="note").order_by("pk"))

    def sent_to(self):
        return list(Delivery.objects.filter(channel="email").values_list("address", flat=True))

    def test_a_critical_mail_to_a_malformed_address_goes_to_the_account(self, user, choose):
        choose("ann@example,com")
        result = send([user], ShopEvents.STORE_ON_FIRE, {"place": "Bonn"})
        assert (result.queued, result.dropped, bool(result)) == (2, 0, True)
        assert self.sent_to() == [user.email]
        [note] = self.notes()
        assert (note.reason, note.recipient, note.channel) == ("account_address", user, "email")
        assert note.error_message == "the email address in the settings is malformed"
        assert (note.notification_id, note.address) == (result.notification_id, "a***@example,com")

    @pytest.mark.parametrize("options", [{}, {"idempotency_key": "k"}, {"send_at": NOON + timedelta(days=9999)}])
    def test_mail_to_a_malformed_address_goes_to_the_account_with_all_options(self, options, user, choose):
        choose("ann")
        send_newsletter([user], **options)
        assert self.sent_to() == [user.email]
        assert len(self.notes()) == 1
        if "idempotency_key" in options:
            assert send_newsletter([user], **options).as_dict() == {
                "queued": 1, "held": 0, "dropped": 0, "reasons": {},
            }  # fmt: skip

    def test_mail_to_a_suppressed_address_goes_to_the_account(self, user, choose):
        choose("ann@exmaple.com")
        suppress = Suppression.objects.suppress
        suppress([("email", "ANN@exmaple.com")], Suppression.Cause.HARD_BOUNCE, timezone.now())
        assert send_newsletter([user]).queued == 1
        assert self.sent_to() == [user.email]
        [note] = self.notes()
        assert (note.reason, note.address) == ("account_address", "a***@exmaple.com")
        assert note.error_message == "the email address in the settings is suppressed"
        suppress([("email", user.email)], Suppression.Cause.HARD_BOUNCE, timezone.now())
        assert send_newsletter([user]).reasons == {Reason.SUPPRESSED: 1}

    def test_many_notes_take_one_statement(self, db):
        users, cluster = UserFactory.create_batch(30), Cluster.objects.default()
        for user in users:
            UserSettingsFactory(user=user, cluster=cluster, addresses={"email": "typo"})
        send_newsletter(users[:1])  # On PostgreSQL, the first send reads the time.
        with CaptureQueriesContext(connection) as few:
            send_newsletter(users[:20])
        with CaptureQueriesContext(connection) as many:
            send_newsletter(users)
        assert len(few) == len(many)
        assert len(self.notes()) == 51

    def test_an_address_that_is_well_formed_is_kept_and_leaves_no_note(self, user, choose):
        choose("work@example.com")
        send_newsletter([user])
        assert self.sent_to() == ["work@example.com"]
        assert self.notes() == []

    def test_a_malformed_address_is_dropped_if_the_account_has_none(self, user, choose):
        choose("ann")
        User.objects.update(email="")
        assert send_newsletter([user]).reasons == {Reason.INVALID_ADDRESS: 1}
        assert self.notes() == []

    def test_a_dropped_recipient_gets_no_note(self, user, choose):
        row = choose("ann")
        row.set_channel("email", False)
        row.save()
        assert send_newsletter([user]).reasons == {Reason.PREFERENCE: 1}
        assert self.notes() == []

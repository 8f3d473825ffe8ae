"""Explanations of quiet hours, delivery windows, digests and batches."""

from datetime import UTC, datetime, time

import pytest

from notifications.manager import NotificationManager
from notifications.models import Delivery
from notifications.outcomes import Reason
from notifications.testing import travelling
from tests.explain.helpers import MIDNIGHT, NIGHT, SEVEN, explain
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def test_quiet_hours_are_given_in_the_time_zone_of_the_user_with_a_remedy(user, choose):
    choose(**NIGHT)
    channel = explain(user, at=MIDNIGHT).channel("email")
    assert channel.arrives_at == SEVEN
    assert channel.summary == (
        "It would be sent at 07:00 on Sunday 22 November 2026, Europe/Berlin: quiet hours of this user: 22:00–07:00 "
        "Europe/Berlin. The user would have to choose other quiet hours, or the event would have to declare "
        "ignores_quiet_hours."
    )


def test_a_digest_is_explained(user, choose):
    choose(digest="daily", digest_hour=18)
    channel = explain(user, ShopEvents.NEWSLETTER, {}, at=MIDNIGHT).channel("email")
    assert channel.answer.reason == Reason.DIGEST
    assert "The user would have to turn off the digest" in channel.summary


class TestDecidingRule:
    """The rule names what decides the time, and the remedy only what would change it."""

    def explain_at(self, user, event, hour, minute=0):
        with travelling(datetime(2026, 11, 20, hour, minute, tzinfo=UTC)):
            channel = explain(user, event, context={}).channel("email")
        return f"{channel.arrives_at:%d %H:%M}", channel.steps[-1].rule, channel.steps[-1].change

    def test_a_batch_that_ends_in_quiet_hours_names_both(self, user, choose, declare):
        choose(quiet_from=time(22), quiet_until=time(7), time_zone="UTC")
        event = declare(batch_window=900)
        assert self.explain_at(user, event, 21, 50) == (
            "21 07:00",
            "event: batch window of 900 seconds, and quiet hours of this user: 22:00–07:00 UTC",
            "The event would have to declare no batch_window, or the call would have to be CRITICAL. Alternatively, "
            "the user would have to choose other quiet hours, or the event would have to declare ignores_quiet_hours.",
        )
        assert self.explain_at(user, event, 21, 40)[1] == "event: batch window of 900 seconds"

    def test_a_batch_that_begins_in_quiet_hours_names_them(self, user, choose, declare):
        choose(quiet_from=time(22), quiet_until=time(7), time_zone="UTC")
        assert self.explain_at(user, declare(batch_window=900), 23)[:2] == (
            "21 07:00",
            "quiet hours of this user: 22:00–07:00 UTC",
        )

    def test_a_digest_that_changes_nothing_is_not_named(self, user, choose, declare):
        windows = {"email": [["08:00", "08:30", ["tue"]]]}
        choose(digest="daily", digest_hour=11, delivery_windows=windows, time_zone="UTC")
        assert self.explain_at(user, declare(), 12) == (
            "24 08:00",
            "delivery windows of this user for email: tue 08:00–08:30 UTC",
            "The user would have to choose another delivery window for email.",
        )

    def test_rules_that_decide_only_together_are_named_together(self, user, choose, declare):
        choose(digest="daily", digest_hour=8, quiet_from=time(22), quiet_until=time(8), time_zone="UTC")
        assert self.explain_at(user, declare(), 23) == (
            "21 08:00",
            "daily digest of this user: 08:00 UTC, and at the same time quiet hours of this user: 22:00–08:00 UTC",
            "The user would have to turn off the digest, the event would have to declare digest=False, or the call "
            "would have to be CRITICAL. In addition, the user would have to choose other quiet hours.",
        )

    def test_the_hours_that_end_last_are_named(self, user, choose, declare):
        night = {"quiet_from": time(22), "quiet_until": time(7), "time_zone": "UTC"}
        choose(**night, delivery_windows={"email": [["09:00", "12:00"]]})
        with travelling(datetime(2026, 11, 20, 23, tzinfo=UTC)):
            [step] = [step for step in explain(user, declare(), {}).channel("email").steps if not step.lets_through]
        assert step.rule == "delivery windows of this user for email: 09:00–12:00 UTC"
        assert step.change.startswith("The user would have to choose another delivery window for email, or")


def test_a_delivery_that_joins_a_waiting_batch_is_sent_with_it(user, declare):
    event = declare(batch_window=900)
    with travelling(datetime(2026, 11, 20, 12, tzinfo=UTC)) as clock:
        NotificationManager.send(event, [user])
        clock.forward(minutes=10)
        channel = explain(user, event, context={}).channel("email")
        assert channel.summary.startswith(
            "It would be sent at 12:15 on Friday 20 November 2026, UTC, together with deliveries that are waiting "
            "already: event: batch window of"
        )
        assert (channel.answer.until.minute, channel.arrives_at.minute) == (25, 15)
        NotificationManager.send(event, [user])
        last = NotificationManager.why(Delivery.objects.last()).channels[0]
        assert last.summary.startswith(
            "It waits until 12:15 on Friday 20 November 2026, UTC, together with deliveries that are waiting already:"
        )
        assert explain(UserFactory(), event, context={}).channel("email").arrives_at.minute == 25

"""Topics that a user follows, and mutes."""

from datetime import UTC, datetime, timedelta

import pytest

from notifications.core import clock
from notifications.models import Mute, PreferenceChange, TopicSubscription
from notifications.recipients import Topic
from notifications.testing import travelling
from tests.factories import UserFactory
from tests.preference_centre.conftest import PREFERENCES, send

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def offer(cluster, user):
    return ["Pool", ("road works", "Road works"), Topic("ward-7")]


@pytest.fixture
def offered(settings):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "TOPICS_OF": f"{__name__}.offer"}


class TestTopics:
    def put(self, browser, topic, do):
        return browser.post(PREFERENCES, {"section": "topics", "topic": topic, "do": do})

    def test_an_offered_topic_can_be_followed(self, browser, ann, offered):
        page = browser.get(PREFERENCES).content.decode()
        assert "Follow Pool" in page
        assert "Follow Road works" in page
        assert self.put(browser, "pool", "follow").status_code == 302
        assert self.put(browser, "pool", "follow").status_code == 302
        assert TopicSubscription.objects.get().topic == "pool"
        assert "No longer follow Pool" in browser.get(PREFERENCES).content.decode()

    def test_a_topic_that_is_not_offered_cannot_be_followed(self, browser, offered):
        assert "not available" in self.put(browser, "secret", "follow").content.decode()
        assert not TopicSubscription.objects.exists()

    def test_any_topic_can_be_left(self, browser, ann):
        TopicSubscription.objects.subscribe(ann, "garden")
        self.put(browser, "garden", "leave")
        assert not TopicSubscription.objects.exists()
        assert PreferenceChange.objects.latest("pk").by == ann

    def test_subscriptions_of_others_are_neither_shown_nor_ended(self, browser):
        TopicSubscription.objects.subscribe(UserFactory(), "garden")
        assert "garden" not in browser.get(PREFERENCES).content.decode()
        self.put(browser, "garden", "leave")
        assert TopicSubscription.objects.exists()


class TestMutes:
    def put(self, browser, do="add", **values):
        fields = {f"mute-{name}": value for name, value in values.items()}
        return browser.post(PREFERENCES, {"section": "mutes", "do": do, **fields})

    def test_an_event_is_muted_for_a_time(self, browser, ann):
        with travelling(NOON):
            assert self.put(browser, subject="event:order_shipped", duration="week").status_code == 302
            mute = Mute.objects.get()
            assert (mute.kind, mute.value, mute.until) == ("event", "order_shipped", NOON + timedelta(weeks=1))
            assert send(ann) is None
            assert "Order shipped" in browser.get(PREFERENCES).content.decode()

    def test_an_end_is_in_the_zone_of_the_user(self, browser, ann, cluster):
        ann.notification_settings.create(cluster=cluster, time_zone="Europe/Berlin")
        with travelling(NOON):
            self.put(browser, subject="event:order_shipped", duration="until", until="2026-07-02T08:00")
            assert Mute.objects.get().until == datetime(2026, 7, 2, 6, tzinfo=UTC)
            assert "until 07/02/2026 8 a.m." in browser.get(PREFERENCES).content.decode()

    def test_a_mute_until_the_last_moment_is_permanent(self, browser, ann, cluster):
        ann.notification_settings.create(cluster=cluster, time_zone="Pacific/Auckland")
        Mute(user=ann, cluster=cluster, kind="topic", value="garden", until=datetime.max.replace(tzinfo=UTC)).save()
        page = browser.get(PREFERENCES)
        assert page.status_code == 200
        assert "permanently" in page.content.decode()

    @pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Auckland"])
    @pytest.mark.parametrize("until", ["", "2020-01-01T00:00", "soon", "9999-12-31T23:59", "2100-01-01T00:00"])
    def test_an_end_must_be_in_the_next_ten_years(self, until, zone, browser, ann, cluster):
        ann.notification_settings.create(cluster=cluster, time_zone=zone)
        response = self.put(browser, subject="event:order_shipped", duration="until", until=until)
        assert response.status_code == 200
        assert not Mute.objects.exists()

    def test_a_topic_of_a_recent_item_can_be_muted(self, browser, ann):
        send(ann, channels=["app"], topic="Road works")
        self.put(browser, subject="topic:road works", duration="ever")
        mute = Mute.objects.get()
        assert (mute.kind, mute.value, mute.until) == ("topic", "road works", None)

    @pytest.mark.parametrize("subject", ["event:store_on_fire", "event:nothing", "topic:secret", "sender:1", ""])
    def test_other_things_cannot_be_muted(self, subject, browser):
        assert self.put(browser, subject=subject, duration="day").status_code == 200
        assert not Mute.objects.exists()

    def test_a_second_mute_changes_the_end_of_the_first(self, browser):
        self.put(browser, subject="event:order_shipped", duration="day")
        self.put(browser, subject="event:order_shipped", duration="ever")
        assert Mute.objects.get().until is None

    def test_a_mute_can_be_ended(self, browser, ann, cluster):
        bob = UserFactory(username="bob")
        mute = Mute(user=ann, cluster=cluster, kind="sender", value=str(bob.pk))
        mute.save()
        assert "No longer mute bob" in browser.get(PREFERENCES).content.decode()
        for key in (mute.pk, mute.pk, "abc", "9" * 30):
            assert browser.post(PREFERENCES, {"section": "mutes", "do": "end", "mute": key}).status_code == 302
        assert not Mute.objects.exists()

    def test_mutes_of_others_are_neither_shown_nor_ended(self, browser, cluster):
        mute = Mute(user=UserFactory(), cluster=cluster, kind="topic", value="private")
        mute.save()
        assert "private" not in browser.get(PREFERENCES).content.decode()
        browser.post(PREFERENCES, {"section": "mutes", "do": "end", "mute": mute.pk})
        assert Mute.objects.exists()

    def test_a_mute_that_has_ended_is_not_shown(self, browser, ann, cluster):
        past = clock.now() - timedelta(hours=1)
        Mute(user=ann, cluster=cluster, kind="topic", value="garden", until=past).save()
        assert "You have muted nothing." in browser.get(PREFERENCES).content.decode()

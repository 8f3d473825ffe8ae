"""Taking tokens: who may go out now, and how long the others wait."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.core.rules import describe_rule
from notifications.delivering.limits import Need, answer_to, parse_rate, provider_need, take
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import Bucket
from notifications.outcomes import Drop, Hold, Reason

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def need(key="user:1:u:1", text="100/h", **options):
    return Need(key, parse_rate(text), **options)


def take_each(count, *needs, now=NOON):
    return take(dict.fromkeys(range(count), needs), "default", now)


def granted(count, *needs, now=NOON):
    return len(take_each(count, *needs, now=now).ids)


def statements(function):
    with CaptureQueriesContext(connection) as captured:
        function()
    words = [query["sql"].split()[0] for query in captured.captured_queries]
    return [word for word in words if word not in ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT")]


def test_a_bucket_lets_its_burst_through_at_once_and_then_one_for_each_interval():
    assert granted(105, need()) == 100
    assert granted(5, need(), now=NOON + timedelta(seconds=35.999999)) == 0
    assert granted(5, need(), now=NOON + timedelta(seconds=36)) == 1
    assert granted(5, need(), now=NOON + timedelta(seconds=108)) == 2
    assert granted(500, need(), now=NOON + timedelta(days=3)) == 100


def test_who_needs_nothing_passes_without_a_statement():
    assert statements(lambda: take({1: [], 2: ()}, "default", NOON)) == []
    assert take({1: [], 2: ()}, "default", NOON).ids == {1, 2}
    assert take({}, "default", NOON).ids == set()


def test_who_needs_nothing_passes_beside_those_who_do():
    assert take({1: [need(text="1/h")], 2: [], 3: [need(text="1/h")]}, "default", NOON).ids == {1, 2}


@pytest.mark.parametrize("count", [1, 10, 700])
def test_three_statements_are_enough_however_many_there_are(count):
    wanted = {number: [need(f"user:{number}"), need("cluster:1", "5/h")] for number in range(count)}
    assert statements(lambda: take(wanted, "default", NOON)) == ["INSERT", "SELECT", "WITH"]
    assert statements(lambda: take(wanted, "default", NOON)) == ["INSERT", "SELECT", "WITH"]


def test_they_are_served_in_the_given_order():
    assert take({9: [need(text="1/h")], 1: [need(text="1/h")]}, "default", NOON).ids == {9}


def test_a_delivery_passes_only_if_every_bucket_lets_it():
    wide, narrow = need("user:1"), need("user:2", "1/h")
    found = take({1: [narrow], 2: [wide, narrow], 3: [wide]}, "default", NOON)
    assert found.ids == {1, 3}
    assert found.by == {2: narrow}


def test_who_is_refused_takes_nothing_from_the_others():
    wide, narrow = need("user:1", "3/h"), need("user:2", "1/h")
    take({1: [narrow]}, "default", NOON)
    assert granted(50, wide, narrow) == 0
    assert granted(50, wide) == 3


def test_one_that_names_a_bucket_twice_takes_one_token():
    assert granted(3, need(text="2/h"), need(text="2/h")) == 2


def test_the_wait_is_until_the_next_token_and_is_exactly_enough():
    take_each(100, need())
    assert take_each(1, need()).wait == {0: 36}
    later = NOON + timedelta(seconds=10)
    assert take_each(1, need("user:1:u:1"), now=later).ids == set()
    assert granted(1, need(), now=NOON + timedelta(seconds=36)) == 1


def test_those_who_wait_come_again_one_after_the_other():
    found = take_each(103, need(patience=300))
    assert found.wait == {100: 36, 101: 72, 102: 108}
    assert take_each(1, need(patience=300)).wait == {0: 144}


def test_the_last_of_many_comes_to_ask_within_its_patience():
    waits = take_each(150, need(patience=300)).wait.values()
    assert max(waits) == 300
    assert take_each(1, need(patience=300)).wait == {0: 300}


def test_who_is_urgent_is_put_behind_others_only_a_little():
    take_each(150, need(text="100/h", patience=300))
    assert take_each(1, need(text="100/h", patience=5)).wait == {0: 36}
    assert take_each(1, need(text="3600/h", patience=5)).wait[0] <= 5
    assert take_each(1, need(patience=300)).wait == {0: 300}


def test_who_waits_for_several_buckets_waits_for_the_last():
    take({1: [need("user:1", "1/h")], 2: [need("user:2", "1/m")]}, "default", NOON)
    assert take_each(1, need("user:1", "1/h"), need("user:2", "1/m")).wait == {0: 3600}


class TestCritical:
    def test_it_passes_and_is_counted(self):
        assert granted(4, need(text="10/h", critical=True)) == 4
        assert granted(20, need(text="10/h")) == 6

    def test_it_passes_where_nothing_is_left_down_to_minus_the_burst(self):
        assert granted(1000, need(text="10/h", critical=True)) == 1000
        assert Bucket.objects.get().full_at == NOON + timedelta(hours=2)
        assert take_each(1, need(text="10/h")).wait == {0: 3600 + 360}
        assert granted(1, need(text="10/h"), now=NOON + timedelta(seconds=3959.999999)) == 0
        assert granted(2, need(text="10/h"), now=NOON + timedelta(seconds=3960)) == 1

    def test_its_own_ceiling_makes_it_wait_and_take_nothing(self):
        wanted = need("user:1", "2/h", critical=True), need("critical:1", "3/h")
        assert granted(5, *wanted) == 3
        assert Bucket.objects.get(key="user:1").full_at == NOON + timedelta(minutes=90)


class TestTheClock:
    def test_going_back_it_gives_nothing_and_takes_nothing(self):
        take_each(100, need())
        for seconds in (1, 1800, 3600):
            assert granted(1, need(), now=NOON - timedelta(seconds=seconds)) == 0
        assert granted(1, need(), now=NOON + timedelta(seconds=36)) == 1
        assert granted(1, need(), now=NOON + timedelta(seconds=36)) == 0

    def test_what_is_left_can_be_had_at_an_earlier_time_too(self):
        take_each(98, need())
        assert granted(10, need(), now=NOON - MINUTE) == 2

    def test_the_wait_counts_from_the_time_that_was_given(self):
        take_each(100, need())
        assert take_each(1, need(), now=NOON - MINUTE).wait == {0: 96}

    def test_set_back_by_days_it_goes_on_from_there(self):
        take_each(90, need())
        earlier = NOON - timedelta(days=300)
        assert granted(50, need(), now=earlier) == 10
        assert take_each(1, need(), now=earlier).wait == {0: 36}
        assert granted(50, need(), now=earlier + timedelta(seconds=72)) == 2


class TestAChangedLimit:
    def test_a_higher_one_holds_as_soon_as_somebody_asks(self):
        take_each(1, need(text="1/d"))
        assert take_each(1, need(text="1/d")).wait == {0: 86_400}
        assert take_each(1, need(text="100/s", patience=5)).wait == {0: 5}
        assert granted(1000, need(text="100/s"), now=NOON + timedelta(seconds=5)) == 100

    def test_a_lower_one_holds_at_once(self):
        take_each(50, need(text="100/h"))
        assert granted(100, need(text="10/h")) == 5


class TestTheAnswer:
    @staticmethod
    def answer(need, over_limit):
        event = NotificationEvent("order_shipped", NotificationPriority.LOW, ["email"], over_limit=over_limit)
        return answer_to(event, need, 36.5, NOON)

    def test_it_waits_unless_its_event_says_otherwise(self):
        assert self.answer(need(), "wait") == Hold(NOON + timedelta(seconds=36.5), Reason.OVER_LIMIT)

    def test_it_is_dropped_where_its_event_says_so_and_the_rule_is_told(self):
        told = self.answer(need("user_event:1:u:1:order_shipped", "10/h burst 2"), "drop")
        assert isinstance(told, Drop)
        assert (told.reason, describe_rule(told.rule)) == (Reason.OVER_LIMIT, "limit: user_event 10/h burst 2")

    def test_a_provider_drops_nothing(self):
        assert isinstance(self.answer(provider_need("smtp", parse_rate("14/s")), "drop"), Hold)

    def test_refused_by_both_it_is_the_limit_that_counts(self):
        provider, own = provider_need("smtp", parse_rate("1/s")), need(text="1/s")
        take_each(1, provider, own)
        assert take_each(1, provider, own).by == {0: own}

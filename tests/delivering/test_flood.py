"""The detection of a flood."""

import pytest
from django.db import connection

from notifications import conf
from notifications.manager import NotificationManager
from notifications.models import Delivery
from tests.factories import UserFactory
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


@pytest.fixture
def depth(settings):
    def depth(depth):
        settings.NOTIFICATIONS = {"THROTTLE_DEPTH": depth}

    return depth


def is_flooded():
    return Delivery.objects.has_more_ready_than(conf.current().throttle_depth)


def queue(count):
    NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory.create_batch(count))


def test_more_ready_deliveries_than_the_depth_are_a_flood(depth):
    queue(3)
    depth(3)
    assert not is_flooded()
    queue(1)
    assert is_flooded()


def test_deliveries_that_are_not_ready_are_no_flood(depth):
    queue(4)
    depth(2)
    Delivery.objects.filter(pk__in=Delivery.objects.values("pk")[:2]).update(state="held")
    assert not is_flooded()


def test_the_check_is_free_if_it_is_off(depth, django_assert_num_queries):
    queue(1)
    depth(0)
    with django_assert_num_queries(0):
        assert not is_flooded()


def test_the_check_reads_the_index_only_to_the_depth(depth, django_assert_num_queries):
    depth(2)
    with django_assert_num_queries(1) as captured:
        is_flooded()
    [sql] = [query["sql"] for query in captured.captured_queries]
    assert "LIMIT 1 OFFSET 2" in sql
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # A few rows are read faster in other ways. The plan for a million rows matters.
            for plan in ("seqscan", "bitmapscan", "sort"):
                cursor.execute(f"SET LOCAL enable_{plan} = off")
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{sql}")
        plan = str(cursor.fetchall())
    assert "klaxon_delivery_ready" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan

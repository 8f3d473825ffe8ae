"""Server-sent events of a real web process: what is committed arrives once, and only for those who may see it."""

import json
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from notifications.models import Cluster, InboxFeed, InboxItem, LiveMessage
from tests.factories import UserFactory
from tests.live.site import count_sessions, put, running_site, sign_in
from tests.processes import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.needs("uvicorn", "channels")]


@pytest.fixture
def ann():
    return UserFactory(username="ann")


def titles(content):
    return [item["title"] for item in content["items"]]


def test_a_new_item_arrives_with_the_counts(site, ann):
    stream = site.stream(sign_in(ann))
    assert stream.status == 200
    put(ann, "Shipped")
    content = stream.inbox()
    assert titles(content) == ["Shipped"]
    assert content["counts"]["total"] == 1
    assert content["revision"] == InboxFeed.objects.get(user=ann).revision


def test_a_change_in_another_process_arrives_too(site, ann):
    put(ann, "Shipped")
    stream = site.stream(sign_in(ann))
    InboxItem.objects.of(ann).mark_read(InboxItem.objects.get().created_at)
    content = stream.inbox()
    assert content["counts"]["total"] == 0
    assert content["items"][0]["read_at"]


def test_a_client_that_comes_back_gets_what_it_missed_and_nothing_twice(site, ann):
    cookie = sign_in(ann)
    first = site.stream(cookie)
    put(ann, "One")
    seen = next(first)
    first.close()
    put(ann, "Two")
    put(ann, "Three")
    second = site.stream(cookie, **{"Last-Event-ID": seen["id"]})
    assert titles(second.inbox()) == ["Two", "Three"]
    put(ann, "Four")
    assert titles(second.inbox()) == ["Four"]


def test_more_items_than_fit_into_a_message_arrive_in_several(site, ann):
    put(ann, *map(str, range(120)))
    stream = site.stream(sign_in(ann), since="0")
    found = []
    while len(found) < 120:
        found += titles(stream.inbox())
    assert found == [str(number) for number in range(120)]


def test_items_that_are_committed_in_the_reverse_order_of_their_ids_arrive(site, ann):
    stream = site.stream(sign_in(ann))
    put(ann, "Late id first", pk=900)
    assert titles(stream.inbox()) == ["Late id first"]
    put(ann, "Early id last", pk=100)
    assert titles(stream.inbox()) == ["Early id last"]


def test_a_transaction_that_is_rolled_back_sends_nothing(site, ann):
    stream = site.stream(sign_in(ann))
    with transaction.atomic():
        put(ann, "Never")
        transaction.set_rollback(True)
    put(ann, "Shipped")
    assert titles(stream.inbox()) == ["Shipped"]


def test_only_own_items_arrive(site, ann):
    stream = site.stream(sign_in(ann))
    put(UserFactory(), "For somebody else")
    put(ann, "For Ann")
    assert titles(stream.inbox()) == ["For Ann"]


def test_items_of_a_cluster_that_the_user_has_left_do_not_arrive(site, ann):
    harbour = Cluster.objects.create(name="Harbour", slug="harbour")
    stream = site.stream(sign_in(ann))
    put(ann, "Secret", cluster=harbour)
    put(ann, "Shipped")
    found = stream.inbox()
    if not found["items"]:
        found = stream.inbox()
    assert titles(found) == ["Shipped"]
    assert found["counts"]["total"] == 1


def test_a_stream_ends_within_two_seconds_of_the_logout(site, ann):
    cookie = sign_in(ann)
    stream = site.stream(cookie)
    next_event = iter(stream)
    time.sleep(0.5)
    began = time.monotonic()
    answer = site.get("/logout/", cookie)
    assert answer.status == 405, "a GET does not sign out"
    sign_out(cookie)
    assert next(next_event)["event"] == "end"
    assert time.monotonic() - began < 2
    with pytest.raises(StopIteration):
        next(next_event)
    assert site.stream(cookie).status == 403


def sign_out(cookie):
    client = Client()
    client.cookies["sessionid"] = cookie
    client.logout()


def test_a_stream_ends_when_the_account_is_deactivated(site, ann):
    stream = site.stream(sign_in(ann))
    time.sleep(0.5)
    ann.is_active = False
    ann.save()
    assert next(stream)["event"] == "end"


def test_a_client_loads_the_inbox_again_after_a_change_of_roles(site, ann):
    stream = site.stream(sign_in(ann))
    group = Group.objects.create(name="Nurses")
    time.sleep(0.5)
    ann.groups.add(group)
    if connection.vendor == "postgresql":
        assert next(stream)["event"] == "resync"


def test_a_client_loads_the_inbox_again_after_its_user_has_left_a_cluster(site, ann):
    harbour = Cluster.objects.create(name="Harbour", slug="harbour")
    harbour.members.add(ann)
    put(ann, "Secret", cluster=harbour)
    stream = site.stream(sign_in(ann))
    time.sleep(1)
    harbour.members.remove(ann)
    assert next(stream)["event"] == "resync"


def test_a_cursor_from_the_future_leads_to_a_new_start(site, ann):
    stream = site.stream(sign_in(ann), since="1000000")
    assert next(stream)["event"] == "resync"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Last-Event-ID": "x"}, 400),
    ],
)
def test_foreign_pages_and_malformed_cursors_are_refused(headers, status, site, ann):
    response = site.get("/notifications/inbox/stream", sign_in(ann), **headers)
    assert response.status == status
    response.close()


def test_somebody_who_is_not_signed_in_is_refused(site):
    response = site.get("/notifications/inbox/stream")
    assert (response.status, json.load(response)) == (403, {"error": "not signed in"})


def test_a_user_has_at_most_twenty_streams_in_a_process(site, ann):
    cookie = sign_in(ann)
    streams = [site.stream(cookie) for _ in range(20)]
    for stream in streams:
        assert stream.response.readline().startswith(b"retry")
    assert site.stream(cookie).status == 429


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no connections to count")
def test_idle_streams_hold_no_database_connection(site, ann):
    users = UserFactory.create_batch(30)
    streams = [site.stream(sign_in(user)) for user in users]
    for stream in streams:
        stream.response.readline()
    until(lambda: count_sessions() <= 6)


def test_a_web_process_that_is_killed_costs_nothing(site, ann):
    cookie = sign_in(ann)
    stream = site.stream(cookie)
    put(ann, "One")
    seen = next(stream)["id"]
    site.kill()
    put(ann, "Two")
    site.start()
    again = site.stream(cookie, **{"Last-Event-ID": seen})
    assert titles(again.inbox()) == ["Two"]


def test_under_wsgi_the_stream_says_that_it_needs_asgi(ann):
    with running_site("wsgi") as site:
        response = site.get("/notifications/inbox/stream", sign_in(ann))
        assert (response.status, "ASGI" in json.load(response)["error"]) == (501, True)


def test_a_web_process_ends_while_streams_are_open(ann):
    with running_site() as site:
        stream = site.stream(sign_in(ann))
        stream.response.readline()
        site.process.terminate()
        site.process.wait(10)


def tell(user, title):
    message = LiveMessage(user=user, content={"title": title}, expires_at=timezone.now() + timedelta(minutes=1))
    with transaction.atomic():
        LiveMessage.objects.add_messages([message])
    return message


def test_a_live_message_arrives_once_and_only_at_its_user(site, ann):
    bob = UserFactory()
    stream, other = site.stream(sign_in(ann)), site.stream(sign_in(bob))
    message = tell(ann, "The import has finished")
    event = next(one for one in stream if one["event"] != "beat")
    assert (event["event"], json.loads(event["data"])) == (
        "message",
        {"id": message.pk, "title": "The import has finished"},
    )
    assert "id" not in event, "the cursor of the inbox stays"
    put(ann, "Shipped")
    assert titles(stream.inbox()) == ["Shipped"]
    put(bob, "For Bob")
    assert titles(other.inbox()) == ["For Bob"]


def test_a_page_that_connects_within_a_minute_gets_the_live_message(site, ann):
    tell(ann, "The import has finished")
    stream = site.stream(sign_in(ann))
    assert json.loads(next(one for one in stream if one["event"] != "beat")["data"])["title"] == (
        "The import has finished"
    )

"""Isolation: each address × an item of another user and an item of a cluster that the user has left."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import resolve

from notifications.inbox.membership import load_visible_clusters
from notifications.inbox.urls import urlpatterns
from notifications.models import Cluster, InboxFeed, InboxItem

INBOX = "/notifications/inbox/"
SECRET = "Xylophone"
READS = [
    "", "?show=unread", "?show=archived", "?show=snoozed", "?q=xylophone", "?event=order_shipped", "?priority=medium",
    "?topic=music", "?cluster={cluster}", "?after=99999999999999999-9", "feed.json", "feed.json?since=0",
    "feed.json?since=0-0&limit=200", "export.csv", "export.json", "export.csv?q=xylophone", "unread-count/",
    "export.json?cluster={cluster}", "mark-all-read/", "change/",
]  # fmt: skip
ITEM_ADDRESSES = [
    ("get", "{pk}/"), ("post", "{pk}/read/"), ("post", "{pk}/act/acknowledge/"), ("post", "{pk}/act/dismiss/"),
]  # fmt: skip
CHANGES = ["seen", "read", "unread", "archive", "unarchive", "snooze:{pk}:hour", "unsnooze"]


@pytest.fixture(params=["another user", "a cluster of others", "a cluster that the user has left"])
def foreign(request: pytest.FixtureRequest, ann: User, bob: User, put: Any) -> InboxItem:
    """An item that Ann must not see."""
    owner = bob if request.param == "another user" else ann
    closed = Cluster.objects.create(name=SECRET, slug="closed")
    if request.param == "a cluster that the user has left":
        closed.members.add(ann)
    cluster = Cluster.objects.default() if request.param == "another user" else closed
    [item] = put(owner, cluster=cluster, title=SECRET, body=SECRET, topic="music")
    closed.members.clear()
    return item


def test_these_tests_try_every_address_of_the_inbox() -> None:
    paths = [*READS, *(path.format(pk=1) for _method, path in ITEM_ADDRESSES)]
    tried = {resolve(INBOX + path.partition("?")[0]).url_name for path in paths}
    assert tried == {pattern.name for pattern in urlpatterns}


def dump(item: InboxItem) -> Any:
    return InboxItem.objects.filter(pk=item.pk).values().get()


@pytest.mark.parametrize("path", READS)
def test_nothing_of_a_foreign_item_can_be_read(path: str, foreign: InboxItem, browser: Client, put: Any) -> None:
    response = browser.get(INBOX + path.format(cluster=foreign.cluster_id))
    text = response.getvalue().decode()
    if "q=xylophone" not in path:
        assert SECRET.lower() not in text.lower()
    assert f"/inbox/{foreign.pk}/" not in text
    assert f'"id": {foreign.pk},' not in text
    if path == "unread-count/":
        assert response.json() == {"unread": 0}
    if path.startswith("feed.json"):
        assert (response.json()["items"], response.json()["counts"]) == ([], {"total": 0, "clusters": {}})


@pytest.mark.parametrize(("method", "path"), ITEM_ADDRESSES)
def test_the_address_of_a_foreign_item_is_not_found(
    method: str, path: str, foreign: InboxItem, browser: Client
) -> None:
    before = dump(foreign)
    responses = [
        getattr(browser, method)(INBOX + path.format(pk=pk), headers=headers)
        for pk in (foreign.pk, foreign.pk + 1000)
        for headers in ({}, {"Accept": "application/json"})
    ]
    assert [response.status_code for response in responses] == [404] * 4
    # The answer does not say whether the item exists.
    assert responses[0].content == responses[2].content
    assert dump(foreign) == before


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_foreign_item_does_nothing(change: str, foreign: InboxItem, browser: Client, put: Any) -> None:
    before, feeds = dump(foreign), set(InboxFeed.objects.values_list("user", "revision"))
    do = change.format(pk=foreign.pk)
    for data in ({"do": do, "item": foreign.pk}, {"do": do, "all": "1"}):
        answer = browser.post(f"{INBOX}change/", data, headers={"Accept": "application/json"})
        assert (answer.status_code, answer.json()["changed"]) == (200, 0)
    browser.post(f"{INBOX}mark-all-read/")
    assert dump(foreign) == before
    assert set(InboxFeed.objects.values_list("user", "revision")) == feeds


def test_former_members_keep_their_items_if_the_site_says_so(
    browser: Client, ann: User, put: Any, settings: Any
) -> None:
    cluster = Cluster.objects.create(name="Closed", slug="closed")
    [item] = put(ann, cluster=cluster)
    assert browser.get(f"{INBOX}{item.pk}/").status_code == 404
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "INBOX_OF_FORMER_MEMBERS": True}
    assert browser.get(f"{INBOX}{item.pk}/").status_code == 200
    assert browser.get(f"{INBOX}unread-count/").json() == {"unread": 1}


def test_the_counts_are_separate_for_each_cluster(browser: Client, ann: User, put: Any) -> None:
    clusters = [Cluster.objects.create(name=f"{number}", slug=f"{number}") for number in range(3)]
    for number, cluster in enumerate(clusters):
        cluster.members.add(ann)
        put(ann, number + 1, cluster=cluster)
    clusters[1].members.remove(ann)
    counts = browser.get(f"{INBOX}feed.json").json()["counts"]
    assert counts == {"total": 4, "clusters": {str(clusters[0].pk): 1, str(clusters[2].pk): 3}}


@pytest.mark.parametrize("count", [1, 3, 100])
def test_membership_takes_three_queries_for_up_to_a_hundred_clusters(
    count: int, ann: User, bob: User, put: Any
) -> None:
    for number in range(count):
        cluster = Cluster.objects.create(name=f"{number}", slug=f"{number}")
        cluster.members.add(ann)
        put(ann, cluster=cluster)
        put(bob, cluster=cluster)
    with CaptureQueriesContext(connection) as captured:
        visible = load_visible_clusters([ann.pk, bob.pk])
    assert len(captured) == 3
    assert (len(visible[ann.pk]), visible[bob.pk]) == (count, set())


def none_of(cluster: Cluster) -> Any:
    return User.objects.filter(username="bob").distinct().order_by("username")


def test_the_members_are_those_of_the_host(ann: User, bob: User, put: Any, settings: Any) -> None:
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "MEMBERS_OF": f"{__name__}.none_of"}
    put(ann)
    put(bob)
    visible = load_visible_clusters([ann.pk, bob.pk])
    assert visible == {ann.pk: set(), bob.pk: {Cluster.objects.default().pk}}

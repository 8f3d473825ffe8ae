"""What many streams have missed is read at once, and is the same as what the feed says."""

import json

import pytest

from notifications.inbox.feed import Cursor, load_feed
from notifications.inbox.membership import load_visible_clusters
from notifications.live import reading
from notifications.live.reading import ITEMS_PER_MESSAGE, load_changes
from notifications.live.sessions import Visitor
from notifications.live.stream import RESYNC
from tests.factories import UserFactory
from tests.live.site import put

pytestmark = pytest.mark.django_db


def test_a_message_is_what_the_feed_says():
    ann = UserFactory()
    put(ann, "One", "Two")
    put(ann, "Three")
    for since in (Cursor(0), Cursor(1), Cursor(2)):
        message = load_changes([(ann.pk, since)])[ann.pk, since].write_message(Visitor(ann.pk, language="en"))
        assert json.loads(message.text) == load_feed(ann.pk, since, ITEMS_PER_MESSAGE)


def test_many_inboxes_take_as_many_queries_as_one(django_assert_max_num_queries):
    users = UserFactory.create_batch(30)
    for user in users:
        put(user, "One", "Two")
    # One of them asks for the time, if the one that it keeps is too old.
    with django_assert_max_num_queries(8):
        changes = load_changes([(user.pk, Cursor(0)) for user in users])
    assert {len(one.items) for one in changes.values()} == {2}


def test_the_first_item_of_a_cluster_that_is_committed_during_the_reading_follows(monkeypatch):
    ann = UserFactory()

    def load_clusters_before_the_item(user_ids, using):
        visible = load_visible_clusters(user_ids, using)
        put(ann, "One")
        return visible

    monkeypatch.setattr(reading, "load_visible_clusters", load_clusters_before_the_item)
    changes = load_changes([(ann.pk, Cursor(0))])[ann.pk, Cursor(0)]
    assert (changes.items, changes.cursor) == ([], Cursor(0))
    monkeypatch.undo()
    [item] = load_changes([(ann.pk, changes.cursor)])[ann.pk, changes.cursor].items
    assert item.title == "One"


def test_clients_of_the_same_user_can_have_different_cursors():
    ann = UserFactory()
    put(ann, "One")
    put(ann, "Two")
    positions = [(ann.pk, Cursor(0)), (ann.pk, Cursor(1)), (ann.pk, Cursor(2))]
    changes = load_changes(positions)
    assert [[item.title for item in changes[position].items] for position in positions] == [["One", "Two"], ["Two"], []]


def test_a_revision_with_many_items_is_read_in_parts():
    ann = UserFactory()
    put(ann, *map(str, range(ITEMS_PER_MESSAGE * 2 + 10)))
    cursor, found = Cursor(0), []
    while True:
        changes = load_changes([(ann.pk, cursor)])[ann.pk, cursor]
        found += [item.title for item in changes.items]
        cursor = changes.cursor
        if not changes.has_more:
            break
    assert found == list(map(str, range(ITEMS_PER_MESSAGE * 2 + 10)))
    assert cursor == Cursor(1)


def test_a_cursor_from_the_future_leads_to_a_new_start():
    ann = UserFactory()
    position = ann.pk, Cursor(99)
    assert load_changes([position])[position].write_message(Visitor(ann.pk)) is RESYNC


def test_links_begin_with_the_prefix_of_the_request():
    ann = UserFactory()
    [item] = put(ann, "One")
    position = ann.pk, Cursor(0)
    visitor = Visitor(ann.pk, language="en", script_prefix="/intranet/")
    [shown] = json.loads(load_changes([position])[position].write_message(visitor).text)["items"]
    assert shown["page"].startswith("/intranet/notifications/inbox/")

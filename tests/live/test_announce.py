"""Announcements: small enough for PostgreSQL, sent on commit only, and read back as they were written."""

import json

import pytest
from django.db import connection, transaction  # noqa: F401 - the conditions of skipif use it

from notifications.live.announce import (
    MAX_PAYLOAD_BYTES,
    Kind,
    announce,
    get_redis_channel,
    hash_session,
    publish,
    read_payload,
    write_payloads,
)
from notifications.live.sources import open_source, read_payloads
from tests.factories import UserFactory
from tests.live.site import put


def test_many_keys_are_split_into_payloads_that_postgresql_accepts():
    keys = [f"{number:036}" for number in range(1000)]
    payloads = list(write_payloads(Kind.INBOX, keys))
    assert len(payloads) > 1
    assert all(len(payload.encode()) <= MAX_PAYLOAD_BYTES for payload in payloads)
    assert [key for payload in payloads for key in read_payload(payload)[1]] == keys


def test_each_key_is_announced_once_and_none_makes_no_payload():
    assert list(write_payloads(Kind.INBOX, ["7", "7"])) == ['["inbox","7"]']
    assert list(write_payloads(Kind.INBOX, [])) == []


def test_keys_of_every_kind_are_read_as_they_were_written():
    keys = ["7", "a,b", "Grüße", '"', "0b9f2c44-0000-0000-0000-000000000000"]
    [payload] = write_payloads(Kind.ROLES, keys)
    assert read_payload(payload) == (Kind.ROLES, keys)


@pytest.mark.parametrize("payload", ["", "{}", '["other","7"]', "7", json.dumps([])])
def test_an_announcement_of_another_version_leads_to_a_check_of_all_streams(payload):
    assert read_payloads(['["inbox","7"]', payload]) is None


def test_a_session_cannot_be_used_by_who_reads_its_announcement():
    assert "secret" not in hash_session("secret")
    assert hash_session("secret") != hash_session("other")


def test_two_sites_on_one_redis_do_not_hear_each_other(settings):
    before = get_redis_channel()
    settings.SECRET_KEY = "another"
    assert get_redis_channel() != before


@pytest.fixture
def source():
    source = open_source("default")
    yield source
    source.close()


def settle(source):
    """Wait until a source has decided how to wait."""
    for _ in range(30):
        if source.receive(0.1) == []:
            return


def receive(source):
    """What a source receives, without what it reports while it settles."""
    for _ in range(50):
        received = source.receive(0.2)
        if received != []:
            return received
    raise AssertionError("nothing arrived")


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL carries announcements")
class TestPostgres:
    def test_an_announcement_arrives_after_the_commit(self, source):
        settle(source)
        with transaction.atomic():
            announce([7, 8], "default")
            assert source.receive(0.3) == []
        assert receive(source) == [(Kind.INBOX, ["7", "8"])]

    def test_nothing_arrives_after_a_rollback(self, source):
        settle(source)
        with transaction.atomic():
            announce([7], "default")
            transaction.set_rollback(True)
        assert source.receive(0.3) == []

    def test_a_change_of_the_inbox_announces_its_user(self, source):
        user = UserFactory()
        settle(source)
        put(user, "Shipped")
        assert (Kind.INBOX, [str(user.pk)]) in receive(source)

    def test_a_thousand_users_are_announced_by_one_statement(self, django_assert_num_queries):
        with django_assert_num_queries(1):
            publish(Kind.INBOX, map(str, range(5000)), "default")


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="only SQLite is polled")
def test_on_sqlite_a_commit_says_that_anything_may_have_changed(source):
    settle(source)
    assert source.receive(0.2) == []
    put(UserFactory(), "Shipped")
    assert receive(source) is None

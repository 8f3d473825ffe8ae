"""Visitors of streams: a session that has ended is found, in a constant number of queries."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client, RequestFactory

from notifications.live.sessions import Visitor, find_ended, identify, identify_by_cookie
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
ENGINES = ["db", "cached_db", "cache", "file", "signed_cookies"]


def visit(user):
    client = Client()
    client.force_login(user)
    return client, Visitor(user.pk, client.cookies["sessionid"].value)


@pytest.fixture(params=ENGINES)
def engine(request, settings, tmp_path):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    return request.param


def test_a_session_that_lasts_is_not_ended(engine):
    _client, visitor = visit(UserFactory())
    assert find_ended([visitor]) == set()


def test_a_session_has_ended_after_the_logout(engine):
    if engine == "signed_cookies":
        pytest.skip("the server does not know these sessions; the announcement of the logout ends the stream")
    client, visitor = visit(UserFactory())
    client.logout()
    assert find_ended([visitor]) == {visitor}


def test_a_session_has_ended_after_a_new_password(engine):
    user = UserFactory()
    _client, visitor = visit(user)
    user.set_password("a new placeholder")
    user.save()
    assert find_ended([visitor]) == {visitor}


@pytest.mark.parametrize("change", ["deactivate", "delete"])
def test_a_session_has_ended_with_the_account(change):
    user = UserFactory()
    _client, visitor = visit(user)
    if change == "delete":
        user.delete()
    else:
        user.is_active = False
        user.save()
    assert find_ended([visitor]) == {visitor}


def test_the_session_of_another_user_does_not_count():
    _client, visitor = visit(UserFactory())
    stranger = Visitor(UserFactory().pk, visitor.session_key)
    assert find_ended([visitor, stranger]) == {stranger}


def test_many_sessions_take_as_many_queries_as_one(django_assert_num_queries):
    visitors = [visit(UserFactory())[1] for _ in range(20)]
    with django_assert_num_queries(2):
        assert find_ended(visitors) == set()


def test_a_request_says_who_visits(rf):
    client, visitor = visit(UserFactory())
    request = RequestFactory().get("/", headers={"cookie": f"sessionid={visitor.session_key}"})
    found = identify_by_cookie(request)
    assert (found.user_id, found.session_key) == (visitor.user_id, visitor.session_key)
    request.user = AnonymousUser()
    assert identify(request) is None


def test_a_made_up_cookie_is_nobody():
    request = RequestFactory().get("/", headers={"cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345"})
    assert identify_by_cookie(request) is None

"""The WebSocket of a real web process: the same messages, the same refusals."""

import json
from contextlib import contextmanager

import pytest

from tests.factories import ClusterFactory, UserFactory
from tests.live.site import put, sign_in
from tests.live.test_streams import sign_out

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.needs("uvicorn", "channels", "websockets")]


@contextmanager
def connect(site, cookie="", origin=None, since=""):
    from websockets.sync.client import connect

    address = f"ws://127.0.0.1:{site.port}/ws/notifications?since={since}"
    headers = {"Cookie": f"sessionid={cookie}"}
    with connect(address, origin=origin or site.url, additional_headers=headers) as socket:
        yield socket


def receive(socket):
    return json.loads(socket.recv(timeout=10))


def test_a_new_item_arrives_with_the_counts(site):
    ann = UserFactory()
    with connect(site, sign_in(ann), since="0") as socket:
        put(ann, "Shipped")
        message = receive(socket)
        assert (message["type"], message["items"][0]["title"]) == ("inbox", "Shipped")
        assert message["counts"]["total"] == 1


def test_a_client_that_comes_back_gets_what_it_missed(site):
    ann = UserFactory()
    put(ann, "One")
    put(ann, "Two")
    with connect(site, sign_in(ann), since="1") as socket:
        assert [item["title"] for item in receive(socket)["items"]] == ["Two"]


def test_only_own_items_of_own_clusters_arrive(site):
    ann, bob = UserFactory(), UserFactory()
    with connect(site, sign_in(ann), since="0") as socket:
        put(bob, "For Bob")
        put(ann, "Of a foreign cluster", cluster=ClusterFactory())
        put(ann, "For Ann")
        found = []
        while not found:
            message = receive(socket)
            found += [item["title"] for item in message["items"]]
        assert (found, message["counts"]["total"]) == (["For Ann"], 1)


def test_it_closes_after_the_logout(site):
    from websockets.exceptions import ConnectionClosed

    cookie = sign_in(UserFactory())
    with connect(site, cookie, since="0") as socket:
        socket.ping().wait(5)
        sign_out(cookie)
        assert receive(socket) == {"type": "end"}
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=5)
        assert closed.value.rcvd.code == 4401


@pytest.mark.parametrize("who", ["anonymous", "foreign", "malformed"])
def test_others_are_refused(who, site):
    from websockets.exceptions import InvalidStatus

    cookie = "" if who == "anonymous" else sign_in(UserFactory())
    origin = "https://evil.example" if who == "foreign" else None
    with pytest.raises(InvalidStatus) as refusal, connect(site, cookie, origin, "x" if who == "malformed" else ""):
        pass
    assert refusal.value.response.status_code == 403

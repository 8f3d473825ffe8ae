"""The host of ``tests.live_site`` as a process on the test database, and clients of its streams."""

import json
import socket
import subprocess
import sys
from contextlib import closing, contextmanager
from http.client import HTTPConnection

from django.test import Client
from django.utils import timezone

from notifications.models import Cluster, InboxItem
from tests.processes import environment


def free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Site:
    """A web process that can be killed and started again on the same port."""

    def __init__(self, kind="asgi", **more):
        self.port = free_port()
        self.kind, self.more = kind, more
        self.url = f"http://127.0.0.1:{self.port}"
        self.closing = []

    def start(self):
        settings = {"DJANGO_SETTINGS_MODULE": "tests.live_site.settings", **self.more}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.live_site", str(self.port), self.kind],
            env={**environment(), **settings},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def kill(self):
        for close in self.closing:
            close()
        self.closing.clear()
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()

    def get(self, path, cookie="", **headers):
        """A response whose body is not read yet."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path, headers={"Cookie": f"sessionid={cookie}", **headers})
        response = connection.getresponse()
        self.closing += [response.close, connection.close]
        return response

    def stream(self, cookie, since="", **headers):
        return EventStream(self.get(f"/notifications/inbox/stream?since={since}", cookie, **headers))


@contextmanager
def running_site(kind="asgi", **more):
    site = Site(kind, **more)
    site.start()
    try:
        yield site
    finally:
        site.kill()


class EventStream:
    """The server-sent events of a response."""

    def __init__(self, response):
        self.response = response
        self.status = response.status

    def __iter__(self):
        return self

    def __next__(self):
        """The next event as a dictionary of its fields."""
        fields = {}
        while line := self.response.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "event" in fields:
                return fields
            else:
                fields = {}
        raise StopIteration

    def inbox(self):
        """The content of the next event about the inbox."""
        event = next(one for one in self if one["event"] != "beat")
        assert event["event"] == "inbox", event
        return json.loads(event["data"])

    def close(self):
        self.response.close()


def sign_in(user):
    """The cookie of a new session of the user."""
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


def put(user, *titles, **values):
    """Add items to a user's inbox, in one transaction; return them."""
    shared = {"cluster": Cluster.objects.default(), "event": "order_shipped", "priority": 3, **values}
    rows = [InboxItem(recipient=user, title=title, created_at=timezone.now(), **shared) for title in titles]
    InboxItem.objects.add_items(rows)
    return rows

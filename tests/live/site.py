"""The host of ``tests.live_site`` as a process on the test database, and clients of its streams."""

import json
import subprocess
import sys
from contextlib import contextmanager
from http.client import HTTPConnection

from django.db import connection
from django.test import Client
from django.utils import timezone

from notifications.models import Cluster, InboxItem
from tests.ports import find_free_port
from tests.processes import environment, until


class Site:
    """A web process that can be killed and started again on the same port."""

    def __init__(self, kind="asgi", **more):
        self.port = find_free_port()
        self.kind, self.more = kind, more
        self.url = f"http://127.0.0.1:{self.port}"
        self.closing = []
        self.process = None

    def start(self):
        settings = {"DJANGO_SETTINGS_MODULE": "tests.live_site.settings", **self.more}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.live_site", str(self.port), self.kind],
            env={**environment(), **settings},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def close_responses(self):
        for close in self.closing:
            close()
        self.closing.clear()

    def kill(self):
        self.close_responses()
        if self.process is not None:
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
    try:
        site.start()
        yield site
    finally:
        site.kill()


class Sites:
    """Web processes that the tests of a folder share: one for each kind and environment."""

    def __init__(self, **more):
        self.more = more
        self.sites = {}

    def run(self, kind="asgi", **more):
        """Return a site that runs. It is started if no test has needed it before."""
        key = kind, *sorted(more.items())
        site = self.sites.setdefault(key, Site(kind, **self.more, **more))
        if not site.is_running():
            site.start()
        return site

    def kill(self):
        for site in self.sites.values():
            site.kill()


def wait_until_idle():
    """Wait until no web process is in a transaction, which could deadlock with the deletion of all rows."""
    if connection.vendor == "postgresql":
        until(lambda: count_sessions("state <> 'idle'") == 0)


def count_sessions(condition="true"):
    """Return the number of other sessions on the test database of PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            f" AND pid <> pg_backend_pid() AND {condition}"
        )
        return cursor.fetchone()[0]


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

"""Live streams under load: ``python -m benchmarks.live``, or with ``--socket`` over WebSockets.

A thousand clients of one web process, ten thousand items at two hundred a second. In the middle, the web process is
killed three times. Then it is quiet, and the same clients show what an idle and a stalled stream cost. The report says
how many items were missed or came twice after the clients had caught up, and the time from the commit to the client.
``--redis`` carries announcements by Redis, which is flushed; the same run measures bare pub/sub for comparison.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import selectors
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.live_site.settings")
os.environ.setdefault("KLAXON_TEST_DB", "postgres")
# The event loop of the clients may wait for a short query.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


def prepare(count):
    """Make tables, users and their sessions; return the users and the cookies."""
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
    from django.contrib.sessions.backends.db import SessionStore
    from django.core.management import call_command
    from django.db import connection

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE klaxon_live")
        connection.close()
        settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = "klaxon_live"
    call_command("migrate", verbosity=0)
    model = get_user_model()
    users = model.objects.bulk_create(model(username=f"user{number}", password="!") for number in range(count))
    cookies = []
    for user in users:
        session = SessionStore()
        session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session.create()
        cookies.append(session.session_key)
    return users, cookies


def switch_to_redis(url):
    """Let the writer of this process announce through Redis too."""
    from django.conf import settings

    from notifications import conf

    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "LIVE_REDIS": url}
    conf.current.cache_clear()


class Writer(threading.Thread):
    """Commits items one by one at a rate, and notes when."""

    def __init__(self, users, items, rate):
        super().__init__()
        self.users, self.items, self.rate = users, items, rate
        self.committed = {}

    def run(self):
        from django.db import connection, transaction
        from django.utils import timezone

        from notifications.models import Cluster, InboxItem

        cluster, began = Cluster.objects.default(), time.monotonic()
        for number in range(self.items):
            user = self.users[number % len(self.users)]
            item = InboxItem(
                cluster=cluster, recipient=user, event="load", priority=3, title=str(number), created_at=timezone.now()
            )
            with transaction.atomic():
                InboxItem.objects.add_items([item])
                # Before the commit, so the times are never too short.
                self.committed[number] = time.time()
            time.sleep(max(0.0, began + (number + 1) / self.rate - time.monotonic()))
        connection.close()


class Clients:
    """The clients, in one event loop. Each connects again with its cursor after a lost connection."""

    def __init__(self, site, cookies, is_socket):
        self.site, self.cookies = site, cookies
        self.follow = self.follow_socket if is_socket else self.follow_events
        self.received, self.arrived = Counter(), {}
        self.cursors = dict.fromkeys(cookies, "0")
        self.open = set()
        self.refused = Counter()

    async def run(self, cookie):
        while True:
            try:
                await self.follow(cookie)
            except (OSError, EOFError, asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
                self.refused[str(error)[:60] if isinstance(error, ValueError) else type(error).__name__] += 1
            finally:
                self.open.discard(cookie)
            await asyncio.sleep(random.uniform(0.2, 1.5))  # noqa: S311

    async def follow_events(self, cookie):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.site.port, limit=2**20)
        try:
            cursor = self.cursors[cookie]
            writer.write(
                f"GET /notifications/inbox/stream?since={cursor} HTTP/1.1\r\nHost: 127.0.0.1:{self.site.port}\r\n"
                f"Cookie: sessionid={cookie}\r\n\r\n".encode()
            )
            status = await reader.readline()
            if b"200" not in status:
                raise ValueError(status)
            self.open.add(cookie)
            cursor = None
            while line := await reader.readline():
                if line.startswith(b"id: "):
                    cursor = line[4:].strip().decode()
                elif line.startswith(b'data: {"rev'):
                    self.note(json.loads(line[6:]))
                    self.cursors[cookie] = cursor
        finally:
            writer.close()

    async def follow_socket(self, cookie):
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        address = f"ws://127.0.0.1:{self.site.port}/ws/notifications?since={self.cursors[cookie]}"
        headers = {"Cookie": f"sessionid={cookie}"}
        try:
            async with connect(
                address, origin=self.site.url, additional_headers=headers, compression=None, open_timeout=60
            ) as client:
                self.open.add(cookie)
                async for text in client:
                    message = json.loads(text)
                    if message["type"] == "inbox":
                        self.note(message)
                        self.cursors[cookie] = message["cursor"]
        except WebSocketException as error:
            raise ConnectionError from error

    def note(self, content):
        now = time.time()
        for item in content["items"]:
            number = int(item["title"])
            self.received[number] += 1
            self.arrived.setdefault(number, now)


def read_rss(process):
    with open(f"/proc/{process.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def count_connections():
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'klaxon_live' AND pid <> pg_backend_pid()"
        )
        return cursor.fetchone()[0]


async def until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return condition()


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] * 1000 if values else float("nan")


async def run(options, site, users, cookies, redis):
    clients = Clients(site, cookies, options.socket)
    print(f"web process without streams: {read_rss(site.process):.0f} MiB", flush=True)
    tasks, steps = [], []
    for quarter in range(4):
        some = cookies[quarter * len(cookies) // 4 : (quarter + 1) * len(cookies) // 4]
        tasks += [asyncio.create_task(clients.run(cookie)) for cookie in some]
        await until(lambda: len(clients.open) >= len(tasks), 120)  # noqa: B023
        await asyncio.sleep(1)
        steps.append((len(clients.open), read_rss(site.process)))
        print(f"{steps[-1][0]} idle streams: {steps[-1][1]:.0f} MiB, {count_connections()} connections", flush=True)
    if len(steps) > 1 and steps[-1][0] > steps[0][0]:
        slope = (steps[-1][1] - steps[0][1]) * 1024 / (steps[-1][0] - steps[0][0])
        print(f"slope: {slope:.0f} KiB for each stream", flush=True)
    writer = Writer(users, options.items, options.rate)
    writer.start()
    seconds = options.items / options.rate
    for number in range(options.kills):
        await asyncio.sleep(seconds / (options.kills + 1))
        if redis is not None:
            redis.flushall()
        await asyncio.to_thread(site.kill)
        await asyncio.to_thread(site.start)
        print(f"killed and started, {number + 1}", flush=True)
    await until(lambda: not writer.is_alive(), seconds + 60)
    is_whole = await until(lambda: len(clients.received) >= options.items, options.patience)
    await asyncio.sleep(2)
    missed = [number for number in range(options.items) if not clients.received[number]]
    twice = [number for number, count in clients.received.items() if count > 1]
    times = [clients.arrived[number] - at for number, at in writer.committed.items() if number in clients.arrived]
    print(
        f"{options.items} items, {len(cookies)} clients, {options.kills} kills: missed {len(missed)}, twice"
        f" {len(twice)}"
        f", caught up: {bool(is_whole)}; from commit: median {statistics.median(times) * 1000:.1f} ms, p99"
        f" {percentile(times, 0.99):.1f} ms; lost connections: {dict(clients.refused)}",
        flush=True,
    )
    print(f"afterwards: {read_rss(site.process):.0f} MiB, {count_connections()} connections", flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


STALL_PARTS, STALL_ITEMS = 3, 50
USERS_PER_COMMIT = 50
READ_SECONDS = 30
SPARE_FILES = 200


def fill_inboxes(users):
    """Commit as many items for each user as a message takes, so that the buffers of sockets fill."""
    from django.utils import timezone

    from notifications.models import Cluster, InboxItem

    shared = {"cluster": Cluster.objects.default(), "event": "load", "priority": 3, "title": "0", "body": "word " * 100}
    for start in range(0, len(users), USERS_PER_COMMIT):
        now = timezone.now()
        recipients = [user for user in users[start : start + USERS_PER_COMMIT] for _ in range(STALL_ITEMS)]
        InboxItem.objects.add_items([InboxItem(recipient=user, created_at=now, **shared) for user in recipients])


def open_stalled(site, cookie):
    """Return a client that has sent a request for a stream. It has the smallest buffer, and never reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.settimeout(10)
    client.connect(("127.0.0.1", site.port))
    client.sendall(
        f"GET /notifications/inbox/stream?since=0 HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n"
        f"Cookie: sessionid={cookie}\r\n\r\n".encode()
    )
    client.setblocking(False)
    return client


def has_stream(client):
    """Return whether the server has begun to answer, without taking the answer out of the buffer."""
    try:
        return client.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
    except BlockingIOError:
        return False


def wait_for_streams(clients, seconds):
    """Return the number of clients with a stream as soon as all have one, or after these seconds."""
    deadline = time.monotonic() + seconds
    while (count := sum(map(has_stream, clients))) < len(clients) and time.monotonic() < deadline:
        time.sleep(0.5)
    return count


def read_on(client):
    """Read what has arrived; return True at the end of the connection."""
    try:
        while client.recv(2**20):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


def count_closed(clients, seconds):
    """Read all clients at the same time; return the number of connections that the server ends in these seconds."""
    deadline, left = time.monotonic() + seconds, len(clients)
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        while left and (rest := deadline - time.monotonic()) > 0:
            # What is in the buffers comes before the end.
            for key, _events in selector.select(rest):
                if read_on(key.fileobj):
                    selector.unregister(key.fileobj)
                    left -= 1
    return len(clients) - left


def stall(options, site, users, cookies):
    """Clients that send a request and never read; the report says what they cost, and that the server ends them all."""
    began, empty = time.monotonic(), read_rss(site.process)
    clients = [open_stalled(site, cookie) for cookie in cookies]
    count = wait_for_streams(clients, 60)
    sizes = [read_rss(site.process)]
    print(f"{count} of {len(clients)} clients have a stream: {sizes[0]:.0f} MiB", flush=True)
    for part in range(STALL_PARTS):
        fill_inboxes(users)
        sizes.append(read_rss(site.process))
        print(f"after {part + 1} long messages: {sizes[-1]:.0f} MiB", flush=True)
    time.sleep(options.stall_seconds)
    sizes.append(read_rss(site.process))
    closed = count_closed(clients, READ_SECONDS)
    print(
        f"{len(clients)} stalled clients: {empty:.0f} MiB without them, at most {max(sizes):.0f} MiB,"
        f" {(max(sizes) - empty) * 1024 / len(clients):.0f} KiB for each; after {options.stall_seconds:.0f} s"
        f" {sizes[-1]:.0f} MiB, {closed} were closed; {time.monotonic() - began:.0f} s in all",
        flush=True,
    )
    for client in clients:
        client.close()


def allow_files(count):
    """Let this process and its children open so many files, or exit."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit != resource.RLIM_INFINITY and limit < count + SPARE_FILES:
        sys.exit(f"{count} clients need {count + SPARE_FILES} open files, and the limit is {limit}; see ulimit -Hn.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def compare_with_redis(url, clients, items, rate):
    """Bare pub/sub with a channel for each client, at the same rate in the same run."""
    import redis.asyncio

    async def measure():
        hub, times = redis.asyncio.Redis.from_url(url), []
        subscription = hub.pubsub()
        await subscription.subscribe(*[f"client{number}" for number in range(clients)])
        done = asyncio.Event()

        async def listen():
            async for message in subscription.listen():
                if message["type"] == "message":
                    times.append(time.time() - float(message["data"]))
                    if len(times) == items:
                        done.set()

        listening = asyncio.create_task(listen())
        await asyncio.sleep(1)
        sender, began = redis.asyncio.Redis.from_url(url), time.monotonic()
        for number in range(items):
            await sender.publish(f"client{number % clients}", str(time.time()))
            await asyncio.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), 10)
        listening.cancel()
        print(
            f"bare Redis: {len(times) / (time.monotonic() - began):.0f}/s of {rate}/s, median"
            f" {statistics.median(times) * 1000:.1f} ms, p99 {percentile(times, 0.99):.1f} ms",
            flush=True,
        )
        await subscription.aclose()

    asyncio.run(measure())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--patience", type=float, default=120)
    parser.add_argument("--stall-seconds", type=float, default=90)
    parser.add_argument("--socket", action="store_true")
    parser.add_argument("--redis", action="store_true")
    parser.add_argument("--stalled", action="store_true", help="only show what stalled clients cost")
    options = parser.parse_args()
    allow_files(options.clients)
    users, cookies = prepare(options.clients)
    server = url = client = None
    if options.redis:
        from redis import Redis

        from tests.celery.processes import Redis as Server

        server = Server()
        server.start()
        url = server.url.replace("redis+socket", "unix")
        client = Redis.from_url(url)
        os.environ["KLAXON_LIVE_REDIS"] = url
        switch_to_redis(url)
    from tests.live.site import Site

    site = Site(**({"KLAXON_SEND_BUFFER": "4096"} if options.stalled else {}))
    site.start()
    try:
        if options.stalled:
            stall(options, site, users, cookies)
        else:
            asyncio.run(run(options, site, users, cookies, client))
            if url:
                compare_with_redis(url, options.clients, options.items // 4, options.rate)
    finally:
        site.kill()
        if server is not None:
            server.close()


if __name__ == "__main__":
    sys.exit(main())

"""Pages of the inbox of a user with 50,000 items, in a table with 1,000,000.

The views are called as Django calls them after the session has been read. Each request has another search word or
position, so that no answer is repeated.
"""

import itertools
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import resolve

from benchmarks.figures import Figures, percentile
from benchmarks.place import Place
from notifications.models import Cluster, InboxFeed
from notifications.storage.engine import InsertTarget, get_engine, prepare_time

TARGET = InsertTarget(
    "klaxon_inboxitem",
    ("cluster_id", "recipient_id", "event", "priority", "topic", "title", "body", "created_at", "read_at",
     "archived_at", "actions", "revision"),
    (
        ("encrypted", ""), ("url", ""), ("icon", ""), ("actor_name", ""), ("group_key", ""), ("action_taken", ""),
    ),
)  # fmt: skip
CLUSTERS, CHUNK, TITLE_WORDS, BODY_WORDS = 10, 10_000, 5, 20
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
INBOX = "/notifications/inbox/"
Request = Callable[[random.Random], str]

PAGES: dict[str, Request] = {
    "the list": lambda chance: INBOX,
    "an older page": lambda chance: f"{INBOX}?after={int(BEGIN.timestamp() * 1e6) + chance.randrange(10**12)}-1",
    "unread items": lambda chance: f"{INBOX}?show=unread",
    "archived items": lambda chance: f"{INBOX}?show=archived",
    "one event": lambda chance: f"{INBOX}?event=rare",
    "one topic": lambda chance: f"{INBOX}?topic=topic-{chance.randrange(500)}",
    "one cluster": lambda chance: f"{INBOX}?cluster={chance.randrange(CLUSTERS) + 1}",
    "a search for a frequent word": lambda chance: f"{INBOX}?q=word{chance.randrange(3)}x",
    "a search for a rare word": lambda chance: f"{INBOX}?q=word{chance.randrange(5000, 20_000)}x",
    "a search for two words": lambda chance: f"{INBOX}?q=word{chance.randrange(20)}x+word{chance.randrange(200)}x",
    "a search for a beginning": lambda chance: f"{INBOX}?q=wor",
    "the badge": lambda chance: f"{INBOX}unread-count/",
    "the feed": lambda chance: f"{INBOX}feed.json?since={chance.randrange(1_000_000)}",
}


def run(place: Place) -> Iterator[Figures]:
    items, large = place.size(1_000_000, 2000), place.size(50_000, 500)
    user = fill(items, large)
    for name, make_path in PAGES.items():
        times, queries = measure(user, make_path, place.size(200, 3))
        details = f"{items:,} items, {large:,} of the user; median {percentile(times, 50):.1f} ms, {queries} queries"
        yield Figures(f"inbox: {name}, p95", place.database, percentile(times, 95), "ms", 100, False, details)


def measure(user: User, make_path: Request, count: int) -> tuple[list[float], int]:
    """Return the milliseconds of each request, and the number of queries of one."""
    chance, times = random.Random(7), []  # noqa: S311 - no secret
    with CaptureQueriesContext(connection) as captured:
        get(user, make_path(chance))
    for _ in range(count):
        path, began = make_path(chance), time.perf_counter()
        get(user, path)
        times.append((time.perf_counter() - began) * 1000)
    return times, len(captured)


def get(user: User, path: str) -> Any:
    request = RequestFactory().get(path)
    request.user = user
    match = resolve(request.path)
    response = match.func(request, *match.args, **match.kwargs)
    assert response.status_code == 200, response.status_code
    return response


def fill(items: int, large: int) -> User:
    """Write the items; return the user with the large inbox. The others have 500 items each."""
    Cluster.objects.all().delete()
    clusters = Cluster.objects.bulk_create(
        Cluster(pk=number + 1, name=f"Cluster {number}", slug=f"c{number}", open_to_all=True)
        for number in range(CLUSTERS)
    )
    count = 2 + (items - large) // 500
    users = User.objects.bulk_create(User(username=f"reader{number}") for number in range(count))
    chance = random.Random(42)  # noqa: S311 - no secret
    owners = [users[0]] * large + [users[1 + number // 500] for number in range(items - large)]
    chance.shuffle(owners)
    rows = (make_row(number, owner.pk, chance, clusters) for number, owner in enumerate(owners))
    while chunk := list(itertools.islice(rows, CHUNK)):
        get_engine("default").insert_rows(TARGET, chunk)
    InboxFeed.objects.bulk_create(InboxFeed(user=user, revision=items) for user in users)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return User.objects.get(pk=users[0].pk)


def make_row(number: int, owner: int, chance: random.Random, clusters: list[Cluster]) -> tuple[Any, ...]:
    at = prepare_time(connection, BEGIN + timedelta(seconds=10 * number))
    return (
        chance.choice(clusters).pk,
        owner,
        "rare" if chance.random() < 0.001 else f"event_{chance.randrange(50)}",
        1 if chance.random() < 0.0001 else chance.randrange(2, 5),
        f"topic-{chance.randrange(500)}",
        make_text(chance, TITLE_WORDS),
        make_text(chance, BODY_WORDS),
        at,
        at if chance.random() < 0.5 else None,
        at if chance.random() < 0.2 else None,
        "[]",
        number,
    )


def make_text(chance: random.Random, count: int) -> str:
    """Return words of which a few are frequent and most are rare, as in a language."""
    return " ".join(f"word{min(int(chance.paretovariate(0.6)) - 1, 20_000)}x" for _ in range(count))

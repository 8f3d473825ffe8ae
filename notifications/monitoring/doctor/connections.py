"""The connections of workers: whether there are enough, and whether notifications of PostgreSQL arrive on them."""

from collections.abc import Iterator
from typing import Any

from django.db import connections

from notifications import conf
from notifications.core.connections import get_pool_size
from notifications.delivering.workers.wake_up import can_listen
from notifications.monitoring.doctor.diagnosis import Diagnosis, Status
from notifications.monitoring.doctor.settings import POOL_CHECKS, report_messages, select_messages
from notifications.monitoring.doctor.site import Site
from notifications.storage.engine import get_engine

ALMOST_ALL = 0.9
"""The share of a server's connections from which on it is reported that they run out."""


def examine_pool(site: Site) -> Iterator[Diagnosis]:
    """Compare the pool with the threads of a worker, and the open connections with what the server allows."""
    messages = select_messages(site, POOL_CHECKS)
    yield from report_messages(messages)
    size, threads = get_pool_size(site.using), conf.current().workers
    if size is not None and not messages:
        yield Diagnosis(Status.OK, "pool", f"The pool has {size} connections for {threads} threads of a worker.")
    counted = get_engine(site.using).count_connections()
    if counted is None:
        return
    used, allowed = counted
    detail = f"{used} of {allowed} connections of the server are open."
    if used < allowed * ALMOST_ALL:
        yield Diagnosis(Status.OK, "connections", detail)
    else:
        remedy = (
            "Raise max_connections of PostgreSQL, or use fewer: a smaller pool in DATABASES, fewer processes, or a "
            "pooler such as PgBouncer."
        )
        yield Diagnosis(Status.WARNING, "connections", f"{detail} Further ones will be refused.", remedy)


def examine_listen(site: Site) -> Iterator[Diagnosis]:
    """Send a notification of PostgreSQL, and wait for it as a worker does."""
    if not get_engine(site.using).has_server:
        return
    driver: Any = connections[site.using]
    if driver.Database.__name__ != "psycopg":
        detail = "psycopg2 cannot wait for notifications of PostgreSQL, so workers poll 20 times a second."
        yield Diagnosis(Status.WARNING, "listen", detail, "Install psycopg 3: pip install 'psycopg[binary]'.")
    elif can_listen(site.using):
        yield Diagnosis(Status.OK, "listen", "A notification of PostgreSQL arrives, so commits wake workers at once.")
    else:
        detail = (
            "A notification of PostgreSQL did not arrive, as behind a pooler in transaction mode such as PgBouncer. "
            "Workers poll 20 times a second instead."
        )
        remedy = (
            "Give workers an entry of DATABASES that connects to PostgreSQL directly or through a pooler in session "
            "mode."
        )
        yield Diagnosis(Status.WARNING, "listen", detail, remedy)

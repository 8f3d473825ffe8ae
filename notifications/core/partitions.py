"""Partitions: the database places that hold clusters.

An ordinary site has one. Every wake-up, task and command carries ``(partition, ids)``, so that a site with one schema
for each tenant needs no other code path.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS

Partition = str


def current() -> Partition:
    """The partition that statements run in now."""
    return DEFAULT_DB_ALIAS


def list_partitions() -> Iterator[Partition]:
    """Every partition of this site; at least one."""
    yield DEFAULT_DB_ALIAS


@contextmanager
def enter(partition: Partition) -> Iterator[None]:
    """Run the block's statements in ``partition``."""
    if partition not in list_partitions():
        raise LookupError(f"There is no partition {partition!r}.")
    yield

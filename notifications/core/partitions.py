"""Partitions: the databases or schemas that contain clusters.

An ordinary site has one. Every wake-up, task and command carries ``(partition, ids)``, so that a site with one schema
for each tenant needs no other code path.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS

Partition = str


def get_current() -> Partition:
    """Return the partition that statements use now."""
    return DEFAULT_DB_ALIAS


def list_partitions() -> Iterator[Partition]:
    """Yield every partition of this site; there is at least one."""
    yield DEFAULT_DB_ALIAS


@contextmanager
def enter(partition: Partition) -> Iterator[None]:
    """Run the statements of the block in ``partition``. A context manager.

    :raises LookupError: if the site has no such partition.
    """
    if partition not in list_partitions():
        raise LookupError(f"There is no partition {partition!r}.")
    yield

"""Locks of a partition that are held until the transaction ends."""

from django.db import connections

QUEUE_LOCK = "klaxon.queue_limit"


def lock_queue(using: str) -> None:
    """Wait until no other transaction that counts has uncommitted deliveries, and make others wait for this one.

    There is one such lock for a partition, and it is held until the transaction ends. On SQLite only one transaction
    can write at a time anyway.
    """
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(current_schema()))", [QUEUE_LOCK])


def try_lock_task(task: str, using: str) -> bool:
    """Lock a task until the transaction ends; return whether no other transaction holds the lock.

    On SQLite nothing is locked here: the first write of the transaction locks the database.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        # Each schema is a partition with its own task.
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s), hashtext(current_schema()))", [task])
        return bool(cursor.fetchone()[0])

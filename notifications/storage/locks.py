"""Locks of a partition that are held until the transaction ends."""

from notifications.storage.engine import get_engine

QUEUE_LOCK = "klaxon.queue_limit"


def lock_queue(using: str) -> None:
    """Wait until no other transaction that counts has uncommitted deliveries, and make others wait for this one.

    There is one such lock for a partition, and it is held until the transaction ends. On SQLite only one transaction
    can write at a time anyway.
    """
    get_engine(using).lock_transaction(QUEUE_LOCK)


def try_lock_task(task: str, using: str) -> bool:
    """Lock a task until the transaction ends; return whether no other transaction holds the lock.

    On SQLite nothing is locked here: the first write of the transaction locks the database.
    """
    return get_engine(using).try_lock_transaction(task)

"""The heartbeat of a Celery worker process: begun by its first task, ended with the process.

With it, what a killed process had claimed is taken back after ``LEASE_SECONDS``.
"""

import os
import threading
from typing import Any

from celery.signals import worker_process_shutdown, worker_shutdown

from notifications.delivering.workers.heartbeat import HeartbeatThread

_lock = threading.Lock()
# By process, because a pool may fork after the first task.
_beating: dict[int, HeartbeatThread] = {}


def of_this_process() -> HeartbeatThread:
    with _lock:
        if os.getpid() not in _beating:
            _beating[os.getpid()] = HeartbeatThread().__enter__()
        return _beating[os.getpid()]


@worker_process_shutdown.connect(dispatch_uid="klaxon.pulse")
@worker_shutdown.connect(dispatch_uid="klaxon.pulse")
def stop(**kwargs: Any) -> None:
    with _lock:
        pulse = _beating.pop(os.getpid(), None)
    if pulse:
        pulse.__exit__()

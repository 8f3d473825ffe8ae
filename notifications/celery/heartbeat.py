"""The heartbeat of a Celery worker process. Its first task starts it, and it ends with the process.

With it, the deliveries that a killed process has claimed are rescued after ``LEASE_SECONDS``.
"""

import os
import threading
from typing import Any

from celery.signals import worker_process_shutdown, worker_shutdown

from notifications.delivering.workers.heartbeat import HeartbeatThread

_lock = threading.Lock()
# By process id, because a pool may fork after the first task.
_heartbeats: dict[int, HeartbeatThread] = {}


def get_process_heartbeat() -> HeartbeatThread:
    with _lock:
        if os.getpid() not in _heartbeats:
            _heartbeats[os.getpid()] = HeartbeatThread().__enter__()
        return _heartbeats[os.getpid()]


@worker_process_shutdown.connect(dispatch_uid="klaxon.heartbeat")
@worker_shutdown.connect(dispatch_uid="klaxon.heartbeat")
def stop(**kwargs: Any) -> None:
    with _lock:
        heartbeat = _heartbeats.pop(os.getpid(), None)
    if heartbeat:
        heartbeat.__exit__()

"""Delivery through Celery: the broker carries ids, and the database stores states and times.

No module here imports Celery until a site has switched it on. If a broker loses, repeats or delays a task, only the
time changes: a task is a call to look into the outbox, and the claims in the outbox decide who delivers what.
"""

from notifications import conf
from notifications.core import extras


def is_enabled() -> bool:
    """Return whether the site has switched Celery on and can use it. If it cannot, the system checks say why."""
    return not any(conf.problems()) and conf.current().celery and extras.is_installed("celery")

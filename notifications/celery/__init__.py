"""Delivering through Celery: the broker carries ids, the database owns state and time.

Nothing here imports Celery until a site has switched it on. What a broker loses, repeats or delays changes nothing but
the time: a task is only a call to look into the outbox, and the claims in the outbox decide who delivers what.
"""

from notifications import conf
from notifications.core import extras


def wanted() -> bool:
    """Whether the site has switched Celery on and can have it; the system checks tell what is in the way."""
    return not any(conf.problems()) and conf.current().celery and extras.is_installed("celery")

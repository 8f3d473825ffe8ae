"""Workers that deliver only, for tests in which much time passes: the upkeep of the site would take most of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from notifications.delivering.workers.periodic_tasks import PERIODIC_TASKS


@contextmanager
def without_upkeep() -> Iterator[None]:
    """Let workers run only the periodic tasks that change what is delivered, which are those that a simulation runs."""
    delivering = {name: task for name, task in PERIODIC_TASKS.items() if task.is_simulated}
    with patch.dict(PERIODIC_TASKS, delivering, clear=True):
        yield

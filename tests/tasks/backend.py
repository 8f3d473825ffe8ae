"""A small task backend: a table of JSON lines in a file, and a worker that another process runs."""

import fcntl
import json
from pathlib import Path

from django.tasks.backends.base import BaseTaskBackend
from django.utils.module_loading import import_string


class FileBackend(BaseTaskBackend):
    """Writes each task as a line of a file. ``run_one()`` takes the first line and runs it."""

    supports_priority = True

    def __init__(self, alias, params):
        super().__init__(alias, params)
        self.path = Path(self.options["PATH"])

    def enqueue(self, task, args, kwargs):
        self.validate_task(task)
        line = json.dumps([task.priority, task.queue_name, task.module_path, args, kwargs])
        with self.path.open("a") as file:
            file.write(f"{line}\n")

    def take(self):
        """Remove the most urgent task, and return it; None if there is none."""
        if not self.path.exists():
            return None
        with self.path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            tasks = sorted(map(json.loads, file.read().splitlines()), key=lambda task: -task[0])
            file.seek(0)
            file.truncate()
            file.writelines(f"{json.dumps(task)}\n" for task in tasks[1:])
        return tasks[0] if tasks else None

    def run_one(self):
        """Run the most urgent task as a worker does; return whether there was one."""
        found = self.take()
        if found is None:
            return False
        _priority, _queue, path, args, kwargs = found
        import_string(path).call(*args, **kwargs)
        return True

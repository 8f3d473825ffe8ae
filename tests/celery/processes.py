"""A real Redis, real Celery workers and a real beat. Each is ended by its own process id."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import redis

from notifications.models import Delivery, Heartbeat
from tests import redis_server
from tests.celery.ledger import Ledger
from tests.processes import environment, until

QUEUES = ("klaxon.critical", "klaxon.high", "klaxon.medium", "klaxon.low")


class Redis:
    """A server on a Unix socket, without files: it loses everything when it is killed."""

    def __init__(self):
        # Not tmp_path, because the path of a socket may have only 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="klaxon-redis-"))
        self.socket = self.folder / "redis.sock"
        self.url = f"redis+socket://{self.socket}"
        self.process = None

    def start(self):
        command = [redis_server.executable(), "--port", "0", "--unixsocket", self.socket]
        kept = ["--save", "", "--appendonly", "no", "--dir", self.folder]
        self.process = subprocess.Popen([*command, *kept], stdout=subprocess.DEVNULL)
        until(self.answers)

    def answers(self):
        with suppress(redis.RedisError):
            return self.ask("ping")

    def ask(self, command, *args):
        with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5) as client:
            return getattr(client, command)(*args)

    def waiting(self):
        """Return how many tasks wait in each queue."""
        return {queue: self.ask("llen", queue) for queue in QUEUES}

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait(timeout=10)
            self.process = None

    def close(self):
        self.kill()
        shutil.rmtree(self.folder)


class Site:
    """The test database, a broker and a ledger, and processes that share them."""

    def __init__(self, redis, folder):
        self.redis, self.folder = redis, folder
        self.ledger = Ledger(folder / "ledger")
        self.log = folder / "log"
        self.processes = []

    def worker(self, *options, queues=QUEUES, **env):
        return self.start("worker", "-Q", ",".join(queues), *options, "--without-gossip", "--without-mingle", **env)

    def beat(self, **env):
        return self.start("beat", "--schedule", str(self.folder / "beat"), "--pidfile=", **env)

    def start(self, *command, **env):
        env = environment(
            DJANGO_SETTINGS_MODULE="tests.celery.settings",
            KLAXON_BROKER=self.redis.url,
            KLAXON_LEDGER=str(self.ledger.path),
            **env,
        )
        celery = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "tests.celery.app", *command, "-l", "INFO"]
        with self.log.open("a") as log:
            # Its own session, so that its children can be ended with it.
            process = subprocess.Popen(celery, env=env, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(process)
        return process

    def once(self):
        """Run ``dispatch_notifications`` once and return its output."""
        command = [sys.executable, "-W", "ignore", "-m", "django", "dispatch_notifications"]
        env = environment(DJANGO_SETTINGS_MODULE="tests.celery.settings", KLAXON_LEDGER=str(self.ledger.path))
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True).stdout

    def children(self, process):
        """Return the process ids of a worker's pool."""
        found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    def count_in_log(self, words):
        return self.log.read_text().count(words)

    def describe(self):
        """Return the deliveries and workers in the database, the tasks in the broker, and the end of the log."""
        rows = Delivery.objects.exclude(state="sent").values("pk", "state", "owner", "due_at", "lease")[:20]
        try:
            waiting = self.redis.waiting(), self.redis.ask("hlen", "unacked")
        except redis.RedisError as error:
            waiting = error
        parts = [list(rows), list(Heartbeat.objects.values()), waiting, self.log.read_text()[-8000:]]
        return "\n".join(map(str, parts))

    def end(self, process):
        """End a process in order, after its current tasks."""
        process.terminate()
        process.wait(timeout=60)

    def kill(self, process):
        """Kill the worker and its pool, as if the machine failed."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)

    def close(self):
        for process in self.processes:
            with suppress(ProcessLookupError):
                self.kill(process)

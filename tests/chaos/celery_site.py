"""Celery workers, a beat and a broker around a scene; a send in this process calls them."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from celery import Celery
from django.conf import settings
from django.test import override_settings
from kombu import pools

from notifications import signals
from notifications.celery import broker, calls
from notifications.celery.receiver import call_workers
from tests.celery.processes import QUEUES, Redis
from tests.chaos.scene import Scene
from tests.processes import until

RECEIVED = re.compile(r"Task \S+\.dispatch\[(\S+)\] received")


@dataclass
class Program:
    """A process in a session of its own, so that its children can be ended with it."""

    command: list[str]
    env: dict[str, str]
    log: Path

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command, env=self.env, stdout=log, stderr=log, start_new_session=True)

    def stop(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)


class CelerySite:
    """Its processes are ended with the block, by their own ids."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.redis = scene, Redis()
        self.log = scene.folder / "celery.log"
        self.programs: list[Program] = []
        self.gave_up = 0

    def worker(self, name: str, **env: str) -> None:
        """One with two processes, for all queues; returns when it is ready for work."""
        quiet = ("--without-gossip", "--without-mingle")
        self.start("worker", "-n", f"{name}@%h", "-c", "2", "-Q", ",".join(QUEUES), *quiet, **env)
        until(lambda: re.search(rf"{name}@\S+ ready", self.said), 60)

    def beat(self, every: float = 1.0) -> None:
        schedule = str(self.scene.folder / "beat")
        self.start("beat", "--schedule", schedule, "--pidfile=", KLAXON_SWEEP_EVERY=str(every))

    def start(self, *command: str, **env: str) -> None:
        env = self.scene.environment("tests.chaos.celery_settings", KLAXON_BROKER=self.redis.url, **env)
        celery = f"{sys.executable} -W ignore -m celery -A tests.chaos.celery_app".split()
        self.programs.append(Program([*celery, *command, "-l", "INFO"], env, self.log))
        self.programs[-1].start()

    def supervise(self) -> None:
        """Start again what has ended, as systemd would: now and then kombu gives up when its broker dies."""
        for program in self.programs:
            if program.process.poll() is not None:
                self.gave_up += 1
                program.start()

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def receipts(self) -> list[str]:
        """The task id of each call as often as it was received."""
        return RECEIVED.findall(self.said)

    def close(self) -> None:
        for program in self.programs:
            program.process.terminate()
        for program in self.programs:
            program.stop()
        self.redis.close()


@contextmanager
def celery_site(scene: Scene) -> Iterator[CelerySite]:
    """Redis runs, and calls are made; workers are started by the story."""
    site = CelerySite(scene)
    site.redis.start()
    try:
        with calling(site.redis.url):
            yield site
    finally:
        site.close()


@contextmanager
def calling(url: str) -> Iterator[None]:
    """What ``ready()`` does where Celery is switched on, for as long as the block lasts."""
    Celery("chaos", broker=url).set_current()
    calls.broker = broker.Broker()
    with override_settings(NOTIFICATIONS={**settings.NOTIFICATIONS, "CELERY": True}):
        signals.notifications_queued.connect(call_workers, dispatch_uid="klaxon.celery")
        try:
            yield
        finally:
            signals.notifications_queued.disconnect(dispatch_uid="klaxon.celery")
            pools.reset()

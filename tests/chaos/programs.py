"""The real command as a process of its own, and what can be known of processes from outside."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.chaos.scene import Scene


@contextmanager
def command(
    scene: Scene, *options: str, settings: str = "tests.chaos.settings", **env: str
) -> Iterator[subprocess.Popen]:
    """``dispatch_notifications --watch``, as a host starts it; it does not outlive the block."""
    words = [sys.executable, "-W", "ignore", "-m", "django", "dispatch_notifications", "--watch", *options]
    with scene.said.open("a") as said:
        process = subprocess.Popen(words, env=scene.environment(settings, **env), stdout=said, stderr=said)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait(30)


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that live. Reads ``/proc``, so Linux only."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

"""A bar on a terminal. Nowhere else: what goes into a pipe or a file is read by machines, or later."""

import threading
import time

from django.core.management.base import OutputWrapper

WIDTH = 30
DRAWN_EVERY = 0.1


class Progress:
    """Draws how much of ``total`` is done, and how fast; without a total, only how much. Called from any thread."""

    def __init__(self, out: OutputWrapper, total: int | None) -> None:
        self.out = out if out.isatty() else None
        self.total = total
        self.done = 0
        self._began = time.monotonic()
        self._drawn_at = 0.0
        self._longest = 0
        self._lock = threading.Lock()

    def advance(self, count: int) -> None:
        with self._lock:
            self.done += count
            if self.out and time.monotonic() - self._drawn_at >= DRAWN_EVERY:
                self._draw(self.out)

    def end(self) -> None:
        """Draw it as it stands, and go to the next line."""
        if self.out and self.done:
            self._draw(self.out)
            self.out.write("")

    def _draw(self, out: OutputWrapper) -> None:
        self._drawn_at = time.monotonic()
        words = line(self.done, self.total, self._drawn_at - self._began)
        self._longest = max(self._longest, len(words))
        out.write(f"\r{words:<{self._longest}}", ending="")
        out.flush()


def line(done: int, total: int | None, seconds: float) -> str:
    """One line of words and a bar. What was not there at the beginning makes the total grow, never the bar burst."""
    rate = f"{done / seconds:.0f} a second" if seconds > 0 else ""
    if total is None:
        return f"{done} done, {rate}"
    total = max(total, done, 1)
    full = WIDTH * done // total
    return f"[{'#' * full}{'.' * (WIDTH - full)}] {done} of {total}, {100 * done // total} %, {rate}"

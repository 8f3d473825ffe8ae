"""A progress bar on a terminal. Pipes and files get none, because machines read them, or people later."""

import threading
import time

from django.core.management.base import OutputWrapper

WIDTH = 30
DRAW_SECONDS = 0.1


class Progress:
    """Draw how much of ``total`` is done, and how fast. Without a total there is no bar. Any thread can call it."""

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
            if self.out and time.monotonic() - self._drawn_at >= DRAW_SECONDS:
                self._draw(self.out)

    def end(self) -> None:
        """Draw the final state and start a new line."""
        if self.out and self.done:
            self._draw(self.out)
            self.out.write("")

    def _draw(self, out: OutputWrapper) -> None:
        self._drawn_at = time.monotonic()
        line = format_line(self.done, self.total, self._drawn_at - self._began)
        self._longest = max(self._longest, len(line))
        out.write(f"\r{line:<{self._longest}}", ending="")
        out.flush()


def format_line(done: int, total: int | None, seconds: float) -> str:
    """Return one line with a bar and counts. If more is done than the total at the start, the total grows."""
    rate = f"{done / seconds:.0f} a second" if seconds > 0 else ""
    if total is None:
        return f"{done} done, {rate}"
    total = max(total, done, 1)
    full = WIDTH * done // total
    return f"[{'#' * full}{'.' * (WIDTH - full)}] {done} of {total}, {100 * done // total} %, {rate}"

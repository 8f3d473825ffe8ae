"""Simulate the bus of a coach, to try the CAN bridge without a vehicle or CAN hardware: as a recording, or live."""

import signal
import threading
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from example_project.coach.messages import SimulatedFrame
from example_project.coach.playing import Output, SocketcandOutput, play, wait_for_listener
from example_project.coach.simulation import SCRIPTS, fill
from example_project.coach.slcan_adapter import SlcanAdapter
from example_project.coach.socketcand_server import HOST, SocketcandServer

LONGEST = 24 * 60
START = "2026-01-01T08:00:00+00:00"


class Command(BaseCommand):
    help = (
        "Write a recording of a coach's bus, or let bridge_can listen to it: through a socketcand server on loopback, "
        "or a serial adapter on a pseudo-terminal. A live script begins when somebody listens."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", nargs="?", help="the candump file to write, such as coach.log")
        parser.add_argument("--socketcand", type=int, metavar="PORT", help="serve on this port of 127.0.0.1 (0: any)")
        parser.add_argument("--slcan", action="store_true", help="serve on a pseudo-terminal, whose path is printed")
        parser.add_argument("--script", choices=SCRIPTS, default="drive", help="what happens (default: drive)")
        parser.add_argument("--minutes", type=float, default=5, help="length of the script (default: 5)")
        parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same frames")
        parser.add_argument("--rate", type=float, help="add other frames until there are this many in a second")
        parser.add_argument("--start", default=START, help=f"time of the first frame of a recording ({START})")
        parser.add_argument(
            "--wait", type=float, default=300, metavar="SECONDS", help="how long to wait for a listener (default: 300)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        outputs = [options["path"] is not None, options["socketcand"] is not None, options["slcan"]]
        if sum(outputs) != 1:
            raise CommandError("Give one of: the path of a file, --socketcand PORT, --slcan.")
        # The condition is negated so that "nan" fails too.
        if not 0 < options["minutes"] <= LONGEST:
            raise CommandError(f"--minutes must be more than 0 and at most {LONGEST}.")
        if options["rate"] is not None and not 0 < options["rate"] <= 100_000:
            raise CommandError("--rate must be more than 0 and at most 100000 frames in a second.")
        frames = SCRIPTS[options["script"]](options["minutes"] * 60, options["seed"])
        if options["rate"] is not None:
            frames = fill(frames, options["rate"], options["seed"])
        if options["path"] is not None:
            self._record(frames, options)
        elif options["slcan"]:
            with SlcanAdapter() as adapter:
                self._play(frames, adapter, f"--interface slcan --channel {adapter.path}", options)
                adapter.flush()
                self.stdout.write(f"{adapter.lost} frames lost: the listener was too slow.")
        else:
            self._serve_socketcand(frames, options)

    def _record(self, frames: Iterator[SimulatedFrame], options: dict[str, Any]) -> None:
        start = parse_start(options["start"])
        try:
            with Path(options["path"]).open("wb") as file:
                file.writelines(frame.as_candump(start, "can0") for frame in frames)
        except OSError as error:
            raise CommandError(f"{options['path']!r} cannot be written: {error}") from error
        self.stdout.write(f"Replay it with: bridge_can --replay {options['path']}")

    def _serve_socketcand(self, frames: Iterator[SimulatedFrame], options: dict[str, Any]) -> None:
        server = SocketcandServer(options["socketcand"])
        try:
            server.start()
        except (OSError, OverflowError) as error:
            raise CommandError(f"Port {options['socketcand']} cannot be used: {error}. Give another one.") from error
        try:
            address = f"--interface socketcand --channel can0 --option host={HOST} --option port={server.port}"
            self._play(frames, SocketcandOutput(server), address, options)
        finally:
            server.stop()

    def _play(self, frames: Iterator[SimulatedFrame], output: Output, address: str, options: dict[str, Any]) -> None:
        self.stdout.write(f"Listen with: bridge_can {address}")
        self.stdout.flush()
        with stop_on_signals() as should_stop:
            if not wait_for_listener(output, options["wait"], should_stop):
                raise CommandError(f"Nobody listened within {options['wait']:g} seconds.")
            self.stdout.write(f"The script {options['script']!r} begins.")
            self.stdout.flush()
            count = play(frames, output, should_stop)
        self.stdout.write(f"{count} frames sent.")


def parse_start(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"--start must be a time such as {START}, not {text!r}.") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Let SIGTERM and SIGINT end the script, so that the summary is printed and the bus is closed."""
    stopped = threading.Event()
    # Only the main thread can set handlers.
    is_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGINT) if is_main else ()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in numbers}
    try:
        yield stopped.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Draw the picture of ``bridge_can --watch`` in docs/can.md: ``python -m tests.can.pictures``.

It processes a simulated day up to a bad moment, so it always gives the same picture.
"""

import io
import os
from itertools import takewhile
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()

import example_project.coach
from example_project.coach.simulation import SCRIPTS
from notifications.can.activity import Activity
from notifications.can.databases import decoding_errors
from notifications.can.fault_tracker import FaultTracker
from notifications.can.frame import Frame
from notifications.can.rules import RuleSet
from notifications.can.rules_file import read_rule_files
from notifications.can.signals import SignalDecoder
from notifications.can.tally import Tally
from notifications.can.watch import Watch
from notifications.core import extras

PATH = Path(__file__).resolve().parents[2] / "docs/images/can-watch.svg"
RULES = Path(example_project.coach.__file__).with_name("rules.toml")
START = 1_767_254_400.0
SECONDS, UNTIL = 7_200, 0.78
LINES = 46


def draw() -> str:
    """Return the picture as SVG."""
    make_console = extras.import_optional("rich.console").Console
    console = make_console(record=True, width=104, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(make_watch(console).draw(LINES))
    # Its own id would depend on the version of rich.
    return console.export_svg(title="bridge_can --watch", unique_id="can-watch")


def make_watch(console: Any) -> Watch:
    tally, found = Tally(), read_rule_files([RULES])
    rules = RuleSet(found.rules, (), found.messages)
    # The rate is that between the begin and the only description.
    clock = iter((0.0, SECONDS * UNTIL)).__next__
    activity = Activity(SignalDecoder(rules.messages, Tally(), decoding_errors()), clock)
    watch = Watch(console, activity, tally)
    day = takewhile(lambda one: one.after < SECONDS * UNTIL, SCRIPTS["bad-day"](SECONDS, 1))
    frames = (Frame(START + one.after, "can0", one.arbitration_id, one.data) for one in day)
    bridge = rules.make_bridge(FaultTracker(tally))
    for change in bridge.process(activity.observe(frames)):
        watch.add_change(change)
    return watch


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(draw(), encoding="utf-8")

"""The rules of ``docs/can-rules.md`` are valid, and each does what the page says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from notifications.can.fault_tracker import FaultTracker
from notifications.can.frame import Frame, SilenceTick
from notifications.can.rules import RuleSet
from notifications.can.rules_file import read_rule_files
from notifications.can.tally import Tally
from notifications.testing import temporary_events
from tests.can.candump import START

pytestmark = pytest.mark.needs("can", "cantools")

PAGE = Path(__file__).resolve().parents[2] / "docs/can-rules.md"
ENGINE = 'VERSION ""\nBO_ 2566844158 ET1: 8 X\n SG_ EngineCoolantTemperature : 0|8@1+ (1,-40) [-40|210] "degC" X\n'
RVC_OF = {"DC": 0x19FFFD80, "TANK": 0x19FFB772, "GAS": 0x09FFF578, "GEN": 0x19FFDC40, "GEN2": 0x19FFDB40}
RVC_OF |= {"HEAT": 0x19FFF765, "ROOM": 0x19FF9C58, "ENGINE": 0x18FEEE00, "FAULT": 0x19FECA40, "OTHER": 0x19FED050}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def frames(*lines: tuple[float, str, str]) -> Iterator[Frame]:
    for after, name, data in lines:
        yield Frame(START + after, "can0", RVC_OF[name], bytes.fromhex(data))


def steady(name: str, data: str, begin: int, end: int, step: int = 5) -> list[tuple[float, str, str]]:
    return [(second, name, data) for second in range(begin, end, step)]


VOLTS_11, VOLTS_13 = "0178DC0000943577", "0178040100943577"
STORIES = {
    "battery-low": ([*steady("DC", VOLTS_11, 0, 70), *steady("DC", VOLTS_13, 70, 400)], ["begun", "ended"]),
    "generator-oil": ([(0, "GEN2", "10FFFFFFFFFFFFFF")], ["begun"]),
    "red-lamp": ([(0, "FAULT", "450001032001FFFF"), (1, "FAULT", "0500FFFFFFFFFFFF")], ["raised", "cleared"]),
    "fresh-water": ([*steady("TANK", "000120FFFFFFFFFF", 0, 70), (71, "TANK", "001020FFFFFFFFFF")], ["begun", "ended"]),
    "carbon-monoxide": ([(0, "GAS", "0101E80301FFFFFF"), (9, "GAS", "0101E80300FFFFFF")], ["begun", "ended"]),
    "generator-runs": ([(0, "GEN", "00" + "FF" * 7), (1, "GEN", "03" + "FF" * 7)], ["begun"]),
    "freezing-without-heat": (
        [(0, "HEAT", "0100FFFFFFFFF3FF"), *steady("ROOM", "010022FFFFFFFFFF", 1, 700)],
        ["begun"],
    ),
    "gas-detector-silent": ([(0, "GAS", "0101E80300FFFFFF"), *steady("OTHER", "FF" * 8, 1, 50)], ["begun"]),
    "node-silent": (steady("OTHER", "FF" * 8, 0, 100), ["begun", "begun"]),
    "engine-hot": ([(0, "ENGINE", "96" + "FF" * 7), (1, "ENGINE", "70" + "FF" * 7)], ["begun", "ended"]),
}


@pytest.fixture
def found(tmp_path):
    (tmp_path / "engine.dbc").write_text(ENGINE)
    path = tmp_path / "rules.toml"
    # The table of defaults is in the first block, and applies to all.
    path.write_text("\n".join(blocks("toml")))
    with temporary_events():
        exec(next(block for block in blocks("python") if "class VehicleEvents" in block), {"__name__": "events"})
        yield read_rule_files([path])


def test_the_rules_of_the_page_are_valid_and_show_every_kind(found):
    assert found.problems == []
    kinds = set(re.findall(r'^kind = "(\w+)"', PAGE.read_text(), re.MULTILINE))
    assert kinds == {"fault", "flood", "signal", "state_change", "compound", "device_silence", "bus_silence"}
    assert {rule.name for rule in found.rules} == {*STORIES, "too-many-faults", "bus-silent"}


@pytest.mark.parametrize("name", STORIES)
def test_each_rule_does_what_the_page_says(found, name):
    lines, expected = STORIES[name]
    rules = RuleSet(tuple(rule for rule in found.rules if rule.name == name), (), found.messages)
    bridge = rules.make_bridge(FaultTracker(Tally()))
    assert [change.kind for change in bridge.process(frames(*lines))] == expected


def test_the_silence_of_the_bus(found):
    bridge = RuleSet(found.rules, (), found.messages).make_bridge(FaultTracker(Tally()))
    items = [*frames((0, "OTHER", "FF" * 8)), SilenceTick(START + 30), SilenceTick(START + 600)]
    changes = [(change.kind, change.rule) for change in bridge.process(items)]
    assert changes == [("begun", "bus-silent")]

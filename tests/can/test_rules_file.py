import tomllib
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.can.databases import Databases
from notifications.can.rule_tables import Problems
from notifications.can.rules_file import read_rule_files, read_rules
from notifications.can.toml_lines import find_lines

pytestmark = pytest.mark.needs("can", "cantools")

SIGNAL = """\
[[rules]]
name = "low"
kind = "signal"
message = "DC_SOURCE_STATUS_1"
field = "DcVoltage"
operator = "<"
value = 11.8
"""
COMPOUND = """\
[[rules]]
name = "both"
kind = "compound"
all = [
    { message = "DC_SOURCE_STATUS_1", field = "DcVoltage", operator = "<", value = 11.8 },
    { message = "GENERATOR_STATUS_1", field = "Status", operator = "==", value = "stopped" },
]
"""


@pytest.fixture
def problems(tmp_path):
    def find(text: str) -> list[str]:
        path = tmp_path / "rules.toml"
        path.write_text(text, encoding="utf-8")
        found = read_rule_files([path])
        assert bool(found.rules) or found.problems
        return [str(problem).removeprefix(str(path)) for problem in found.problems]

    return find


def change(line: str, new: str, text: str = SIGNAL) -> str:
    [old] = [one for one in text.splitlines() if one.startswith(line)]
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[rules]\n", ":1: This is not TOML: "),
        (SIGNAL + "\nvalue = ", ":9: This is not TOML: "),
        (change("name", ""), ":1: The key 'name' is missing. Set it to a name such as \"battery-low\"."),
        (change("name", 'name = "två ord"'), ":2: name is 'två ord'. Use up to 40 letters, digits, dots and dashes."),
        (change("kind", 'kind = "signl"'), ":3: kind is 'signl'. Did you mean 'signal'?"),
        (change("message", 'message = "DC_SOURCE_1"'), ":4: No DBC file has a message 'DC_SOURCE_1'. Did you mean"),
        (change("message", "dgn = 0x1FFFE"), ":4: 0 messages of the DBC files have the DGN 0x1FFFE. Add its DBC file"),
        (change("message", 'dgn = "1FFFD"'), ":4: dgn is '1FFFD'. Write a number such as 0x1FFFD."),
        (
            change("field", 'field = "Voltage"'),
            ":5: DC_SOURCE_STATUS_1 has no field 'Voltage'. Its fields are Instance, DevicePriority, DcVoltage, "
            "DcCurrent.",
        ),
        (change("operator", 'operator = "=<"'), ":6: operator is '=<'. Did you mean '<'?"),
        (change("value", ""), ":1: The key 'value' is missing. Set it to a number, or a word in quotes."),
        (change("value", 'value = "low"'), ":7: DcVoltage is never 'low'. Write a number."),
        (change("value", "value = true"), ":7: value is True. Write a number or a word."),
        (SIGNAL + "valeu = 1", ":8: There is no key 'valeu' here. Did you mean 'value'?"),
        (SIGNAL + "for = '1 minute'", ":8: for is '1 minute'. It must be a time: a number of seconds"),
        (SIGNAL + "for = -1", ":8: for is -1. It must be a time"),
        (SIGNAL + "repeat_every = 5", ":8: repeat_every is 5. It must be a time of at least 60 seconds"),
        (SIGNAL + "clear_value = 11.5", ":8: clear_value is 11.5. It must be at least 11.8, so that the alert ends"),
        (SIGNAL + "severity = 'bad'", ":8: severity is 'bad'. Known values: critical, info, warning."),
        (SIGNAL + "instance = 'one'", ":8: instance is 'one'. It must be a whole number from 0 to 16777215"),
        (SIGNAL + "source = 256", ":8: source is 256. It must be a whole number from 0 to 255"),
        (SIGNAL + "where = { Type = 1 }", ":8: DC_SOURCE_STATUS_1 has no field 'Type'."),
        (SIGNAL + "event = 'store_on_fir'", ":8: No notification event is registered as 'store_on_fir'."),
        (SIGNAL + "event = 'store_on_fire'", ":8: The event 'store_on_fire' needs 'place' in its context. Write"),
        (
            SIGNAL + "event = 'store_on_fire'\ncontext = { place = '{valeu}' }",
            ":9: There is no fact {valeu}. Did you mean 'value'?",
        ),
        (
            SIGNAL + "event = 'store_on_fire'\ncontext = { place = '', plaice = '' }",
            ":9: The event 'store_on_fire' declares no 'plaice'. Did you mean 'place'?",
        ),
        (SIGNAL + "recipients = 'all'", ":8: recipients has 'all'. 'all' names no recipients. Write one of members,"),
        (SIGNAL + "recipients = []", ":8: recipients is []. Write one of members,"),
        (SIGNAL + "recipients = 'fax:1'", ":8: recipients has 'fax:1'. "),
        (SIGNAL + "cluster = 1", ":8: cluster is 1. Write a slug, or a table"),
        (SIGNAL + "options = { lavel = 'info' }", ":8: options has 'lavel'. Known options: "),
        (SIGNAL + SIGNAL, ":8: The name 'low' is used twice, first in "),
        ("[[rule]]\n" + SIGNAL, ":1: There is no key 'rule' here. Did you mean 'rules'?"),
        ("rules = 1\n", ":1: rules is 1. It must be a list of tables."),
        ("[defaults]\nseverty = 'info'\n" + SIGNAL, ":2: There is no key 'severty' here. Did you mean 'severity'?"),
        ("[defaults]\nseverity = 'bad'\n" + SIGNAL, ":2: severity is 'bad'."),
        ("[[databases]]\npath = 'none.dbc'\n" + SIGNAL, ":2: There is no DBC file "),
        ("[[databases]]\n" + SIGNAL, ":1: The key 'path' is missing."),
        (COMPOUND.replace('"DcVoltage"', '"DcVoltag"'), ":5: DC_SOURCE_STATUS_1 has no field 'DcVoltag'."),
        (COMPOUND.replace('"stopped"', '"stoped"'), ":6: Status is never 'stoped'. Its words are \"stopped\","),
        (COMPOUND.replace('"=="', '"<"'), ":6: Status is a word, which is not less or more than another. Use"),
        (COMPOUND.partition("all")[0], ':3: Which conditions? Give either "all" or "any".'),
        ("[[rules]]\nname = 'a'\nkind = 'device_silence'", ":1: The key 'after' is missing."),
        ("[[rules]]\nname = 'a'\nkind = 'bus_silence'\nafter = 0", ":4: after is 0. It must be a time of at least 1"),
        (
            "[[rules]]\nname = 'a'\nkind = 'device_silence'\nafter = 9\nexpected = true",
            ":5: expected needs sources. Name the source addresses",
        ),
        (
            "[[rules]]\nname = 'a'\nkind = 'state_change'\nmessage = 'GENERATOR_STATUS_1'\nfield = 'Status'",
            ":1: The key 'to' is missing.",
        ),
        ("[[rules]]\nname = 'a'\nkind = 'fault'\nlamps = 'green'", ":4: lamps has 'green'. Known values: malfunction,"),
        ("[[rules]]\nname = 'a'\nkind = 'fault'\nfor = 5", ":4: There is no key 'for' here. "),
    ],
)
def test_each_mistake_is_reported_with_its_line(problems, text, expected):
    found = problems(text)
    assert any(problem.startswith(expected) for problem in found), found


def test_several_mistakes_are_reported_together(problems):
    found = problems(change("value", "value = true", change("field", 'field = "Voltage"')) + "x = 1\n" + SIGNAL)
    assert [problem.split(":")[1] for problem in found] == ["5", "8"]


def test_a_file_that_does_not_exist(tmp_path):
    [problem] = read_rule_files([tmp_path / "none.toml"]).problems
    assert (problem.line, problem.message) == (1, "There is no such file.")


def test_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_bytes(b"\xff\xfe")
    [problem] = read_rule_files([path]).problems
    assert problem.message.startswith("The file cannot be read: ")


def test_a_dbc_file_is_found_from_the_folder_of_the_rule_file(tmp_path):
    (tmp_path / "dbc").mkdir()
    (tmp_path / "dbc/own.dbc").write_text('VERSION ""\nBO_ 100 OWN: 8 X\n SG_ A : 0|8@1+ (1,0) [0|0] "" X\n')
    path = tmp_path / "rules.toml"
    rule = SIGNAL.replace("DC_SOURCE_STATUS_1", "OWN").replace("DcVoltage", "A")
    path.write_text('[[databases]]\npath = "dbc/own.dbc"\n' + rule)
    found = read_rule_files([path])
    assert found.problems == []
    assert [(message.name, message.dgn) for message in found.messages] == [("OWN", None)]


def test_defaults_are_those_of_their_own_file_and_only_where_a_kind_has_the_key(problems, tmp_path):
    fault = "[[rules]]\nname = 'all'\nkind = 'fault'\n"
    path = tmp_path / "a.toml"
    path.write_text("[defaults]\nseverity = 'critical'\nrepeat_every = '6h'\n" + SIGNAL + fault)
    other = tmp_path / "b.toml"
    other.write_text(SIGNAL.replace('"low"', '"other"'))
    found = read_rule_files([path, other])
    assert found.problems == []
    low, every, plain = found.rules
    assert (low.severity, low.repeat_every) == (2, 21_600)
    assert (every.severities, every.repeat_every) == (frozenset(), 21_600)
    assert (plain.severity, plain.repeat_every) == (1, None)


def test_lines_are_found_in_all_forms_of_toml():
    text = '''\
a = 1
"b c" = """
a = 5
"""
d.e = [
    { x = 1 }, { x = 2 },  # two
    { x = "]" },
]
[t]
a = 2
[[rules]]
[rules.context]
a = 3
[[rules.all]]
x = 1
[[rules.all]]
[[rules]]
all = [{ x = 1 }]
f = 3
'''
    tomllib.loads(text)
    assert find_lines(text) == {
        ("a",): 1,
        ("b c",): 2,
        ("d", "e"): 5,
        ("d", "e", 0): 6,
        ("d", "e", 1): 6,
        ("d", "e", 2): 7,
        ("t",): 9,
        ("t", "a"): 10,
        ("rules", 0): 11,
        ("rules", 0, "context"): 12,
        ("rules", 0, "context", "a"): 13,
        ("rules", 0, "all", 0): 14,
        ("rules", 0, "all", 0, "x"): 15,
        ("rules", 0, "all", 1): 16,
        ("rules", 1): 17,
        ("rules", 1, "all"): 18,
        ("rules", 1, "all", 0): 18,
        ("rules", 1, "f"): 19,
    }


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = (
    "name severity event clear_event recipients cluster context options repeat_every for clear_for after message dgn "
    "field operator value clear_value instance source bus where to from all any expected spn fmi dsa lamps protocol"
)


@cache
def get_databases() -> Databases:
    return Databases()


@given(
    st.sampled_from(["fault", "flood", "signal", "state_change", "compound", "device_silence", "bus_silence"]),
    st.dictionaries(st.sampled_from(KEYS.split()), VALUES.filter(lambda value: value is not None), max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_any_values_are_read_or_reported(kind, values):
    list(read_rules({"rules": [{"kind": kind, **values}]}, Problems(Path("x.toml")), get_databases()))


@pytest.mark.parametrize("value", ["nan", "inf", "2026-01-01", "[1]", "{ a = 1 }", "true"])
def test_a_value_of_a_wrong_type_is_a_problem(problems, value):
    [problem] = problems(change("value", f"value = {value}\nclear_value = 3"))
    assert "value is" in problem
    state = '[[rules]]\nname = "a"\nkind = "state_change"\nmessage = "GENERATOR_STATUS_1"\nfield = "Status"\n'
    assert any("to is" in one for one in problems(f"{state}to = [{value}]\n"))


@pytest.mark.parametrize("keys", ["to = []", 'from = "running"\nto = "running"'])
def test_a_change_that_cannot_happen_is_a_problem(problems, keys):
    state = '[[rules]]\nname = "a"\nkind = "state_change"\nmessage = "GENERATOR_STATUS_1"\nfield = "Status"\n'
    [problem] = problems(state + keys)
    assert "can never begin" in problem


def test_a_byte_order_mark_is_skipped_and_deep_nesting_is_a_problem(problems):
    assert problems("\ufeff" + SIGNAL) == []
    [problem] = problems("x = " + "[" * 5000 + "]" * 5000)
    assert "nested too deeply" in problem

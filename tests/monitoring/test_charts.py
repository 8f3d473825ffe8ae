"""The drawing of charts."""

import re
from xml.etree import ElementTree

import pytest
from django.utils import translation

from notifications.monitoring.charts import (
    PLOT,
    TOP,
    Bar,
    Mark,
    Series,
    Tick,
    choose_ticks,
    draw_bars,
    draw_columns,
    draw_lines,
    draw_patterns,
    draw_punches,
    round_up,
)


def parse(drawing):
    return ElementTree.fromstring(drawing)


def find_lines(values, **more):
    drawing = draw_lines("key", "Title", "Text", [Series("one", values)], [], **more)
    return [line.get("points") for line in parse(drawing).iter("polyline")]


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (2, 2), (5, 6), (7, 8), (9, 10), (10, 10), (11, 20), (600, 600), (601, 800)]
)
def test_the_top_is_a_round_number_that_is_not_below_the_values(value, top):
    assert round_up(value) == top


def test_a_line_goes_from_edge_to_edge():
    assert find_lines([0, 5, 10]) == [f"0,{PLOT} 500,{PLOT / 2:g} 1000,0"]


def test_a_line_has_a_gap_where_there_is_no_value():
    assert find_lines([10, None, 10, None, 0, 0]) == ["0,0 0,0", "400,0 400,0", f"800,{PLOT} 1000,{PLOT}"]


def test_without_values_there_is_no_line():
    assert find_lines([None, None]) == []


def test_columns_are_stacked():
    drawing = draw_columns("key", "Title", "Text", [Series("a", [6, 0]), Series("b", [4, 2])], [])
    boxes = [(one.get("class")[-1], float(one.get("y")), float(one.get("height"))) for one in parse(drawing)[2:]
             if one.tag == "rect"]  # fmt: skip
    bottom = TOP + PLOT
    assert boxes == [("1", bottom - 90, 90), ("2", bottom - 150, 60), ("2", bottom - 30, 30)]


def test_a_bar_that_is_longer_than_the_scale_is_cut():
    drawing = draw_bars("key", "Title", "Text", [Bar("a", "300", (30, 300, 5))], 100, [Mark(50, "half")])
    widths = [one.get("width") for one in parse(drawing).iter("rect")]
    assert widths == ["100%", "30%", "70%"]
    [mark] = parse(drawing).iter("line")
    assert mark.get("x1") == "50%"


def test_the_area_of_a_dot_is_proportional_to_its_value():
    drawing = draw_punches("key", "Title", "Text", [Series("Mon", [0, 100, 25])], [])
    radii = [float(one.get("r")) for one in parse(drawing).iter("circle")]
    assert radii == [6, 3]


def test_charts_are_mirrored_for_languages_from_right_to_left():
    bars = [Bar("a", "1", (25,))]
    with translation.override("ar"):
        assert find_lines([0, 10]) == [f"1000,{PLOT} 0,0"]
        [_track, box] = parse(draw_bars("key", "Title", "Text", bars, 100)).iter("rect")
        assert (box.get("x"), box.get("width")) == ("75%", "25%")


def test_numbers_in_attributes_are_the_same_in_every_language():
    arguments = ("key", "Title", "Text", [Series("a", [1234.5, 1.25, 3])], [Tick(1, "x")])
    with translation.override("de"):
        drawing = draw_columns(*arguments)
    assert re.search(r">2\.000<", drawing)
    assert not re.search(r' (?:x|y|width|height|dx)="[^"]*,', drawing)


def test_texts_are_escaped():
    name = '<b>"&'
    for drawing in (
        draw_bars("key", name, name, [Bar(name, name, (1,))], None, [Mark(1, name)]),
        draw_columns("key", name, name, [Series(name, [1])], [Tick(0, name)]),
        draw_lines("key", name, name, [Series(name, [1])], [Tick(0, name)]),
        draw_punches("key", name, name, [Series(name, [1])], [Tick(0, name)]),
    ):
        root = parse(drawing)
        assert root.find("title").text == root.find("desc").text == name
        assert name in [text.text for text in root.iter("text")]


def test_long_labels_leave_room_for_the_value():
    [label, value] = parse(draw_bars("key", "Title", "Text", [Bar("x" * 60, "1,234 sent", (1,))])).iter("text")
    assert len(label.text) + len(value.text) == 42
    assert label.text.endswith("…")


def test_ticks_have_equal_distances():
    assert [tick.index for tick in choose_ticks(list("abcdefghijk"))] == [0, 3, 6, 9]
    assert choose_ticks([]) == []


def test_each_part_has_a_pattern():
    patterns = parse(draw_patterns())
    names = [one.get("id") for one in patterns.iter("pattern")]
    assert names == [f"klaxon-pattern-{number}" for number in range(1, 6)]

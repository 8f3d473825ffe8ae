"""Charts as inline SVG, for pages without JavaScript and with a strict content security policy.

A chart is as wide as its page: positions along the x axis are percentages, and heights are pixels, so text keeps its
size. The parts of a chart differ by pattern or dashes and not by colour alone. Colours come from the style sheet, by
the classes ``klaxon-part-1`` to ``klaxon-part-5``. In languages that are written from right to left, charts are
mirrored.

The functions are pure, but for the active language. They take texts that are already translated.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, floor, log10, sqrt

from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language_bidi

TOP, PLOT, BOTTOM = 20, 150, 24
BAR_ROW, BAR_TOP, BAR_HEIGHT = 44, 20, 14
PUNCH_ROW, PUNCH_LEFT, MAX_RADIUS, MIN_RADIUS = 22, 14, 6.0, 1.2
# The width of the coordinates of lines, which are stretched to the width of the page.
WIDTH = 1000
# How many characters fit into a line on a phone.
LINE = 42
FACTORS = (1, 2, 3, 4, 6, 8, 10)


@dataclass(frozen=True)
class Series:
    """Values of one kind, one for each place on the x axis; None where there is none."""

    label: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Tick:
    """A label of the x axis, at the place with this index."""

    index: int
    label: str


@dataclass(frozen=True)
class Bar:
    """A horizontal bar.

    :param label: what it shows, at the start of the line above it.
    :param text: its value as text, at the end of that line.
    :param parts: the lengths of its parts, in the unit of the scale.
    """

    label: str
    text: str
    parts: Sequence[float]


@dataclass(frozen=True)
class Mark:
    """A vertical line across all bars, such as a target."""

    value: float
    label: str


def draw_lines(key: str, title: str, description: str, series: Sequence[Series], ticks: Sequence[Tick]) -> SafeString:
    """Return a chart with a line for each series, at most four. A line has a gap where a value is None.

    :param key: makes the ids of its elements unique in the page.
    """
    top = round_up(max((value for one in series for value in one.values if value is not None), default=0))
    places = max((len(one.values) for one in series), default=0)
    last = max(places - 1, 1)
    lines = format_html_join(
        "",
        '<polyline class="klaxon-line klaxon-part-{}" points="{}"/>',
        (
            (number, _join_points(run, last, top))
            for number, one in enumerate(series, 1)
            for run in _split_at_gaps(one.values)
        ),
    )
    inner = format_html(
        '<svg x="0" y="{}" width="100%" height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>',
        TOP, PLOT, WIDTH, PLOT, lines,
    )  # fmt: skip
    labels = _draw_ticks((100 * tick.index / last, tick.label) for tick in ticks)
    return _wrap(key, title, description, TOP + PLOT + BOTTOM, [_draw_grid(top), inner, _draw_levels(top), labels], top)


def draw_columns(key: str, title: str, description: str, series: Sequence[Series], ticks: Sequence[Tick]) -> SafeString:
    """Return a chart with a column for each place, in which the values of the series are stacked."""
    places = max((len(one.values) for one in series), default=0)
    top = round_up(max((sum(one.values[place] or 0 for one in series) for place in range(places)), default=0))
    step = 100 / max(places, 1)
    gap = step * (0.25 if places <= 31 else 0.1)
    shapes = []
    for place in range(places):
        base = 0.0
        for number, one in enumerate(series, 1):
            height = PLOT * (one.values[place] or 0) / top
            if height:
                bottom = TOP + PLOT - base
                shapes.append(_draw_box(number, place * step + gap / 2, step - gap, bottom - height, height))
            base += height
    labels = _draw_ticks(((tick.index + 0.5) * step, tick.label) for tick in ticks)
    parts = [_draw_grid(top), *shapes, _draw_levels(top), labels]
    return _wrap(key, title, description, TOP + PLOT + BOTTOM, parts, top)


def draw_bars(
    key: str,
    title: str,
    description: str,
    bars: Sequence[Bar],
    scale: float | None = None,
    marks: Sequence[Mark] = (),
    looks: Sequence[int] = (1, 2, 3, 4),
) -> SafeString:
    """Return a chart with a bar for each row.

    :param scale: the length of a bar that fills the width; by default the longest one. Longer bars are cut.
    :param looks: the numbers of the patterns of the parts.
    """
    scale = scale or max((sum(bar.parts) for bar in bars), default=0) or 1
    height = BAR_ROW * len(bars) + (BOTTOM if marks else 0)
    shapes = []
    for row, bar in enumerate(bars):
        shapes.append(_draw_bar(row * BAR_ROW, bar, scale, looks))
        top = row * BAR_ROW + BAR_TOP
        for mark in marks:
            x = _mirror(100 * mark.value / scale)
            line = '<line class="klaxon-mark" x1="{}%" x2="{}%" y1="{}" y2="{}"/>'
            shapes.append(format_html(line, x, x, top - 2, top + BAR_HEIGHT + 2))
    labels = _draw_ticks(((100 * mark.value / scale, mark.label) for mark in marks), height - 6)
    return _wrap(key, title, description, height, [*shapes, labels])


def draw_punches(key: str, title: str, description: str, rows: Sequence[Series], ticks: Sequence[Tick]) -> SafeString:
    """Return a chart with a dot for each row and place. The area of a dot is proportional to its value."""
    most = max((value or 0 for row in rows for value in row.values), default=0)
    places = max((len(row.values) for row in rows), default=0)
    step = (100 - PUNCH_LEFT) / max(places, 1)
    shapes = []
    for number, row in enumerate(rows):
        middle = PUNCH_ROW * number + PUNCH_ROW / 2
        shapes.append(_draw_text(0, middle + 4, row.label))
        shapes.append(
            format_html('<line class="klaxon-grid" x1="{}%" x2="{}%" y1="{}" y2="{}"/>',
                        _mirror(PUNCH_LEFT), _mirror(100), middle, middle)
        )  # fmt: skip
        for place, value in enumerate(row.values):
            if value:
                radius = max(MIN_RADIUS, MAX_RADIUS * sqrt(value / most))
                x = _mirror(PUNCH_LEFT + (place + 0.5) * step)
                dot = '<circle class="klaxon-dot" cx="{}%" cy="{}" r="{}"/>'
                shapes.append(format_html(dot, x, middle, _number(radius)))
    height = PUNCH_ROW * len(rows) + BOTTOM
    labels = _draw_ticks(((PUNCH_LEFT + (tick.index + 0.5) * step, tick.label) for tick in ticks), height - 6)
    return _wrap(key, title, description, height, [*shapes, labels])


def draw_sample(number: int, is_line: bool) -> SafeString:
    """Return the sample of a part, for the legend."""
    shape = '<line class="klaxon-line klaxon-part-{}" x1="0" y1="6" x2="28" y2="6"/>'
    if not is_line:
        shape = '<rect class="klaxon-box klaxon-part-{0}" fill="url(#klaxon-pattern-{0})" width="28" height="12"/>'
    return format_html('<svg width="28" height="12" aria-hidden="true">{}</svg>', format_html(shape, number))


def draw_patterns() -> SafeString:
    """Return the patterns of the parts. Each page with charts contains them once, before the charts."""
    hatch = '<path d="M-1 1 1-1M0 6 6 0M5 7 7 5" class="klaxon-ink-line"/>'
    kinds = (
        '<rect width="6" height="6" class="klaxon-ink"/>',
        hatch,
        '<circle cx="2" cy="2" r="1.3" class="klaxon-ink"/>',
        "",
        hatch,
    )
    patterns = format_html_join(
        "",
        '<pattern id="klaxon-pattern-{0}" class="klaxon-part-{0}" width="6" height="6" '
        'patternUnits="userSpaceOnUse">{1}</pattern>',
        ((number, mark_safe(kind)) for number, kind in enumerate(kinds, 1)),  # noqa: S308 - literals
    )
    return format_html(
        '<svg class="klaxon-patterns" width="0" height="0" aria-hidden="true"><defs>{}</defs></svg>', patterns
    )


def round_up(value: float) -> float:
    """Return the smallest of 1, 2, 3, 4, 6, 8, 10, 20 and so on that is not below a value."""
    if value <= 1:
        return 1
    power = 10 ** floor(log10(value))
    return next(factor * power for factor in FACTORS if value <= factor * power)


def choose_ticks(labels: Sequence[str], most: int = 5) -> list[Tick]:
    """Return ticks with at most so many of the labels, at equal distances."""
    step = max(1, ceil(len(labels) / most))
    return [Tick(index, label) for index, label in enumerate(labels) if index % step == 0]


def shorten(label: str, most: int) -> str:
    """Return a label of at most so many characters; the table has the whole one."""
    return label if len(label) <= most else f"{label[: max(most - 1, 0)]}…"


def _wrap(
    key: str, title: str, description: str, height: float, parts: Iterable[str], top: float | None = None
) -> SafeString:
    """Return the SVG. With a highest level, it leaves room for the labels of the y axis before it."""
    room = (
        "" if top is None else " klaxon-axis-3" if top < 1000 else " klaxon-axis-6" if top < 10**6 else " klaxon-axis-9"
    )
    return format_html(
        '<svg class="klaxon-plot{5}" role="img" aria-labelledby="{0}-title" aria-describedby="{0}-desc" '
        'width="100%" height="{1}"><title id="{0}-title">{2}</title><desc id="{0}-desc">{3}</desc>{4}</svg>',
        key, height, title, description, format_html_join("", "{}", ((part,) for part in parts)), room,
    )  # fmt: skip


def _draw_grid(top: float) -> SafeString:
    line = '<line class="klaxon-grid" x1="0" x2="100%" y1="{}" y2="{}"/>'
    return format_html_join("", line, ((y, y) for _, y in _list_levels(top)))


def _draw_levels(top: float) -> SafeString:
    """Return the labels of the y axis, which end before the lines of the grid begin."""
    element = '<text x="{}%" y="{}" dx="{}" text-anchor="end">{}</text>'
    x, distance = _mirror(0), 6 if get_language_bidi() else -6
    rows = ((x, _number(y + 4), distance, number_format(level, force_grouping=True)) for level, y in _list_levels(top))
    return format_html_join("", element, rows)


def _list_levels(top: float) -> list[tuple[float, float]]:
    """Return the levels of the grid lines, with their y coordinates."""
    levels = [0, top] if top % 2 else [0, top // 2, top]
    return [(int(level), TOP + PLOT - PLOT * level / top) for level in levels]


def _draw_ticks(ticks: Iterable[tuple[float, str]], y: float = TOP + PLOT + BOTTOM - 7) -> SafeString:
    """Return the labels below the x axis. Those at the ends stay inside the chart."""

    def choose_anchor(place: float) -> str:
        return "start" if place < 2 else "end" if place > 98 else "middle"

    return format_html_join("", "{}", ((_draw_text(place, y, label, choose_anchor(place)),) for place, label in ticks))


def _draw_text(place: float, y: float, text: str, anchor: str = "start") -> SafeString:
    element = '<text x="{}%" y="{}" text-anchor="{}">{}</text>'
    return format_html(element, _mirror(place), _number(y), anchor, text)


def _draw_bar(y: float, bar: Bar, scale: float, looks: Sequence[int]) -> SafeString:
    shapes = [
        _draw_text(0, y + 14, shorten(bar.label, LINE - len(bar.text))),
        _draw_text(100, y + 14, bar.text, "end"),
        format_html('<rect class="klaxon-track" width="100%" y="{}" height="{}"/>', y + BAR_TOP, BAR_HEIGHT),
    ]
    start = 0.0
    for number, part in zip(looks, bar.parts, strict=False):
        length = min(100 * part / scale, 100 - start)
        if length > 0:
            shapes.append(_draw_box(number, start, length, y + BAR_TOP, BAR_HEIGHT))
        start += length
    return format_html_join("", "{}", ((shape,) for shape in shapes))


def _draw_box(number: int, start: float, length: float, y: float, height: float) -> SafeString:
    x = _mirror(start + length) if get_language_bidi() else _number(start)
    return format_html(
        '<rect class="klaxon-box klaxon-part-{0}" fill="url(#klaxon-pattern-{0})" x="{1}%" width="{2}%" y="{3}" '
        'height="{4}"/>',
        number, x, _number(length), _number(y), _number(height),
    )  # fmt: skip


def _split_at_gaps(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Return the runs of neighbouring values, each with its places."""
    runs = groupby(enumerate(values), lambda pair: pair[1] is None)
    return [[(place, value) for place, value in run if value is not None] for is_gap, run in runs if not is_gap]


def _join_points(run: Sequence[tuple[int, float]], last: int, top: float) -> str:
    # A single point is drawn as a line of no length, with round ends.
    points = run if len(run) > 1 else [*run, *run]
    scale = WIDTH / 100
    pairs = ((_mirror(100 * place / last, scale), _number(PLOT - PLOT * value / top)) for place, value in points)
    return " ".join(f"{x},{y}" for x, y in pairs)


def _mirror(place: float, scale: float = 1) -> str:
    """Return a place on the x axis, a percentage of the width, for the direction of the active language."""
    return _number(scale * (100 - place if get_language_bidi() else place))


def _number(value: float) -> str:
    """Return a number for an attribute, which must not be localized."""
    return f"{value:.2f}".rstrip("0").rstrip(".")

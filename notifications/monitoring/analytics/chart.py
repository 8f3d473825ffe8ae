"""What all charts of a report have in common: texts, a drawing, and a table with the same values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import floor
from typing import Any

from django.utils.formats import date_format, number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from notifications.events import NotificationPriority
from notifications.monitoring.charts import draw_sample

EMPTY = "–"


@dataclass(frozen=True)
class Table:
    """The values of a chart. Cells are texts, numbers, dates and times; None stands for no value."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]

    @property
    def formatted_rows(self) -> list[list[str]]:
        """The cells as texts in the active language."""
        return [[format_cell(cell) for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Chart:
    """A chart of a report.

    :param key: its name in URLs and ids.
    :param summary: one or two sentences with what it shows.
    :param drawing: the SVG; empty if there is nothing to show.
    :param legend: the labels of its parts.
    :param looks: the numbers of the patterns of the parts.
    :param note: what the reader must know about the numbers.
    """

    key: str
    title: str
    summary: str
    table: Table
    drawing: SafeString | str = ""
    legend: Sequence[str] = ()
    has_lines: bool = False
    note: str = ""
    looks: Sequence[int] = (1, 2, 3, 4)
    is_wide: bool = False

    @property
    def samples(self) -> list[tuple[SafeString, str]]:
        """The legend: the sample of each part and its label."""
        pairs = zip(self.looks, self.legend, strict=False)
        return [(draw_sample(number, self.has_lines), label) for number, label in pairs]


def get_band_labels() -> dict[str, str]:
    """Return the names of the bands in the active language, the most urgent first."""
    labels = (_("critical"), _("high"), _("medium"), _("low"))
    return dict(zip((priority.name.lower() for priority in NotificationPriority), labels, strict=True))


def format_cell(cell: Any) -> str:
    """Return a cell of a table as text in the active language."""
    if cell is None:
        return EMPTY
    if isinstance(cell, datetime):
        return date_format(cell, "SHORT_DATETIME_FORMAT")
    if isinstance(cell, date):
        return date_format(cell, "SHORT_DATE_FORMAT")
    if isinstance(cell, float):
        return number_format(cell, 2, force_grouping=True)
    return format_count(cell) if isinstance(cell, int) else str(cell)


def format_count(count: int) -> str:
    return number_format(count, force_grouping=True)


def get_percentage(part: float, whole: float, decimals: int = 2) -> float | None:
    """Return a share in percent, rounded down, so that 100 means all; None without a whole."""
    if not whole:
        return None
    factor = 10**decimals
    return floor(100 * factor * part / whole) / factor


def format_percentage(share: float | None, decimals: int = 1) -> str:
    if share is None:
        return EMPTY
    # "100,000" would look like a hundred thousand in some languages.
    return _("{number} %").format(number=number_format(share, 0 if share == 100 else decimals))


def format_duration(seconds: float) -> str:
    """Return a time in the unit that fits, such as "0.4 s", "12 min" or "5 h"."""
    if seconds < 10 and seconds % 1:
        return _("{number} s").format(number=number_format(round(seconds, 1), 1))
    if seconds < 120:
        return _("{number} s").format(number=number_format(round(seconds)))
    if seconds < 7200:
        return _("{number} min").format(number=number_format(round(seconds / 60)))
    if seconds < 172_800:
        return _("{number} h").format(number=number_format(round(seconds / 3600)))
    return _("{number} d").format(number=number_format(round(seconds / 86_400)))

"""The table that a run prints and writes into the documentation."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figures

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEADINGS = ("what", "database", "figure", "target", "reached", "how, and in this run")


def format_number(value: float, unit: str) -> str:
    return f"{value:.2f} x" if unit == "x" else f"{value:,.0f} {unit}"


def row(figures: Figures) -> tuple[str, ...]:
    target = f"{'≥' if figures.at_least else '≤'} {figures.target:g} {figures.unit}"
    measured = format_number(figures.figure, figures.unit)
    return (figures.what, figures.database, measured, target, "yes" if figures.is_met else "NO", figures.details)


def markdown(all_figures: Sequence[Figures]) -> str:
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *(row(figures) for figures in all_figures)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write(page: Path, all_figures: Sequence[Figures], size: str) -> None:
    """Write the table between the two markers of a page and leave the rest unchanged."""
    head, _, rest = page.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n{size}\n\n{markdown(all_figures)}\n{END}{tail}")

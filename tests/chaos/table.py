"""The table: what a run prints, and what stands in the documentation."""

from collections.abc import Sequence
from pathlib import Path

from tests.chaos.figures import Figures

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEADINGS = ("fault", "database", "runs", "lost", "duplicates", "bound", "must be 0", "also", "kept")


def rows(all_figures: Sequence[Figures]) -> list[tuple[str, ...]]:
    ordered = sorted(all_figures, key=lambda figures: (int(figures.fault.split()[0]), figures.fault, figures.database))
    return [row(figures) for figures in ordered]


def row(figures: Figures) -> tuple[str, ...]:
    wrong = ", ".join(f"{name} {count}" for name, count in figures.zero.items() if count)
    also = ", ".join(f"{name} {value}" for name, value in figures.told.items())
    sums = (str(figures.lost), str(figures.duplicates), str(figures.bound))
    return (figures.fault, figures.database, figures.runs, *sums, wrong or "0", also, "yes" if figures.held else "NO")


def markdown(all_figures: Sequence[Figures]) -> str:
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *rows(all_figures)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write(page: Path, all_figures: Sequence[Figures], size: str) -> None:
    """Put the table between the two markers of a page; everything else stays."""
    head, _, rest = page.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n{size}\n\n{markdown(all_figures)}\n{END}{tail}")

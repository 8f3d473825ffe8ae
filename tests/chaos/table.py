"""The table: what a run prints, and what stands in the documentation."""

from collections.abc import Sequence
from pathlib import Path

from tests.chaos.figures import Figures

FIGURES, SOAK = "figures", "soak"
HEADINGS = ("fault", "database", "runs", "lost", "duplicates", "bound", "must be 0", "also", "kept")


def rows(all_figures: Sequence[Figures]) -> list[tuple[str, ...]]:
    return [row(figures) for figures in sorted(all_figures, key=place)]


def place(figures: Figures) -> tuple[int, str, str]:
    """By number; what has none comes last."""
    number = figures.fault.split()[0]
    return int(number) if number.isdigit() else 99, figures.fault, figures.database


def row(figures: Figures) -> tuple[str, ...]:
    wrong = ", ".join(f"{name} {count}" for name, count in figures.zero.items() if count)
    also = ", ".join(f"{name} {value}" for name, value in figures.told.items())
    sums = (str(figures.lost), str(figures.duplicates), str(figures.bound))
    return (figures.fault, figures.database, figures.runs, *sums, wrong or "0", also, "yes" if figures.held else "NO")


def markdown(all_figures: Sequence[Figures]) -> str:
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *rows(all_figures)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write(page: Path, all_figures: Sequence[Figures], size: str, part: str = FIGURES) -> None:
    """Put the table between the two markers of its part of a page; everything else stays."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    head, _, rest = page.read_text().partition(begin)
    _, _, tail = rest.partition(end)
    page.write_text(f"{head}{begin}\n{size}\n\n{markdown(all_figures)}\n{end}{tail}")

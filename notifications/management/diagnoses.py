"""Print results of the doctor, within 80 columns."""

import textwrap
from collections import Counter
from typing import Any

from notifications.management.counts import format_count
from notifications.monitoring.doctor.diagnosis import Diagnosis, Status

WIDTH = 80
LABELS = {Status.OK: "ok", Status.WARNING: "warning", Status.ERROR: "error", Status.UNCHECKED: "not checked"}
INDENT = " " * 4


def print_diagnosis(command: Any, diagnosis: Diagnosis) -> None:
    """Print a result: what was found, and what to do."""
    style = {Status.OK: command.style.SUCCESS, Status.ERROR: command.style.ERROR}.get(
        diagnosis.status, command.style.WARNING
    )
    label = f"[{LABELS[diagnosis.status]}]"
    first, *others = _wrap(f"{label} {diagnosis.name}: {diagnosis.detail}", "")
    # Coloured after the text is wrapped, because the codes of colours count as characters.
    command.stdout.write(style(label) + first[len(label) :])
    for line in (*others, *(_wrap(f"-> {diagnosis.remedy}", INDENT) if diagnosis.remedy else ())):
        command.stdout.write(line)


def _wrap(text: str, indent: str) -> list[str]:
    later = INDENT if not indent else f"{indent}   "
    # Words such as names of settings are not broken, so that they can be copied.
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def summarize(tally: Counter[Status]) -> str:
    """Return the numbers of errors, warnings and what was not checked, in one line."""
    parts = [
        format_count(tally[Status.ERROR], "error"),
        format_count(tally[Status.WARNING], "warning"),
        f"{tally[Status.UNCHECKED]} not checked",
        f"{tally[Status.OK]} ok",
    ]
    return f"Result: {', '.join(parts)}."


def find_exit_code(tally: Counter[Status], fails_on_warnings: bool = False) -> int:
    """Return 1 for errors, 2 if there is none but something was not checked, and otherwise 0."""
    if tally[Status.ERROR] or (fails_on_warnings and tally[Status.WARNING]):
        return 1
    return 2 if tally[Status.UNCHECKED] else 0

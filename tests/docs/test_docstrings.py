"""Docstrings are read by Sphinx: what is written as a field is shown as one, not as the letters ``:param``."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIELD = re.compile(r":(?:param|raises|returns?|type|rtype)\b[^:\n]*:")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(folder: str) -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}", text


def faults(text: str) -> Iterator[str]:
    """Lines that Sphinx shows as they stand."""
    before = ""
    for line in text.splitlines():
        if FIELD.search(line, 1):
            yield f"a field is in the middle of a line: {line}"
        if FIELD.match(line) and before and before[0] not in ": ":
            yield f"no empty line is before the first field: {line}"
        if re.match(r":param [^:]*,", line):
            yield f"several parameters share one field: {line}"
        before = line


@pytest.mark.parametrize("folder", ["notifications", "example_project"])
def test_every_field_of_a_docstring_is_rendered_as_one(folder):
    assert [(where, fault) for where, text in docstrings(folder) for fault in faults(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Sum.\n\n:param a: one. :param b: two.",
        "Sum. :param a: one.",
        "Sum.\n:param a: one.",
        ":param a, b: two of them.",
    ],
)
def test_a_field_that_would_be_shown_as_it_stands_is_found(text):
    assert list(faults(text))


def test_fields_with_lines_that_go_on_are_right():
    assert list(faults("Sum.\n\n:param a: one, and\n    more.\n:param b: two.\n:raises ValueError: never.")) == []

"""Find the line of each key of a TOML file. Python's reader does not say it."""

import re
import tomllib
from collections import Counter

Path = tuple[str | int, ...]

HEADER = re.compile(r"\s*(?P<open>\[\[?)\s*(?P<name>[^\[\]]+?)\s*\]\]?\s*(#.*)?")
PART = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
KEY = re.compile(rf"\s*(?P<name>{PART}(?:\s*\.\s*{PART})*)\s*=(?P<value>.*)")
QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'')
POSITION = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")


def find_lines(text: str) -> dict[Path, int]:
    """Return the lines (from 1) of the tables and keys of a valid TOML file.

    Keys are paths such as ``("rules", 0, "value")``: the second part is the number of the table in its array.
    """
    lines: dict[Path, int] = {}
    counts: Counter[Path] = Counter()
    table: Path = ()
    array: Path | None = None
    quotes = ""
    for number, line in enumerate(text.splitlines(), 1):
        if quotes:
            if quotes in line:
                quotes = ""
            continue
        bare = QUOTED.sub('""', line).split("#")[0]
        if array is not None:
            _note_items(lines, counts, array, bare, number)
            array = None if _closes(bare) else array
            continue
        if header := HEADER.fullmatch(line):
            table = _find_table(split_key(header["name"]), counts, is_array=header["open"] == "[[")
            lines.setdefault(table, number)
        elif key := KEY.match(line):
            path = (*table, *split_key(key["name"]))
            lines[path] = number
            value = QUOTED.sub('""', key["value"]).split("#")[0].strip()
            quotes = next((mark for mark in ('"""', "'''") if key["value"].count(mark) == 1), "")
            if value.startswith("["):
                _note_items(lines, counts, path, value, number)
                array = None if value.count("[") <= value.count("]") else path
    return lines


def split_key(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(PART, text))


def _find_table(names: tuple[str, ...], counts: Counter[Path], is_array: bool) -> Path:
    """Return the path of the table of a header. Within an array it is the last table that was begun."""
    path: Path = ()
    for index, name in enumerate(names):
        path = (*path, name)
        if index == len(names) - 1 and is_array:
            counts[path] += 1
        if counts[path]:
            path = (*path, counts[path] - 1)
    return path


def _note_items(lines: dict[Path, int], counts: Counter[Path], array: Path, line: str, number: int) -> None:
    """Note the lines of the inline tables of an array."""
    for _ in range(line.count("{")):
        lines[(*array, counts[array])] = number
        counts[array] += 1


def _closes(line: str) -> bool:
    return line.count("]") > line.count("[")


def find_error_line(error: tomllib.TOMLDecodeError, text: str) -> tuple[int, str]:
    """Return the line of a syntax error and what is wrong, without the position."""
    message = str(error)
    match = POSITION.search(message)
    line = int(match[1]) if match and match[1] else len(text.splitlines()) or 1
    return line, POSITION.sub("", message).strip()

"""Read the values of a table of a rule file. What is wrong is collected, so that all of it is reported at once."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from notifications.can import toml_lines
from notifications.conf.problem import suggest

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
MAX_SECONDS = 366 * 86_400


@dataclass(frozen=True)
class RuleProblem:
    """Something that is wrong with a rule: where, what, and what to do."""

    path: str
    line: int
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message} {self.hint}".rstrip()


@dataclass
class Problems:
    """Collects the problems of one file."""

    path: Path
    lines: Mapping[toml_lines.Path, int] = field(default_factory=dict)
    found: list[RuleProblem] = field(default_factory=list)

    def add(self, where: toml_lines.Path, message: str, hint: str) -> None:
        """Add a problem at the line of a key or, if it is not there, of the table that should have it."""
        while where and where not in self.lines:
            where = where[:-1]
        self.found.append(RuleProblem(str(self.path), self.lines.get(where, 1), message, hint))


class Table:
    """A table of the file. Each method takes one key; :meth:`finish` reports the keys that nothing has taken.

    :param defaults: a table whose values are used for keys that this one does not have.
    """

    def __init__(
        self, values: Mapping[str, Any], where: toml_lines.Path, problems: Problems, defaults: "Table | None" = None
    ) -> None:
        self.values = values
        self.where = where
        self.problems = problems
        self.defaults = defaults
        self._taken: set[str] = set()

    def add_problem(self, key: str, message: str, hint: str) -> None:
        is_own = key in self.values or self.defaults is None or key not in self.defaults.values
        table = self if is_own or self.defaults is None else self.defaults
        table.problems.add((*table.where, key), message, hint)

    def take(self, key: str, default: Any = None, use_defaults: bool = True) -> Any:
        """Return the value of a key as it is."""
        self._taken.add(key)
        if key in self.values:
            return self.values[key]
        return self.defaults.values.get(key, default) if use_defaults and self.defaults is not None else default

    def require(self, key: str, what: str) -> Any:
        """Return the value of a key. Its absence is a problem."""
        value = self.take(key)
        if value is None:
            self.add_problem(key, f"The key {key!r} is missing.", f"Set it to {what}.")
        return value

    def take_text(self, key: str, what: str = "a text in quotes", is_required: bool = False) -> str | None:
        value = self.require(key, what) if is_required else self.take(key)
        if value is None or (isinstance(value, str) and value):
            return value
        self._refuse(key, value, what)
        return None

    def take_choice(self, key: str, choices: Collection[str], default: str | None = None) -> str | None:
        """Return one of some words. It is required if there is no default."""
        listed = ", ".join(f'"{choice}"' for choice in choices)
        value = self.take(key, default) if default is not None else self.require(key, f"one of {listed}")
        if value is None or value in choices:
            return value
        self.add_problem(key, f"{key} is {value!r}.", suggest(value, choices, "values"))
        return default

    def take_number(self, key: str) -> float | None:
        value = self.take(key)
        if value is None or is_number(value):
            return value
        self._refuse(key, value, "a number")
        return None

    def take_bool(self, key: str) -> bool:
        value = self.take(key, False)
        if not isinstance(value, bool):
            self._refuse(key, value, "true or false")
        return value is True

    def take_seconds(self, key: str, default: float | None = 0.0, minimum: float = 0.0) -> float | None:
        """Return a time: a number of seconds, or a text such as ``90s``, ``5m``, ``6h`` or ``2d``."""
        value = self.take(key)
        if value is None:
            return default
        match = DURATION.fullmatch(value) if isinstance(value, str) else None
        seconds = float(match[1]) * SECONDS[match[2]] if match else value
        if is_number(seconds) and minimum <= seconds <= MAX_SECONDS:
            return float(seconds)
        at_least = f" of at least {minimum:g} seconds" if minimum else ""
        self._refuse(key, value, f'a time{at_least}: a number of seconds, or a text such as "90s", "5m", "6h" or "2d"')
        return default

    def take_numbers(self, key: str, maximum: int) -> frozenset[int]:
        """Return whole numbers from 0 to ``maximum``: one, or a list."""
        value = self.take(key, [])
        items = value if isinstance(value, list) else [value]
        if all(isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= maximum for item in items):
            return frozenset(items)
        self._refuse(key, value, f"a whole number from 0 to {maximum}, or a list of these")
        return frozenset()

    def take_texts(self, key: str, choices: Collection[str] = (), use_defaults: bool = True) -> frozenset[str]:
        """Return texts: one, or a list."""
        value = self.take(key, [], use_defaults)
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) for item in items):
            self._refuse(key, value, "a text in quotes, or a list of these")
            return frozenset()
        for item in items:
            if choices and item not in choices:
                self.add_problem(key, f"{key} has {item!r}.", suggest(item, choices, "values"))
                return frozenset()
        return frozenset(items)

    def take_mapping(self, key: str) -> Mapping[str, Any] | None:
        value = self.take(key)
        if value is None or isinstance(value, dict):
            return value
        self._refuse(key, value, 'a table such as { place = "coach" }')
        return None

    def take_tables(self, key: str) -> list["Table"]:
        """Return the tables of an array."""
        value = self.take(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._refuse(key, value, "a list of tables")
            return []
        return [Table(item, (*self.where, key, index), self.problems) for index, item in enumerate(value)]

    def finish(self) -> None:
        """Report the keys that nothing has taken."""
        for key in self.values:
            if key not in self._taken:
                self.add_problem(key, f"There is no key {key!r} here.", suggest(key, self._taken))

    def _refuse(self, key: str, value: Any, what: str) -> None:
        self.add_problem(key, f"{key} is {value!r:.80}.", f"It must be {what}.")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)

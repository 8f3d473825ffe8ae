"""The values that templates get, as the child builds them from JSON.

Dates, times and numbers show themselves as the recipient's language writes them. The parent has formatted them, because
the child knows no languages: ``{{ eta }}`` is a text such as "15. Dezember 2026", ``{{ eta.short }}`` "15.12.2026", and
``{{ eta.year }}`` or ``{{ eta < other }}`` still work.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

Path = Sequence[str | int]
"""Where a value is in the variables: the keys of mappings and the places in lists that lead to it."""


class Shown:
    """A value with a text of its own. Other forms of the text are attributes."""

    # The result of a calculation, such as a later date, has no texts.
    text = short = clock = day_text = ""

    def __str__(self) -> str:
        return self.text or super().__str__()

    def __format__(self, spec: Any, *options: Any) -> str:
        return super().__format__(spec, *options) if spec else str(self)


class ShownDate(Shown, date):
    pass


class ShownDatetime(Shown, datetime):
    pass


class ShownTime(Shown, time):
    pass


class ShownDecimal(Shown, Decimal):
    pass


class ShownFloat(Shown, float):
    pass


class ShownDict(Shown, dict[str, Any]):
    """A mapping with a text, such as the recipient."""


BUILDERS: dict[str, Callable[[Any], Any]] = {
    "date": ShownDate.fromisoformat,
    "datetime": ShownDatetime.fromisoformat,
    "time": ShownTime.fromisoformat,
    "decimal": ShownDecimal,
    "float": ShownFloat,
    "object": ShownDict,
}
"""By name of the type. In JSON, such a value is a list of this name, the value as a JSON value, and its texts."""


def build_values(variables: dict[str, Any], paths: Iterable[Path], copied: Iterable[str] = ()) -> dict[str, Any]:
    """Build the values that JSON does not have, at these places in the variables, and return the variables.

    :param copied: the names of the variables that are left out because ``original`` has the same.
    """
    for path in paths:
        holder: Any = variables
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = build_value(*holder[path[-1]])
    for name in copied:
        variables[name] = variables["original"][name]
    return variables


def build_value(kind: str, plain: Any, texts: dict[str, str]) -> Any:
    if kind == "seconds":
        return timedelta(seconds=plain)
    if kind == "safe":
        return make_safe(plain)
    value = BUILDERS[kind](plain)
    for name, text in texts.items():
        setattr(value, name, text)
    return value


def make_safe(text: str) -> Any:
    """Return HTML that the site's own code has marked as safe."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - the site's code has marked it

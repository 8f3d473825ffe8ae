"""Variables of templates as JSON for the cage, with the texts in the recipient's language and time zone.

The cage rebuilds dates, times and numbers, see ``cage.child_values``. Any object that JSON does not have, such as a
model instance that a transform returns, becomes its text: a template gets no object of the site's code.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from django.utils import formats, timezone
from django.utils.safestring import SafeString

from notifications.delivering.rendering.templates import Locale, use_locale
from notifications.staff_templates.cage.child_values import Path

USER_FIELDS = ("username", "first_name", "last_name", "email")
"""The fields of the recipient that a template can use, in addition to ``full_name``."""
OBJECTS = {"recipient", "cluster", "layout"}
"""Variables that are objects of the site. The first two have a form of their own, and templates do not get the last."""
PLAIN_TYPES = frozenset({str, int, bool, type(None)})
KEY_TYPES = frozenset({str})
DATE_TEXTS = {"text": "DATE_FORMAT", "short": "SHORT_DATE_FORMAT"}
DATETIME_TEXTS = {
    "text": "DATETIME_FORMAT",
    "short": "SHORT_DATETIME_FORMAT",
    "day_text": "DATE_FORMAT",
    "clock": "TIME_FORMAT",
}
"""The formats of Django, by name of the text."""
MAX_DEPTH = 20


class PlainValues:
    """Converts variables to JSON, and notes where it puts values that the cage must build.

    Use it while the recipient's language and time zone are active.
    """

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def convert(self, value: Any, path: Path) -> Any:
        """Return a value as JSON.

        :param path: the keys and places that lead to the value.
        :raises ValueError: if it is nested too deeply.
        """
        kind = type(value)
        if kind in PLAIN_TYPES:
            return value
        # The exact types come first, because checking an abstract type is slow.
        if kind is dict or (kind is not list and isinstance(value, Mapping)):
            return self._convert_mapping(value, path)
        if kind is list or isinstance(value, list | tuple | set | frozenset):
            return self._convert_list(value, path)
        if isinstance(value, Enum):
            return self.convert(value.value, path)
        if isinstance(value, int):
            return int(value)
        built = describe_value(value)
        if built is None:
            return str(value)
        self.paths.append(path)
        return built

    def add_object(self, text: Any, fields: Mapping[str, Any], path: Path) -> tuple[str, Any, Any]:
        """Return a mapping with a text of its own."""
        self.paths.append(path)
        return "object", fields, {"text": str(text)}

    def _convert_mapping(self, value: Mapping[Any, Any], path: Path) -> dict[str, Any]:
        self._check_depth(path)
        if PLAIN_TYPES.issuperset(map(type, value.values())) and KEY_TYPES.issuperset(map(type, value)):
            return dict(value)
        return {
            str(key): item if type(item) in PLAIN_TYPES else self.convert(item, (*path, str(key)))
            for key, item in value.items()
        }

    def _convert_list(self, value: Collection[Any], path: Path) -> list[Any]:
        self._check_depth(path)
        # A set has no order, and two equal messages must be equal.
        items = enumerate(sorted(value, key=str) if isinstance(value, set | frozenset) else value)
        return [item if type(item) in PLAIN_TYPES else self.convert(item, (*path, at)) for at, item in items]

    def _check_depth(self, path: Path) -> None:
        if len(path) > MAX_DEPTH:
            raise ValueError(f"A value is nested more than {MAX_DEPTH} times.")


def build_plain_variables(
    variables: Mapping[str, Any], locale: Locale
) -> tuple[dict[str, Any], Sequence[Path], Sequence[str]]:
    """Return variables as JSON, the places of values that the cage builds, and the names that it copies.

    ``recipient`` is a mapping of some fields, and ``cluster`` one of ``id`` and ``name``. Variables that are the same
    as in ``original`` are left out: the cage copies them from there.

    :raises ValueError: if a value is nested too deeply.
    """
    user, cluster, values = variables.get("recipient"), variables.get("cluster"), PlainValues()
    original = variables.get("original") or {}
    copied = [name for name, value in original.items() if name not in OBJECTS and variables.get(name) is value]
    left_out = OBJECTS.union(copied)
    with use_locale(locale):
        plain = {name: values.convert(value, (name,)) for name, value in variables.items() if name not in left_out}
        plain["recipient"] = plain["cluster"] = None
        if user is not None:
            plain["recipient"] = values.add_object(user.get_username(), _get_user_fields(user), ("recipient",))
        if cluster is not None:
            fields = {"id": str(cluster.pk), "name": str(cluster)}
            plain["cluster"] = values.add_object(cluster, fields, ("cluster",))
    return plain, values.paths, copied


def _get_user_fields(user: Any) -> dict[str, str]:
    fields = {name: str(getattr(user, name, "") or "") for name in USER_FIELDS}
    full_name = getattr(user, "get_full_name", str)() or user.get_username()
    return {**fields, "username": user.get_username(), "full_name": str(full_name)}


def describe_value(value: Any) -> tuple[str, Any, dict[str, str]] | None:
    """Return a value that JSON does not have, with its texts, for ``child_values.build_value()``.

    Return None for a value that a template gets as a text.
    """
    if isinstance(value, SafeString):
        return "safe", str(value), {}
    if isinstance(value, date | time):
        return _describe_time(value)
    if isinstance(value, timedelta):
        return "seconds", value.total_seconds(), {}
    if isinstance(value, Decimal | float):
        return "decimal" if isinstance(value, Decimal) else "float", str(value), {"text": str(formats.localize(value))}
    return None


def _describe_time(value: date | time) -> tuple[str, str, dict[str, str]]:
    if isinstance(value, time):
        return "time", value.isoformat(), {"text": formats.time_format(value, "TIME_FORMAT")}
    if not isinstance(value, datetime):
        return "date", value.isoformat(), _format(value, DATE_TEXTS)
    local = timezone.localtime(value) if timezone.is_aware(value) else value
    return "datetime", local.isoformat(), _format(local, DATETIME_TEXTS)


def _format(value: date, texts: Mapping[str, str]) -> dict[str, str]:
    return {name: formats.date_format(value, kind) for name, kind in texts.items()}

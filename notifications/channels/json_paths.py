"""Paths to values in JSON, such as ``"messages.0.id"``."""

from collections.abc import Mapping
from typing import Any


def find_value(data: Any, path: str) -> Any:
    """Return the value at a path, or None if there is none or the path is empty."""
    if not path:
        return None
    for name in path.split("."):
        if isinstance(data, Mapping):
            data = data.get(name)
        elif isinstance(data, list) and name.isascii() and name.isdigit() and int(name) < len(data):
            data = data[int(name)]
        else:
            return None
    return data

"""The text of an HTML page, by inscriptis.

The cage of staff templates loads this file too, so it imports neither Django nor another part of Klaxon.
"""

from functools import cache
from importlib import import_module
from typing import Any


def extract_text(html: str) -> str:
    """Return the text of an HTML page, with the addresses of its links.

    :raises ModuleNotFoundError: if inscriptis is not installed.
    """
    inscriptis: Any = import_module("inscriptis")
    lines = inscriptis.get_text(html, _get_config()).splitlines()
    return "\n".join(line.rstrip() for line in lines).strip() + "\n"


@cache
def _get_config() -> Any:
    model: Any = import_module("inscriptis.model.config")
    return model.ParserConfig(display_links=True)

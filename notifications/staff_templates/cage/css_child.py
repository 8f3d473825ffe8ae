"""The program that inlines the CSS of a template. It runs in the cage, because the HTML and CSS are not trusted either.

Tags of Jinja2 are masked while ``notifications.delivering.rendering.css`` works. That module is loaded from its file,
because its package needs Django to be set up.
"""

import re
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import notifications
from notifications.staff_templates.cage.child import Handler, serve

CSS_MODULE = Path(str(notifications.__file__)).parent / "delivering" / "rendering" / "css.py"
TEMPLATE_TAG = re.compile(r"(\{\{.*?\}\})|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
LOGIC_KIND = "l"
EXAMPLE = "<style>p { color: {{ x }} }</style><p>{% if x %}{% endif %}</p>"


def main() -> None:
    serve(build_handler())


def build_handler() -> Handler:
    """Return the function that inlines the CSS of each HTML text of a request."""
    css = load_css_module()
    inline(css, EXAMPLE)  # so that nothing needs to be imported later

    def handle(request: Any) -> Iterator[Any]:
        for html in request["jobs"]:
            try:
                yield {"parts": {"html": inline(css, html)}}
            except Exception as error:  # noqa: BLE001 - the parent reports it
                yield {"fault": str(error)[:300] or type(error).__name__}

    return handle


def load_css_module() -> ModuleType:
    spec = spec_from_file_location("klaxon_css", CSS_MODULE)
    if spec is None or spec.loader is None:
        raise ImportError(f"{CSS_MODULE} cannot be loaded.")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def inline(css: ModuleType, html: str) -> str:
    """Return a template with the rules of its ``<style>`` elements as ``style`` attributes.

    :raises ValueError: if the CSS cannot be read, or the template contains the characters of the masks.
    """
    if css.MARK_START in html or css.MARK_END in html:
        raise ValueError(f"The HTML contains the private character {css.MARK_START!a} or {css.MARK_END!a}.")
    tags: list[str] = []

    def mask(found: re.Match[str]) -> str:
        tags.append(found[0])
        return f"{css.MARK_START}{css.VALUE if found[1] else LOGIC_KIND}{len(tags) - 1}{css.MARK_END}"

    inlined = css.inline_css(TEMPLATE_TAG.sub(mask, html))
    return str(css.MARKER.sub(lambda marker: tags[int(marker[2])], inlined))

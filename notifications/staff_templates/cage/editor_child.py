"""The program that does for the editor what can take long with hostile texts: inline CSS, find links, compare texts.

It runs in the cage. A request has ``jobs``: the name of a function in ``TOOLS`` and its arguments. The answer has the
result as JSON, or a ``fault``.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from notifications.staff_templates.cage.child import Handler, load_module, serve
from notifications.staff_templates.cage.links import find_broken_links
from notifications.staff_templates.cage.markup import find_markup_faults

TEMPLATE_TAG = re.compile(r"(\{\{.*?\}\})|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
LOGIC_KIND = "l"
EXAMPLE = "<style>p { color: {{ x }} }</style><p>{% if x %}{% endif %}</p>"
MAX_DIFF_LINES = 2000


def main() -> None:
    serve(build_handler())


def build_handler() -> Handler:
    """Return the function that answers the jobs of a request."""
    tools: dict[str, Callable[..., Any]] = {
        "find_broken_links": find_broken_links,
        "find_markup_faults": find_markup_faults,
        "compare": compare,
    }
    try:
        css = load_module("css")
        inline(css, EXAMPLE)  # so that nothing needs to be imported later
    except ImportError:
        pass  # The parent does not ask for it.
    else:
        tools["inline_css"] = partial(inline, css)

    def handle(request: Any) -> Iterator[Any]:
        for name, *arguments in request["jobs"]:
            try:
                yield {"parts": {"result": json.dumps(tools[name](*arguments))}}
            except Exception as error:  # noqa: BLE001 - the parent reports it
                yield {"fault": str(error)[:300] or type(error).__name__}

    return handle


def inline(css: ModuleType, html: str) -> str:
    """Return a template with the rules of its ``<style>`` elements as ``style`` attributes.

    Tags of Jinja2 are masked while ``notifications.delivering.rendering.css`` works.

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


def compare(old: Sequence[str], new: Sequence[str], labels: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Return the lines of a unified diff of texts, each with its kind: add, remove, head or same.

    :param labels: for each pair of texts, the names of both.
    """
    lines: list[str] = []
    for one, other, names in zip(old, new, labels, strict=True):
        lines += difflib.unified_diff(one.splitlines(), other.splitlines(), names[0], names[1], lineterm="")
    shown = [(find_kind(line), line) for line in lines[:MAX_DIFF_LINES]]
    return [*shown, ("head", "…")] if len(lines) > MAX_DIFF_LINES else shown


def find_kind(line: str) -> str:
    if line.startswith(("---", "+++", "@@")):
        return "head"
    return {"+": "add", "-": "remove"}.get(line[:1], "same")

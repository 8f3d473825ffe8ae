"""CSS inlining for templates: the rules of ``<style>`` elements become ``style`` attributes, once for each template.

Several mail clients ignore ``<style>`` elements. css-inline only computes which declarations apply to which tag; it
never writes the template, because an HTML parser would move or drop the markup between template tags.

Template tags are masked by markers: ``MARK_START``, a kind (:data:`VALUE` or another letter), a number, ``MARK_END``. A
value in a declaration, such as ``color: {{ layout.theme.color }}``, is inlined as that marker.
"""

import re
from collections.abc import Iterator
from html import escape, unescape
from itertools import count
from typing import Any

from notifications.core import extras

MARK_START, MARK_END = "\ue000", "\ue001"
VALUE = "v"
"""The kind of a marker that stands for a single value, such as a variable. All other kinds are logic."""
MARKER = re.compile(f"{MARK_START}([a-z])([0-9]+){MARK_END}")
LOGIC = re.compile(f"{MARK_START}[^{VALUE}]")

ATTRIBUTES = r"""(?:[^"'>]|"[^"]*"|'[^']*')*"""
# Comments include the conditional ones, whose tags only Outlook reads.
HTML_TOKEN = re.compile(
    rf"(?P<comment><!--.*?-->)"
    rf"|<(?P<raw>style|script|title|textarea)\b(?P<raw_attributes>{ATTRIBUTES})>(?P<content>.*?)</(?P=raw)\s*>"
    rf"|<(?P<tag>[a-zA-Z][\w:-]*)(?P<attributes>{ATTRIBUTES})>",
    re.DOTALL | re.IGNORECASE,
)
STYLE_ATTRIBUTE = re.compile(r"""\sstyle\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
CLASS_ATTRIBUTE = re.compile(r"""(\sclass\s*=\s*)("[^"]*"|'[^']*')""", re.IGNORECASE)
DIRECTIVE = re.compile(r"""\sdata-css-inline\s*=\s*["']?(\w+)["']?""", re.IGNORECASE)
TAG_NUMBER = "data-klaxon-tag"
STYLED_TAG = re.compile(
    rf'<[a-z](?=[^>]*?\s{TAG_NUMBER}="([0-9]+)")(?:[^"\'>]|"[^"]*")*?\sstyle="([^"]*)"', re.IGNORECASE
)
# In CSS a marker is an identifier, which css-inline copies as it is.
CSS_MASK = "klaxonmask{}x"
CSS_MASK_PATTERN = re.compile(CSS_MASK.format("([0-9]+)"))


def inline_css(html: str) -> str:
    """Return masked HTML with a ``style`` attribute on each tag that a rule of a ``<style>`` element matches.

    A ``<style>`` element with ``data-css-inline="ignore"`` is not read. One with ``data-css-inline="remove"`` is
    removed; the others stay, for media queries and for classes that only exist after rendering. Rules in an element
    that contains logic are not inlined.

    :raises ValueError: if css-inline cannot read the CSS.
    :raises MissingExtra: if css-inline is not installed.
    """
    if "<style" not in html.lower():
        return html
    styles = _compute_styles("".join(_mask_document(html)))
    number = count()
    return HTML_TOKEN.sub(lambda token: _rewrite(token, styles, number), html)


def _compute_styles(document: str) -> dict[int, str]:
    """Return the declarations of each numbered tag, escaped for an attribute in double quotes."""
    css_inline: Any = extras.import_optional("css_inline")
    inliner = css_inline.CSSInliner(load_remote_stylesheets=False)
    try:
        styled = inliner.inline(document)
    except css_inline.InlineError as error:
        raise ValueError(f"The CSS cannot be read: {error}") from error
    return {int(number): _unmask(style) for number, style in STYLED_TAG.findall(styled)}


def _unmask(style: str) -> str:
    return CSS_MASK_PATTERN.sub(rf"{MARK_START}{VALUE}\1{MARK_END}", style.strip().rstrip(";"))


def _mask_document(html: str) -> Iterator[str]:
    """Yield an HTML document with the same tags in the same order, numbered, and without anything that is no HTML."""
    position = number = 0
    for token in HTML_TOKEN.finditer(html):
        yield MARKER.sub("", html[position : token.start()])
        position = token.end()
        if token["tag"]:
            yield f'<{token["tag"]}{_mask_attributes(token["attributes"])} {TAG_NUMBER}="{number}">'
            number += 1
        elif (token["raw"] or "").lower() == "style" and _is_inlined(token):
            yield f"<style>{MARKER.sub(lambda marker: CSS_MASK.format(marker[2]), token['content'])}</style>"
    yield MARKER.sub("", html[position:])


def _is_inlined(token: re.Match[str]) -> bool:
    return _get_directive(token) != "ignore" and not LOGIC.search(token["content"])


def _get_directive(token: re.Match[str]) -> str:
    found = DIRECTIVE.search(token["raw_attributes"])
    return found[1].lower() if found else ""


def _mask_attributes(attributes: str) -> str:
    """Return the attributes that selectors can match. A ``style`` attribute is not one of them; it is kept apart."""
    without_style = STYLE_ATTRIBUTE.sub("", attributes.rstrip("/"))
    certain = CLASS_ATTRIBUTE.sub(lambda found: found[1] + _keep_certain_classes(found[2]), without_style)
    return MARKER.sub("", certain)


def _keep_certain_classes(quoted: str) -> str:
    """Return the classes that the tag always has: not ``big`` in ``{% if x %}big{% endif %}``, nor ``p{{ x }}``."""
    classes = quoted[1:-1]
    if first := LOGIC.search(classes):
        last = classes.rindex(MARK_END)
        classes = f"{classes[: first.start()]}{MARK_START}x0{MARK_END}{classes[last + 1 :]}"
    return '"' + " ".join(name for name in classes.split() if MARK_START not in name) + '"'


def _rewrite(token: re.Match[str], styles: dict[int, str], number: Iterator[int]) -> str:
    if token["raw"] and _get_directive(token) == "remove" and _is_inlined(token):
        return ""
    if not token["tag"]:
        return token[0]
    style = styles.get(next(number))
    return f"<{token['tag']}{_add_style(token['attributes'], style)}>" if style else token[0]


def _add_style(attributes: str, style: str) -> str:
    """Return the attributes with these declarations before those that they have, which override them."""
    own = STYLE_ATTRIBUTE.search(attributes)
    if own is None:
        end = "/" if attributes.endswith("/") else ""
        return f'{attributes.removesuffix("/").rstrip()} style="{style}"{end}'
    if LOGIC.search(attributes[: own.start()]):
        return attributes  # the attribute may be optional
    merged = f"{style};{escape(unescape(own[2])) if own[2] is not None else own[1]}"
    return f'{attributes[: own.start()]} style="{merged}"{attributes[own.end() :]}'

"""Faults in the HTML of a message that hide what follows it in the layout, and markup that mail programs remove.

The rules are those of browsers (HTML, 13.2.5). Python's parser differs from them, and from version to version.
"""

import re
from collections.abc import Iterator
from itertools import islice

MAX_FOUND = 5
SHOWN_CHARACTERS = 40
TAG = re.compile(r"<(/?)([a-zA-Z][^\t\n\f\r />]*)")
TAG_END = re.compile(r"[\t\n\f\r /]*>")
ATTRIBUTE = re.compile(r"[\t\n\f\r /]*([^\t\n\f\r />][^\t\n\f\r />=]*)[\t\n\f\r ]*(=?)[\t\n\f\r ]*")
UNQUOTED = re.compile(r"[^\t\n\f\r >]*")
COMMENT_END = re.compile(r"--!?>")
RAW_TEXT = {"iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp"}
"""Elements whose content is not parsed. All text up to the end tag belongs to them."""
REMOVED = {
    *("applet", "base", "embed", "form", "frame", "frameset", "iframe", "math", "noembed", "noframes", "noscript"),
    *("object", "plaintext", "script", "svg", "template", "xmp"),
}
"""Elements that many mail programs remove. Browsers parse the content of some of them by other rules."""
# Browsers close all other elements at the end of the cell of the layout that contains the message.
TABLE_PARTS = {"caption", "col", "colgroup", "tbody", "td", "tfoot", "th", "thead", "tr"}


class UnclosedTag(Exception):
    """A tag without its end."""


class MarkupReader:
    """Reads the tags of a fragment of HTML."""

    def __init__(self, html: str) -> None:
        self.html = html
        self.position = 0
        self.open_tables = 0

    def find_faults(self) -> Iterator[tuple[str, str]]:
        """Yield faults, each with the element or attribute. Reading ends at a fault that hides the rest."""
        while (start := self.html.find("<", self.position)) >= 0:
            self.position = start + 1
            tag = TAG.match(self.html, start)
            is_ended = True
            if tag:
                yield from self._read_tag(tag)
            elif self.html.startswith("!--", self.position):
                is_ended = self._skip_comment()
            elif self.html[self.position : self.position + 1] in ("!", "?", "/"):
                is_ended = self._skip_to(">")
            if not is_ended:
                yield "", "comment"
        if self.open_tables:
            yield "table", "unclosed"

    def _read_tag(self, tag: re.Match[str]) -> Iterator[tuple[str, str]]:
        name, is_end = tag[2].lower(), bool(tag[1])
        self.position = tag.end()
        try:
            attributes = list(self._read_attributes())
        except UnclosedTag:
            self.position = len(self.html)
            yield name, "tag"
            return
        if name in REMOVED:
            yield name, "removed"
        for attribute in attributes:
            if attribute.startswith("on"):
                yield attribute, "attribute"
        if name in RAW_TEXT and not is_end and not self._skip_raw_text(name):
            yield name, "unclosed"
        yield from self._count_tables(name, is_end)

    def _count_tables(self, name: str, is_end: bool) -> Iterator[tuple[str, str]]:
        if not self.open_tables and (name in TABLE_PARTS or (name == "table" and is_end)):
            yield name, "outside"
        elif name == "table":
            self.open_tables += -1 if is_end else 1

    def _read_attributes(self) -> Iterator[str]:
        """Yield the names of the attributes of a tag, and move behind the tag.

        :raises UnclosedTag: if it has no end.
        """
        while not (end := TAG_END.match(self.html, self.position)):
            found = ATTRIBUTE.match(self.html, self.position)
            if not found:
                raise UnclosedTag
            self.position = found.end()
            if found[2]:
                self._skip_value()
            yield found[1].lower()
        self.position = end.end()

    def _skip_value(self) -> None:
        quote = self.html[self.position : self.position + 1]
        if quote in ("'", '"'):
            self.position += 1
            if not self._skip_to(quote):
                raise UnclosedTag
        elif found := UNQUOTED.match(self.html, self.position):
            self.position = found.end()

    def _skip_comment(self) -> bool:
        self.position += len("!--")
        if self.html.startswith((">", "->"), self.position):
            return self._skip_to(">")
        found = COMMENT_END.search(self.html, self.position)
        self.position = found.end() if found else len(self.html)
        return found is not None

    def _skip_raw_text(self, name: str) -> bool:
        found = re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE).search(self.html, self.position)
        self.position = found.start() if found else len(self.html)
        return found is not None

    def _skip_to(self, character: str) -> bool:
        """Move behind the next such character; return whether there is one."""
        end = self.html.find(character, self.position)
        self.position = end + 1 if end >= 0 else len(self.html)
        return end >= 0


def find_markup_faults(html: str) -> list[tuple[str, str]]:
    """Return the first faults of a message, each with the name of the element or attribute and what is wrong.

    That is ``"comment"``, ``"tag"`` or ``"unclosed"`` for one without an end, ``"outside"`` for a part of a table
    without the table, and ``"removed"`` or ``"attribute"`` for what mail programs remove.
    """
    found = dict.fromkeys(MarkupReader(html).find_faults())
    return [(name[:SHOWN_CHARACTERS], fault) for name, fault in islice(found, MAX_FOUND)]

"""Links of a rendered HTML part that cannot work in a mail. No address is requested.

It runs in the cage, because Python's parser needs quadratic time for some HTML.
"""

from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import islice
from urllib.parse import SplitResult, urlsplit

LINK_ATTRIBUTES = {"href", "src", "background", "action"}
SCHEMES = {"http", "https", "mailto", "tel", "sms", "cid"}
WITH_HOST = {"http", "https"}
MAX_FOUND = 5
SHOWN_CHARACTERS = 100


class LinkParser(HTMLParser):
    """Collects the links and the anchors of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in LINK_ATTRIBUTES:
                self.links.append((value or "").strip())
            elif name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value or "")


def find_broken_links(html: str) -> list[tuple[str, str]]:
    """Return the first links that cannot work, each with what is wrong.

    That is ``"empty"``, ``"anchor"``, ``"malformed"``, ``"relative"`` or ``"scheme"``.
    """
    parser = LinkParser()
    parser.feed(html)
    parser.close()
    return list(islice(_find_broken(parser), MAX_FOUND))


def _find_broken(parser: LinkParser) -> Iterator[tuple[str, str]]:
    for link in dict.fromkeys(parser.links):
        if fault := _find_fault(link, parser.anchors):
            yield link[:SHOWN_CHARACTERS], fault


def _find_fault(link: str, anchors: set[str]) -> str:
    if not link:
        return "empty"
    if link.startswith("#"):
        return "" if link[1:] in anchors else "anchor"
    try:
        parts = urlsplit(link)
        # Reading the port checks it.
        has_target = bool(parts.hostname) and parts.port != 0 if parts.scheme in WITH_HOST else _has_target(parts)
    except ValueError:
        return "malformed"
    if not parts.scheme:
        return "relative"
    if parts.scheme not in SCHEMES:
        return "scheme"
    return "" if has_target and not any(map(str.isspace, link)) else "malformed"


def _has_target(parts: SplitResult) -> bool:
    # A mail may be addressed by the query alone (RFC 6068, 2).
    return bool(parts.path or (parts.scheme == "mailto" and parts.query))

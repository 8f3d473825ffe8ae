"""Links of a rendered HTML part that cannot work in a mail. No address is requested."""

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlsplit

LINK_ATTRIBUTES = {"href", "src", "background", "action"}
SCHEMES = {"http", "https", "mailto", "tel", "sms", "cid"}
WITH_HOST = {"http", "https"}


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


def find_broken_links(html: str) -> Iterator[str]:
    """Yield a sentence for each link that is empty, relative, malformed, of another scheme, or to a missing anchor."""
    parser = LinkParser()
    parser.feed(html)
    parser.close()
    for link in dict.fromkeys(parser.links):
        if fault := _find_fault(link, parser.anchors):
            yield f"The link {link[:100]!r} {fault}."


def _find_fault(link: str, anchors: set[str]) -> str:
    if not link:
        return "is empty"
    if link.startswith("#"):
        return "" if link[1:] in anchors else "leads to an anchor that does not exist"
    try:
        parts = urlsplit(link)
        host = parts.hostname
    except ValueError:
        return "is malformed"
    if not parts.scheme:
        return "is relative; begin it with {{ base_url }}"
    if parts.scheme not in SCHEMES:
        return f"has the scheme {parts.scheme!r}, which mail programs refuse"
    if any(character.isspace() for character in link) or (parts.scheme in WITH_HOST and not host):
        return "is malformed"
    return ""

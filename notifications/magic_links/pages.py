"""The pages that links show. Each only reads: whoever gets a forwarded email must not be able to change anything.

Features register their pages when Django starts, so this package does not import them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from notifications.models import MagicLink


@dataclass(frozen=True)
class LinkPage:
    """A page about a user in a cluster.

    :param load: a function from the user and the cluster to the variables of the template. The user's language and time
        zone are active.
    """

    template: str
    load: Callable[[Any, Any], dict[str, Any]]


PAGES: dict[MagicLink.Purpose, LinkPage] = {}


def register_page(purpose: MagicLink.Purpose, template: str, load: Callable[[Any, Any], dict[str, Any]]) -> None:
    """Register the page that links of a purpose show; see :class:`LinkPage`."""
    PAGES[purpose] = LinkPage(template, load)

"""The theme of emails: their appearance, their sender and the site that their links lead to.

``NOTIFICATIONS["THEME"]`` applies to the whole site. The function that ``NOTIFICATIONS["THEME_OF"]`` names overrides it
for a cluster, or for an event of a cluster.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urljoin, urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from notifications import conf
from notifications.conf.theme import find_theme_problems
from notifications.models.cluster import DEFAULT_SLUG, Cluster

DEFAULT_COLOR = "#003366"
WHITE, BLACK = "#ffffff", "#000000"
CACHE_ATTRIBUTE = "_klaxon_themes"


@dataclass(frozen=True)
class Theme:
    """The theme of one email.

    :param name: the name of the sender in the header; by default, the name of the cluster, or the domain of
        ``base_url`` on a site without clusters of its own.
    :param color: the background of the header, the button and links, as ``#rrggbb``.
    :param logo_url: the address of an image that replaces the name in the header; empty for none.
    :param postal_address: the lines of the sender's postal address after the name. Commercial email must contain it.
    :param base_url: the address of the site, without a slash at the end; by default, ``BASE_URL``.
    :param preferences_url: the page where users choose what they get; empty for the preference centre.
    :param from_email: the sender; empty for the sender of the channel.
    :param reply_to: the addresses for replies; empty for those of the channel.
    """

    name: str = ""
    color: str = DEFAULT_COLOR
    logo_url: str = ""
    postal_address: str = ""
    base_url: str = ""
    preferences_url: str = ""
    from_email: str = ""
    reply_to: tuple[str, ...] = ()

    @cached_property
    def text_color(self) -> str:
        """White or black, whichever is easier to read on ``color``."""
        return max(WHITE, BLACK, key=lambda text: compute_contrast(text, self.color))

    @cached_property
    def link_color(self) -> str:
        """The color of links on white: ``color``, or the default if ``color`` is too light to be read (WCAG 2, AA)."""
        return self.color if compute_contrast(self.color, WHITE) >= 4.5 else DEFAULT_COLOR


def get_theme(cluster: Any, event: str = "") -> Theme:
    """Return the theme of the emails of an event in a cluster.

    The function of ``THEME_OF`` is called once for each event and cluster object, so once for a batch of deliveries.

    :param event: the name of the event; empty for pages that belong to no event.
    :raises ImproperlyConfigured: if the function of ``THEME_OF`` returns an invalid theme.
    """
    configured = conf.current()
    cache: dict[str, tuple[conf.Conf, Theme]] = cluster.__dict__.setdefault(CACHE_ATTRIBUTE, {})
    source, theme = cache.get(event, (None, None))
    if theme is None or source is not configured:
        theme = _build_theme(configured, cluster, event)
        cache[event] = configured, theme
    return theme


def _build_theme(configured: conf.Conf, cluster: Any, event: str) -> Theme:
    own = _call_theme_of(configured.theme_of, cluster, event) if configured.theme_of else {}
    values = {"base_url": configured.base_url, **configured.theme, **own}
    values["base_url"] = values["base_url"].rstrip("/")
    values["preferences_url"] = _complete_url(values.get("preferences_url", ""), values["base_url"])
    values["reply_to"] = tuple(values.get("reply_to", ()))
    return Theme(**{"name": _get_name(cluster, values["base_url"]), **values})


def _complete_url(url: str, base_url: str) -> str:
    """Return a URL with the address of the site if it is a path; empty if the site has no address."""
    if not url.startswith("/"):
        return url
    return urljoin(f"{base_url}/", url) if base_url else ""


def _get_name(cluster: Any, base_url: str) -> str:
    """Return the name of a cluster, or the site's domain if it is the default cluster, whose name says nothing."""
    if isinstance(cluster, Cluster) and cluster.slug == DEFAULT_SLUG:
        return urlsplit(base_url).hostname or ""
    return str(cluster)


def _call_theme_of(path: str, cluster: Any, event: str) -> Mapping[str, Any]:
    theme = import_string(path)(cluster, event)
    problems = list(find_theme_problems(theme, f"The result of NOTIFICATIONS['THEME_OF'] for {cluster!r:.80}"))
    if problems:
        raise ImproperlyConfigured(" ".join(f"{problem.message} {problem.hint}" for problem in problems))
    found: Mapping[str, Any] = theme
    return found


def compute_contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colors, from 1 to 21, as WCAG 2 defines it."""
    darker, lighter = sorted((_compute_luminance(first), _compute_luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def _compute_luminance(color: str) -> float:
    shares = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

"""What the checks need to know about the URLs of the site."""

from typing import Any

from django.conf import settings
from django.urls import NoReverseMatch, reverse


def find_path(name: str, *args: Any) -> str:
    """Return the path of the URL of this name; empty if the site has none. A site that only sends has no URLs."""
    if not getattr(settings, "ROOT_URLCONF", ""):
        return ""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""

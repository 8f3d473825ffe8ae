"""The addresses under which providers report what happened to a message."""

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from notifications import conf


def build_callback_url(name: str, *args: object) -> str:
    """Return the absolute URL of a view, below ``BASE_URL``.

    It is empty if the setting is empty, or if the site does not include ``notifications.urls``.
    """
    base = conf.current().base_url.rstrip("/")
    # A site that only sends has no URLs.
    if not base or not getattr(settings, "ROOT_URLCONF", ""):
        return ""
    try:
        return base + reverse(name, args=args)
    except NoReverseMatch:
        return ""

"""Whether a page of another site has opened a stream.

A browser sends the cookies of this site with such a request, so a foreign page could read the inbox of its visitor
through a WebSocket. The same origins are allowed as by Django's protection against cross-site request forgery.
"""

from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.utils.http import is_same_domain


def is_foreign(request: HttpRequest, requires_origin: bool = False) -> bool:
    """Return whether a page of another origin has made a request.

    :param requires_origin: whether a request without the header ``Origin`` is foreign too. Browsers always send it with
        a WebSocket, and leave it out of most other requests of their own site.
    :raises DisallowedHost: if the host is not in ``ALLOWED_HOSTS``.
    """
    origin = request.headers.get("Origin")
    host = request.get_host()
    if origin is None:
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        return requires_origin or site not in ("same-origin", "none")
    if origin == f"{'https' if request.is_secure() else 'http'}://{host}":
        return False
    return not any(_matches(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS)


def _matches(origin: str, trusted: str) -> bool:
    """Return whether an origin is one that ``CSRF_TRUSTED_ORIGINS`` allows, such as ``https://*.example.com``."""
    if "*" not in trusted:
        return origin == trusted
    try:
        given, allowed = urlsplit(origin), urlsplit(trusted)
    except ValueError:
        return False
    return given.scheme == allowed.scheme and is_same_domain(given.netloc, allowed.netloc.lstrip("*"))

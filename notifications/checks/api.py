"""Checks of the HTTP API, on a site that includes it."""

import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from notifications import conf
from notifications.checks.site_urls import find_path
from notifications.core import extras

URLS = "notifications.api.urls"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
SESSION_AUTH = "notifications.api.auth.SessionAuth"


def check_api() -> Iterator[CheckMessage]:
    """Report an API that cannot be used, or whose settings are not safe."""
    path = find_path("notifications_api:openapi")
    # Without the extra there is no path, but the module was imported by the site's URLs.
    if URLS in sys.modules and not extras.is_installed("ninja"):
        yield _build(
            "The site includes notifications.api.urls, but 'ninja' is not installed.",
            "Install it with: pip install 'django-klaxon[api]'",
        )
    if path:
        yield from _check_auth(conf.current().get_api_option("AUTH"))


def _check_auth(paths: Any) -> Iterator[CheckMessage]:
    # Imported by its path, because this module is on the same floor as the API.
    base = import_string("notifications.api.auth.Authentication")
    for path in paths:
        try:
            found = import_string(path)
        except ImportError as error:
            yield _build(
                f"NOTIFICATIONS['API']['AUTH'] names {path!r}, which cannot be imported: {error}",
                "Name the dotted paths of subclasses of notifications.api.auth.Authentication.",
            )
            continue
        if not (isinstance(found, type) and issubclass(found, base)):
            yield _build(
                f"NOTIFICATIONS['API']['AUTH'] names {path!r}, which is not a subclass of Authentication.",
                "Derive it from notifications.api.auth.Authentication.",
            )
    if SESSION_AUTH in paths and AUTHENTICATION not in settings.MIDDLEWARE:
        yield _build(
            f"NOTIFICATIONS['API']['AUTH'] names SessionAuth, but MIDDLEWARE does not have {AUTHENTICATION}, so nobody "
            "is signed in.",
            "Add it, with SessionMiddleware before it, or name only KeyAuth.",
        )
    if not conf.current().get_api_option("THROTTLE") and not settings.DEBUG:
        yield _build(
            "NOTIFICATIONS['API']['THROTTLE'] is empty, so a caller can make any number of requests.",
            'Set a rate such as "600/m", or silence klaxon.E025 if something else limits requests.',
        )


def _build(message: str, hint: str) -> CheckMessage:
    return Error(message, hint=hint, id="klaxon.E025")

"""A check of the static files: whether the pages and the bell find their scripts and styles."""

from collections.abc import Iterator

from django.apps import apps
from django.contrib.staticfiles import finders
from django.core.checks import CheckMessage, Warning

from notifications.checks.site_urls import find_path

APP = "django.contrib.staticfiles"
FILE = "notifications/bell.js"


def check_static_files() -> Iterator[CheckMessage]:
    """Report that a site with the pages does not find their files."""
    if not find_path("notifications:inbox"):
        return
    if not apps.is_installed(APP):
        yield Warning(
            "The site includes notifications.urls, but the files of its pages and of the tag notification_bell are not "
            f"found: {APP} is not in INSTALLED_APPS.",
            hint=f"Add {APP!r} to INSTALLED_APPS, and set STATIC_URL. If the site serves the folder static of the "
            "package notifications under STATIC_URL in another way, silence klaxon.W013.",
            id="klaxon.W013",
        )
    elif finders.find(FILE) is None:
        yield Warning(
            "The site includes notifications.urls, but the files of its pages and of the tag notification_bell are not "
            f"found: no finder in STATICFILES_FINDERS finds {FILE}.",
            hint="Add 'django.contrib.staticfiles.finders.AppDirectoriesFinder' to STATICFILES_FINDERS.",
            id="klaxon.W013",
        )

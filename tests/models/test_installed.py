"""Models that are imported without the app, or with another app of the same name."""

import subprocess
import sys

import pytest
from django.apps import AppConfig
from django.apps.registry import Apps
from django.core.exceptions import ImproperlyConfigured

from notifications.models.installed import check_installed


class ForeignConfig(AppConfig):
    """The configuration of another package that is imported by the same name."""

    name = "notifications"
    label = "notifications"


def test_a_site_with_the_app_passes(settings):
    check_installed(Apps(["django.contrib.auth", "django.contrib.contenttypes", "notifications"]))


def test_the_error_about_a_missing_app_says_where_to_add_it():
    with pytest.raises(ImproperlyConfigured, match="'notifications' is not in INSTALLED_APPS.* Add it there"):
        check_installed(Apps(["django.contrib.messages"]))


def test_the_configuration_of_another_package_is_an_error():
    with pytest.raises(ImproperlyConfigured, match="has the label 'notifications' instead of 'klaxon'.*-hq"):
        check_installed(Apps([f"{__name__}.ForeignConfig"]))


@pytest.mark.parametrize("module", ["notifications.manager", "notifications.models", "notifications.urls"])
def test_importing_a_module_without_the_app_is_an_error(module):
    code = f"""
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"], ROOT_URLCONF={module!r})
django.setup()
import {module}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("django.core.exceptions.ImproperlyConfigured: 'notifications' is not in INSTALLED_APPS"), (
        last
    )

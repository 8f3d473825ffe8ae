"""A check, with a clear error, that ``INSTALLED_APPS`` contains this app and that no other package has replaced it."""

from django.apps.registry import Apps
from django.core.exceptions import AppRegistryNotReady, ImproperlyConfigured

APP, LABEL = "notifications", "klaxon"


def check_installed(registry: Apps) -> None:
    """Check that this app is installed.

    :raises AppRegistryNotReady: if models are imported too early. Django's own error would be about a missing setting.
    :raises ImproperlyConfigured: if the app is missing, or another package has replaced its configuration.
    """
    if not registry.apps_ready:
        raise AppRegistryNotReady(
            "Models of notifications were imported before Django had loaded its apps, for example by the settings or "
            "by the __init__.py or apps.py of an app. Import them where they are used."
        )
    labels = {config.name: config.label for config in registry.get_app_configs()}
    if LABEL in labels.values():
        return
    if APP not in labels:
        raise ImproperlyConfigured(
            f"{APP!r} is not in INSTALLED_APPS, so notifications can be neither sent nor stored. Add it there."
        )
    raise ImproperlyConfigured(
        f"The app {APP!r} in INSTALLED_APPS has the label {labels[APP]!r} instead of {LABEL!r}. Another package that "
        f"is imported as {APP!r}, such as django-notifications-hq, has replaced files of django-klaxon. Reinstall "
        "django-klaxon in an environment without that package."
    )

"""The email backend of the email channel, for every supported Django version.

Django 6.1 replaces ``EMAIL_BACKEND`` and related settings by ``MAILERS``. Both work here, and reading them causes no
deprecation warning, because such a warning would blame Klaxon for the site's settings.
"""

from collections.abc import Mapping
from typing import Any

import django
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.module_loading import import_string

from notifications.core import extras
from notifications.exceptions import MissingExtra

DJANGO_SMTP = "django.core.mail.backends.smtp.EmailBackend"
# A faster backend that also knows whether an email that failed may have been accepted.
REPLACEMENTS = {DJANGO_SMTP: "notifications.channels.smtp.EmailBackend"}
DEFAULT_MAILER = "default"
# The alias that Django requires for a backend that the channel's own options name.
BACKEND_ALIAS = "klaxon"


def open_backend(backend: str | None, options: Mapping[str, Any], mailer: str | None) -> BaseEmailBackend:
    """Return the backend that sends notifications. It does not open a connection.

    :param backend: the dotted path of a backend for notifications; by default the site's backend.
    :param options: keyword arguments of the backend.
    :param mailer: an alias of the setting ``MAILERS``.
    :raises ImproperlyConfigured: if the options contradict each other or the site's settings.
    :raises MissingExtra: if the backend requires an extra that is not installed.
    """
    if fault := _find_fault(backend, options, mailer):
        raise ImproperlyConfigured(fault)
    if backend:
        return _make_custom_backend(backend, options)
    return (
        _make_mailer(mailer or DEFAULT_MAILER)
        if uses_mailers()
        else _make_configured_backend("EMAIL_BACKEND", _get_email_backend(), options)
    )


def uses_mailers() -> bool:
    """Whether the site has the setting ``MAILERS``, on a Django that reads it."""
    return django.VERSION >= (6, 1) and hasattr(settings, "MAILERS")


def _find_fault(backend: str | None, options: Mapping[str, Any], mailer: str | None) -> str:
    if mailer and not uses_mailers():
        return f"The option 'mailer' is {mailer!r}, but there is no setting MAILERS, which Django 6.1 and later read."
    if mailer and backend:
        return "The options 'mailer' and 'backend' both name an email backend. Remove one of them."
    if options and not backend and uses_mailers():
        return (
            "The option 'backend_options' requires 'backend'. Set the options of a mailer in "
            f"MAILERS[{mailer or DEFAULT_MAILER!r}]['OPTIONS']."
        )
    return ""


def _make_custom_backend(path: str, options: Mapping[str, Any]) -> BaseEmailBackend:
    if not uses_mailers():
        return _make_configured_backend("The option 'backend'", path, options)
    try:
        return _make(path, {**options, "alias": BACKEND_ALIAS})
    except ImproperlyConfigured as error:
        fault = str(error).removeprefix(f"MAILERS[{BACKEND_ALIAS!r}]: ").replace("OPTIONS", "backend_options")
        raise ImproperlyConfigured(f"The email backend {path!r} cannot be created: {fault}") from error


def _make_mailer(alias: str) -> BaseEmailBackend:
    mailers: Any = getattr(mail, "mailers")  # noqa: B009 - Django 5.2 and its types do not know it
    configured = mailers.settings.get(alias, {})
    path = configured.get("BACKEND", DJANGO_SMTP)
    _require_extra(path)
    if alias not in mailers or path not in REPLACEMENTS:
        return mailers[alias]
    return _make(path, {**configured.get("OPTIONS", {}), "alias": alias})


def _make_configured_backend(setting: str, path: str, options: Mapping[str, Any]) -> BaseEmailBackend:
    try:
        return _make(path, options)
    except MissingExtra:
        raise  # its message names the extra
    except ImportError as error:
        raise ImproperlyConfigured(f"{setting} is {path!r}, which cannot be imported: {error}") from error


def _get_email_backend() -> str:
    # Reading settings.EMAIL_BACKEND causes a deprecation warning in Django 6.1.
    return settings._wrapped.EMAIL_BACKEND  # type: ignore[misc]


def _make(path: str, options: Mapping[str, Any]) -> BaseEmailBackend:
    _require_extra(path)
    return import_string(REPLACEMENTS.get(path, path))(**options)


def _require_extra(path: str) -> None:
    package = path.partition(".")[0]
    if package in extras.EXTRA_BY_MODULE:
        extras.import_optional(package)

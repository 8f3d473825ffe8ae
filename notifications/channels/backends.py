"""The email backend of the email channel, opened the same way on every supported Django.

Django 6.1 replaces ``EMAIL_BACKEND`` and its relatives by ``MAILERS``. Both settings work here, and reading them causes
no deprecation warning: such a warning would blame Klaxon for what the site's settings say.
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
# The same backend, but faster, and one that can tell a mail that was lost from one that may have arrived.
KNOWS_THE_PHASE = {DJANGO_SMTP: "notifications.channels.smtp.EmailBackend"}
DEFAULT_MAILER = "default"
# Stands for an alias of MAILERS where the channel's own options name the backend.
OWN_ALIAS = "klaxon"


def open_backend(backend: str | None, options: Mapping[str, Any], mailer: str | None) -> BaseEmailBackend:
    """The backend that carries notifications. No connection is opened yet.

    :param backend: the dotted path of one for notifications only; without it, the site's own.
    :param options: keyword arguments of the backend.
    :param mailer: an alias of the setting ``MAILERS``.
    :raises ImproperlyConfigured: if the options contradict each other or the site's settings.
    :raises MissingExtra: if the backend comes with an extra that is not installed.
    """
    if fault := _find_fault(backend, options, mailer):
        raise ImproperlyConfigured(fault)
    if backend:
        return _make_own(backend, options)
    return (
        _make_from_mailers(mailer or DEFAULT_MAILER)
        if uses_mailers()
        else _make_named_by("EMAIL_BACKEND", _get_email_backend(), options)
    )


def uses_mailers() -> bool:
    """Whether the site has the setting ``MAILERS``, on a Django that reads it."""
    return django.VERSION >= (6, 1) and hasattr(settings, "MAILERS")


def _find_fault(backend: str | None, options: Mapping[str, Any], mailer: str | None) -> str:
    if mailer and not uses_mailers():
        return f"The option 'mailer' is {mailer!r}, but there is no setting MAILERS, which Django reads from 6.1 on."
    if mailer and backend:
        return "The options 'mailer' and 'backend' both name an email backend; remove one of them."
    if options and not backend and uses_mailers():
        return (
            f"The option 'backend_options' needs 'backend'. Write the options of a mailer into"
            f" MAILERS[{mailer or DEFAULT_MAILER!r}]['OPTIONS']."
        )
    return ""


def _make_own(path: str, options: Mapping[str, Any]) -> BaseEmailBackend:
    if not uses_mailers():
        return _make_named_by("The option 'backend'", path, options)
    try:
        return _make(path, {**options, "alias": OWN_ALIAS})
    except ImproperlyConfigured as error:
        fault = str(error).removeprefix(f"MAILERS[{OWN_ALIAS!r}]: ").replace("OPTIONS", "backend_options")
        raise ImproperlyConfigured(f"The email backend {path!r} cannot be made: {fault}") from error


def _make_from_mailers(alias: str) -> BaseEmailBackend:
    mailers: Any = getattr(mail, "mailers")  # noqa: B009 - Django 5.2 and its types do not know it
    configured = mailers.settings.get(alias, {})
    path = configured.get("BACKEND", DJANGO_SMTP)
    _require(path)
    if alias not in mailers or path not in KNOWS_THE_PHASE:
        return mailers[alias]
    return _make(path, {**configured.get("OPTIONS", {}), "alias": alias})


def _make_named_by(setting: str, path: str, options: Mapping[str, Any]) -> BaseEmailBackend:
    try:
        return _make(path, options)
    except MissingExtra:
        raise  # it says what to install
    except ImportError as error:
        raise ImproperlyConfigured(f"{setting} is {path!r}, which cannot be imported: {error}") from error


def _get_email_backend() -> str:
    # Not settings.EMAIL_BACKEND, because Django 6.1 warns of reading that.
    return settings._wrapped.EMAIL_BACKEND  # type: ignore[misc]


def _make(path: str, options: Mapping[str, Any]) -> BaseEmailBackend:
    _require(path)
    return import_string(KNOWS_THE_PHASE.get(path, path))(**options)


def _require(path: str) -> None:
    package = path.partition(".")[0]
    if package in extras.EXTRA_OF:
        extras.import_optional(package)

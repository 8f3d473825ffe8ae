"""Email settings for every supported version of Django."""

from collections.abc import Mapping
from typing import Any

import django

OPTIONS = {
    "EMAIL_HOST": "host",
    "EMAIL_PORT": "port",
    "EMAIL_HOST_USER": "username",
    "EMAIL_HOST_PASSWORD": "password",
    "EMAIL_USE_TLS": "use_tls",
    "EMAIL_USE_SSL": "use_ssl",
    "EMAIL_TIMEOUT": "timeout",
}
SMTP = "django.core.mail.backends.smtp.EmailBackend"


def make_email_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given ``EMAIL_…`` settings, or the ``MAILERS`` that replace them in Django 6.1."""
    if django.VERSION < (6, 1):
        return dict(given)
    backend = given.get("EMAIL_BACKEND", SMTP)
    options = {option: given[name] for name, option in OPTIONS.items() if given.get(name)}
    if backend == SMTP:
        options.setdefault("host", "localhost")
    elif backend.endswith("filebased.EmailBackend"):
        options = {"file_path": given["EMAIL_FILE_PATH"]}
    else:
        options = {}
    return {"MAILERS": {"default": {"BACKEND": backend, "OPTIONS": options}}}

